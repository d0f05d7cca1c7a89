/* SPDX-License-Identifier: MIT */
/*
 * A run of bytes that belongs to somebody else.
 *
 * A slice borrows: it is good for as long as the buffer it points into stays where it is and
 * unchanged. It is not terminated by a NUL. An empty slice may have any pointer, NULL included.
 */
#ifndef CAM_BASE_SLICE_H
#define CAM_BASE_SLICE_H

#include <stddef.h>

typedef struct cam_slice {
    const char *ptr;
    size_t len; /* bytes */
} cam_slice;

#endif
