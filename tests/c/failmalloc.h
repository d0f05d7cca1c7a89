/* SPDX-License-Identifier: MIT */
/*
 * An allocator for the core that fails the n-th request, and counts what is held.
 *
 * failmalloc_arm(n) lets n requests (new blocks or resizes) succeed and fails every one after;
 * a test repeats its work for n = 0, 1, 2, ... until failmalloc_disarm() says none was refused.
 */
#ifndef CAM_TESTS_FAILMALLOC_H
#define CAM_TESTS_FAILMALLOC_H

#include <stdlib.h>

#include "base/alloc.h"

static long failmalloc_left = -1; /* -1: never fail */
static int failmalloc_reached;
static long failmalloc_blocks;

static int failmalloc_refuses(void) {
    if (failmalloc_left < 0) {
        return 0;
    }
    if (failmalloc_left == 0) {
        failmalloc_reached = 1;
        return 1;
    }
    failmalloc_left--;
    return 0;
}

static void *failmalloc_alloc(size_t size) {
    void *block = failmalloc_refuses() ? NULL : malloc(size);
    failmalloc_blocks += block != NULL;
    return block;
}

static void *failmalloc_resize(void *old, size_t size) {
    void *block = failmalloc_refuses() ? NULL : realloc(old, size);
    failmalloc_blocks += block != NULL && old == NULL;
    return block;
}

static void failmalloc_release(void *block) {
    failmalloc_blocks--;
    free(block);
}

static void failmalloc_install(void) {
    static const cam_allocator allocator = {failmalloc_alloc, failmalloc_resize,
                                            failmalloc_release};
    cam_alloc_use(&allocator);
}

static void failmalloc_arm(long successes) {
    failmalloc_left = successes;
    failmalloc_reached = 0;
}

/* Stops failing; true when a request was refused since failmalloc_arm. */
static int failmalloc_disarm(void) {
    failmalloc_left = -1;
    return failmalloc_reached;
}

static long failmalloc_held(void) {
    return failmalloc_blocks;
}

#endif
