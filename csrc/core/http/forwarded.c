/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include <string.h>

#include "http/chars.h"

enum { MOST_DIGITS = 9 }; /* that surely fit into 32 bits */

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static cam_slice trim(cam_slice slice) {
    while (slice.len > 0 && is_space(slice.ptr[0])) {
        slice.ptr++;
        slice.len--;
    }
    while (slice.len > 0 && is_space(slice.ptr[slice.len - 1])) {
        slice.len--;
    }
    return slice;
}

bool cam_forwarded_last(cam_slice *list, cam_slice *entry) {
    if (list->ptr == NULL) {
        return false;
    }
    size_t begin = list->len;
    while (begin > 0 && list->ptr[begin - 1] != ',') {
        begin--;
    }
    *entry = trim((cam_slice){list->ptr + begin, list->len - begin});
    if (begin == 0) {
        list->ptr = NULL;
        list->len = 0;
    } else {
        list->len = begin - 1;
    }
    return true;
}

typedef enum number { NUMBER, NO_NUMBER, UNSURE } number;

static number read_port(const char *text, size_t len, uint32_t *port) {
    size_t digits = cam_char_span(text, len, CAM_CHAR_DIGIT);
    if (digits == len && len > 0) {
        if (len > MOST_DIGITS) {
            return UNSURE;
        }
        uint32_t sum = 0;
        for (size_t i = 0; i < len; i++) {
            sum = sum * 10 + (uint32_t)(text[i] - '0');
        }
        *port = sum;
        return NUMBER;
    }
    for (size_t i = 0; i < len; i++) {
        /* What can stand in a number beside digits: a sign, white space, '_' between digits. */
        if ((uint8_t)text[i] <= ' ' || text[i] == '+' || text[i] == '-' || text[i] == '_' ||
            (uint8_t)text[i] >= 0x80) {
            return UNSURE;
        }
    }
    return NO_NUMBER;
}

/* [host]:port or [host]; as cam_forwarded_split. */
static bool split_brackets(cam_slice entry, cam_slice *host, uint32_t *port) {
    const char *end = memchr(entry.ptr, ']', entry.len);
    if (end == NULL) {
        return true;
    }
    size_t size = (size_t)(end - entry.ptr);
    size_t rest = entry.len - size - 1;
    if (rest > 0 && end[1] != ':') {
        return true;
    }
    *host = (cam_slice){entry.ptr + 1, size - 1};
    return rest == 0 || read_port(end + 2, rest - 1, port) != UNSURE;
}

bool cam_forwarded_split(cam_slice entry, cam_slice *host, uint32_t *port) {
    *host = entry;
    *port = 0;
    if (entry.len > 0 && entry.ptr[0] == '[') {
        return split_brackets(entry, host, port);
    }
    const char *colon = entry.len > 0 ? memchr(entry.ptr, ':', entry.len) : NULL;
    if (colon == NULL) {
        return true;
    }
    size_t before = (size_t)(colon - entry.ptr);
    size_t after = entry.len - before - 1;
    if (memchr(colon + 1, ':', after) != NULL) {
        return true; /* an IPv6 address */
    }
    number kind = read_port(colon + 1, after, port);
    if (kind == NUMBER) {
        host->len = before;
    }
    return kind != UNSURE;
}
