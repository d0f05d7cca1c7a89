/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static cam_allocator current = {malloc, realloc, free};

void cam_alloc_use(const cam_allocator *allocator) {
    current = *allocator;
}

void *cam_alloc(size_t size) {
    return current.alloc(size ? size : 1);
}

void *cam_alloc_zeroed(size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    void *block = cam_alloc(count * size);
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

void *cam_realloc(void *block, size_t size) {
    return current.resize(block, size ? size : 1);
}

void cam_free(void *block) {
    if (block != NULL) {
        current.release(block);
    }
}

void cam_alloc_expect_bodies(void) {
#ifdef __GLIBC__
    if (getenv("MALLOC_TRIM_THRESHOLD_") == NULL && getenv("MALLOC_MMAP_THRESHOLD_") == NULL &&
        getenv("GLIBC_TUNABLES") == NULL) {
        (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
        (void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
    }
#endif
}

void cam_alloc_trim(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
