/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdbool.h>

enum { ARITY = 4, FIRST_CAPACITY = 64 };

static inline bool earlier(const cam_heap_entry *a, const cam_heap_entry *b) {
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void sift_up(cam_heap_entry *entries, size_t hole, cam_heap_entry moving) {
    while (hole > 0) {
        size_t parent = (hole - 1) / ARITY;
        if (!earlier(&moving, &entries[parent])) {
            break;
        }
        entries[hole] = entries[parent];
        hole = parent;
    }
    entries[hole] = moving;
}

static void sift_down(cam_heap_entry *entries, size_t count, size_t hole, cam_heap_entry moving) {
    for (;;) {
        size_t child = hole * ARITY + 1;
        if (child >= count) {
            break;
        }
        size_t last = child + ARITY < count ? child + ARITY : count;
        size_t best = child;
        for (size_t i = child + 1; i < last; i++) {
            if (earlier(&entries[i], &entries[best])) {
                best = i;
            }
        }
        if (!earlier(&entries[best], &moving)) {
            break;
        }
        entries[hole] = entries[best];
        hole = best;
    }
    entries[hole] = moving;
}

void cam_heap_init(cam_heap *heap) {
    *heap = (cam_heap){0};
}

void cam_heap_fini(cam_heap *heap) {
    cam_free(heap->entries);
    *heap = (cam_heap){0};
}

int cam_heap_push(cam_heap *heap, int64_t when, void *item) {
    if (heap->count == heap->capacity) {
        size_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
        if (capacity > SIZE_MAX / sizeof(cam_heap_entry)) {
            return -ENOMEM;
        }
        cam_heap_entry *entries = cam_realloc(heap->entries, capacity * sizeof(*entries));
        if (entries == NULL) {
            return -ENOMEM;
        }
        heap->entries = entries;
        heap->capacity = capacity;
    }
    cam_heap_entry entry = {when, heap->next_order++, item};
    sift_up(heap->entries, heap->count++, entry);
    return 0;
}

const cam_heap_entry *cam_heap_peek(const cam_heap *heap) {
    return heap->count ? &heap->entries[0] : NULL;
}

void *cam_heap_pop(cam_heap *heap) {
    void *item = heap->entries[0].item;
    heap->count--;
    if (heap->count > 0) {
        sift_down(heap->entries, heap->count, 0, heap->entries[heap->count]);
    }
    return item;
}

size_t cam_heap_filter(cam_heap *heap, int (*keep)(void *item, void *context), void *context) {
    size_t kept = 0;
    for (size_t i = 0; i < heap->count; i++) {
        if (keep(heap->entries[i].item, context)) {
            heap->entries[kept++] = heap->entries[i];
        }
    }
    size_t gone = heap->count - kept;
    heap->count = kept;
    if (kept > 1) {
        for (size_t i = (kept - 2) / ARITY + 1; i-- > 0;) {
            sift_down(heap->entries, kept, i, heap->entries[i]);
        }
    }
    return gone;
}
