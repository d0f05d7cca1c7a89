/* SPDX-License-Identifier: MIT */
/*
 * A 4-ary min-heap of deadlines.
 *
 * Entries with equal deadlines leave in the order they came (a sequence number breaks ties).
 * The heap borrows its items; removal of one item in the middle is not offered: owners mark an
 * item dead, skip it when it surfaces, and call cam_heap_filter once too many are dead. Belongs
 * to one thread; runs no user code but the keep() callback of cam_heap_filter.
 */
#ifndef CAM_BASE_HEAP_H
#define CAM_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct cam_heap_entry {
    int64_t when; /* nanoseconds */
    uint64_t order;
    void *item;
} cam_heap_entry;

typedef struct cam_heap {
    cam_heap_entry *entries;
    size_t count;
    size_t capacity;
    uint64_t next_order;
} cam_heap;

void cam_heap_init(cam_heap *heap);

/* Frees the heap's own memory; items are the caller's. */
void cam_heap_fini(cam_heap *heap);

/* 0, or -ENOMEM with the heap unchanged. */
int cam_heap_push(cam_heap *heap, int64_t when, void *item);

/* The earliest entry, or NULL when empty. Valid until the heap changes. */
const cam_heap_entry *cam_heap_peek(const cam_heap *heap);

/* Takes the earliest entry off and returns its item; the heap must not be empty. */
void *cam_heap_pop(cam_heap *heap);

/* Keeps the items for which keep() is true and restores order; returns how many went.
 * keep() must not touch the heap. */
size_t cam_heap_filter(cam_heap *heap, int (*keep)(void *item, void *context), void *context);

#endif
