/* SPDX-License-Identifier: MIT */
/*
 * The elements of Forwarded (RFC 7239), from the first to the last: each proxy adds one at the end.
 *
 * Read are "for", whom the proxy had the request from, and "proto", the scheme by which; of other
 * parameters the syntax alone is checked. White space around ";" is let pass, as around any
 * parameter (RFC 9110 section 5.6.6), though RFC 7239 section 4 has none there. Whom to believe is
 * the caller's business. Pure functions: any thread, no allocation, no user code.
 */
#ifndef CAM_HTTP_FORWARDED_ELEMENT_H
#define CAM_HTTP_FORWARDED_ELEMENT_H

#include <stdint.h>

#include "base/slice.h"

/* What cam_forwarded_next returns. */
enum {
    CAM_FORWARDED_END = 0,
    CAM_FORWARDED_ELEMENT = 1,
    CAM_FORWARDED_MALFORMED = -1, /* what follows in the line means nothing */
};

enum { CAM_FORWARDED_ROOM = 128 };

/* Slices borrow from the line, or from `room` in the element itself: it is not to be copied. */
typedef struct cam_forwarded_element {
    cam_slice node;   /* an address without brackets, "unknown", or "_" and more: an obfuscated
                         identifier (section 6.3); empty without "for" */
    uint32_t port;    /* 0 when there is none, or an obfuscated one */
    cam_slice scheme; /* empty without "proto" */
    char room[2][CAM_FORWARDED_ROOM]; /* for what was written with quoted pairs */
} cam_forwarded_element;

/*
 * Takes the next element that holds anything off the front of *rest, which begins as a line's
 * value. Malformed is also a parameter of those that RFC 7239 knows which comes twice (section 4),
 * a node or scheme that is none (sections 6 and 5.4), and one with quoted pairs, which neither
 * needs, that is longer than CAM_FORWARDED_ROOM.
 */
int cam_forwarded_next(cam_slice *rest, cam_forwarded_element *element);

#endif
