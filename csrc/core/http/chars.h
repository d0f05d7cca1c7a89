/* SPDX-License-Identifier: MIT */
/*
 * Classes of bytes in HTTP, and comparison without case.
 *
 * ASCII only: nothing here looks at the locale, which a C program must never do with a protocol.
 */
#ifndef CAM_HTTP_CHARS_H
#define CAM_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CAM_CHAR_TOKEN = 1 << 0,   /* tchar, RFC 9110 section 5.6.2 */
    CAM_CHAR_TARGET = 1 << 1,  /* visible ASCII but '#', which no request target holds */
    CAM_CHAR_REGNAME = 1 << 2, /* unreserved and sub-delims of a host, RFC 3986 section 3.2.2 */
    CAM_CHAR_DIGIT = 1 << 3,
    CAM_CHAR_HEX = 1 << 4,
    CAM_CHAR_FIELD = 1 << 5,  /* of a field value: HTAB, SP, VCHAR, obs-text (section 5.5) */
    CAM_CHAR_QUOTED = 1 << 6, /* of a quoted string but '"' and '\' (section 5.6.4) */
};

extern const uint8_t cam_char_classes[256];
extern const uint8_t cam_char_lower[256]; /* A-Z to a-z, all others to themselves */

static inline bool cam_char_is(char c, unsigned classes) {
    return (cam_char_classes[(uint8_t)c] & classes) != 0;
}

/* The value of a hexadecimal digit, which c must be. */
static inline unsigned cam_char_hex(char c) {
    return ((uint8_t)c & 15U) + (((uint8_t)c >> 6) * 9U);
}

/* The length of the run of bytes of a class that text begins with. */
static inline size_t cam_char_span(const char *text, size_t len, unsigned classes) {
    size_t i = 0;
    while (i < len && cam_char_is(text[i], classes)) {
        i++;
    }
    return i;
}

/* Equal without case; lower must be in lower case and as long as text. */
static inline bool cam_char_equal(const char *text, const char *lower, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (cam_char_lower[(uint8_t)text[i]] != (uint8_t)lower[i]) {
            return false;
        }
    }
    return true;
}

#endif
