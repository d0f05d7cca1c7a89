/* SPDX-License-Identifier: MIT */
/*
 * A route's path, "/items/{item_id:int}/reviews", that is matched without a regular expression.
 *
 * The notation and what a parameter may be are Starlette's (starlette.routing.compile_path): a
 * pattern matches a path exactly if Starlette's expression for it does. Where that would have to
 * look back (a parameter that does not reach up to a slash or to the end, a `path` before the end)
 * the pattern is refused, and the caller asks the expression itself. Immutable, runs no user code;
 * the text of a pattern is copied.
 */
#ifndef CAM_ROUTE_PATTERN_H
#define CAM_ROUTE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { CAM_ROUTE_PARAMETERS = 16 }; /* that a pattern can have */

typedef enum cam_route_convertor {
    CAM_ROUTE_STR,   /* [^/]+ */
    CAM_ROUTE_INT,   /* [0-9]+ */
    CAM_ROUTE_FLOAT, /* [0-9]+(\.[0-9]+)? */
    CAM_ROUTE_UUID,  /* hexadecimal digits with or without hyphens */
    CAM_ROUTE_PATH,  /* .*, to the end */
} cam_route_convertor;

typedef struct cam_route_parameter {
    cam_slice before; /* the literal text before it, in the pattern's copy */
    cam_slice name;
    uint8_t convertor; /* cam_route_convertor */
} cam_route_parameter;

typedef struct cam_route_pattern {
    char *text;      /* owned; what the slices point into */
    cam_slice after; /* the literal text behind the last parameter */
    uint32_t count;
    cam_route_parameter parameters[CAM_ROUTE_PARAMETERS];
} cam_route_pattern;

typedef enum cam_route_status {
    CAM_ROUTE_OK = 0,
    CAM_ROUTE_UNKNOWN = -1, /* not one that this can match as Starlette does */
    CAM_ROUTE_NO_MEMORY = -2,
} cam_route_status;

/* Compiles a pattern. After CAM_ROUTE_OK it is to be freed. */
cam_route_status cam_route_pattern_init(cam_route_pattern *pattern, const char *text, size_t len);
void cam_route_pattern_free(cam_route_pattern *pattern);

/* Whether it matches the whole of a decoded path in UTF-8, which must not hold a line feed (for
 * which the expressions have rules of their own). Then values[i], for which there is room for
 * pattern->count, is what parameter i was. */
bool cam_route_pattern_match(const cam_route_pattern *pattern, const char *path, size_t len,
                             cam_slice *values);

#endif
