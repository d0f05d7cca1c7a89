/* SPDX-License-Identifier: MIT */
/*
 * Allocation for everything in the core.
 *
 * All memory of the core comes from one replaceable allocator: the binding sets it to
 * PyMem_Raw at import, the C tests to one that fails the n-th request. It is set before the
 * first allocation and never again while memory is held. The functions may be called from any
 * thread and run no user code. Sizes are in bytes.
 */
#ifndef CAM_BASE_ALLOC_H
#define CAM_BASE_ALLOC_H

#include <stddef.h>

typedef struct cam_allocator {
    void *(*alloc)(size_t size);
    void *(*resize)(void *block, size_t size);
    void (*release)(void *block);
} cam_allocator;

/* Replaces the allocator; the three functions follow malloc, realloc and free. */
void cam_alloc_use(const cam_allocator *allocator);

/* A new block, owned by the caller, or NULL when there is no memory. */
void *cam_alloc(size_t size);

/* A new block of count * size zeroed bytes, or NULL (also when the product overflows). */
void *cam_alloc_zeroed(size_t count, size_t size);

/* The block moved to its new size, or NULL with the old block untouched. */
void *cam_realloc(void *block, size_t size);

/* Gives a block back; NULL is allowed. */
void cam_free(void *block);

/* Tells the C library that blocks of up to some megabytes come and go all the time, as the bodies
 * of requests do: it keeps 16 MiB of what was freed, in the place of asking the system for fresh
 * pages each time. For the whole process, so not for a library to decide; does nothing where the
 * environment (MALLOC_..._, GLIBC_TUNABLES) has decided, or with another C library than GNU's. */
void cam_alloc_expect_bodies(void);

/* Gives what the C library holds of freed memory back to the system, where it can be told to. Looks
 * at every page of the heap: for the moments after much was freed. */
void cam_alloc_trim(void);

#endif
