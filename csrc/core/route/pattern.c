/* SPDX-License-Identifier: MIT */
#include "route/pattern.h"

#include <string.h>

#include "base/alloc.h"
#include "http/chars.h"

/* ---- compiling ---- */

static bool is_name(cam_slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];
        bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
        if (!letter && (i == 0 || ch < '0' || ch > '9')) {
            return false;
        }
    }
    return name.len > 0;
}

static int convertor_of(cam_slice name) {
    static const struct {
        const char *name;
        cam_route_convertor convertor;
    } known[] = {
        {"str", CAM_ROUTE_STR},   {"int", CAM_ROUTE_INT},   {"float", CAM_ROUTE_FLOAT},
        {"uuid", CAM_ROUTE_UUID}, {"path", CAM_ROUTE_PATH},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) == name.len && memcmp(known[i].name, name.ptr, name.len) == 0) {
            return (int)known[i].convertor;
        }
    }
    return -1;
}

/* Takes "name" or "name:convertor", which stood between braces. */
static bool add_parameter(cam_route_pattern *pattern, cam_slice before, cam_slice inner) {
    if (pattern->count == CAM_ROUTE_PARAMETERS) {
        return false;
    }
    const char *colon = memchr(inner.ptr, ':', inner.len);
    cam_slice name = {inner.ptr, colon ? (size_t)(colon - inner.ptr) : inner.len};
    int convertor = CAM_ROUTE_STR;
    if (colon != NULL) {
        convertor = convertor_of((cam_slice){colon + 1, inner.len - name.len - 1});
    }
    if (convertor < 0 || !is_name(name)) {
        return false;
    }
    pattern->parameters[pattern->count++] = (cam_route_parameter){before, name, (uint8_t)convertor};
    return true;
}

/* Every parameter reaches up to a slash or the end: there is one way to match at most. */
static bool is_plain(const cam_route_pattern *pattern) {
    for (uint32_t i = 0; i < pattern->count; i++) {
        bool last = i + 1 == pattern->count;
        cam_slice next = last ? pattern->after : pattern->parameters[i + 1].before;
        if (pattern->parameters[i].convertor == CAM_ROUTE_PATH) {
            if (!last || next.len > 0) {
                return false;
            }
        } else if (next.len > 0 ? next.ptr[0] != '/' : !last) {
            return false;
        }
    }
    return true;
}

static bool compile(cam_route_pattern *pattern, size_t len) {
    const char *at = pattern->text, *end = at + len;
    for (;;) {
        const char *open = memchr(at, '{', (size_t)(end - at));
        cam_slice literal = {at, (size_t)((open ? open : end) - at)};
        if (literal.len > 0 && memchr(literal.ptr, '}', literal.len) != NULL) {
            return false;
        }
        if (open == NULL) {
            pattern->after = literal;
            return is_plain(pattern);
        }
        const char *close = memchr(open, '}', (size_t)(end - open));
        if (close == NULL ||
            !add_parameter(pattern, literal, (cam_slice){open + 1, (size_t)(close - open - 1)})) {
            return false;
        }
        at = close + 1;
    }
}

cam_route_status cam_route_pattern_init(cam_route_pattern *pattern, const char *text, size_t len) {
    *pattern = (cam_route_pattern){.text = cam_alloc(len + 1)};
    if (pattern->text == NULL) {
        return CAM_ROUTE_NO_MEMORY;
    }
    memcpy(pattern->text, text, len);
    pattern->text[len] = '\0';
    if (memchr(text, '\n', len) != NULL || !compile(pattern, len)) {
        cam_route_pattern_free(pattern);
        return CAM_ROUTE_UNKNOWN;
    }
    return CAM_ROUTE_OK;
}

void cam_route_pattern_free(cam_route_pattern *pattern) {
    cam_free(pattern->text);
    pattern->text = NULL;
}

/* ---- matching ---- */

static bool all_digits(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    return len > 0;
}

static bool is_float(const char *text, size_t len) {
    const char *point = memchr(text, '.', len);
    if (point == NULL) {
        return all_digits(text, len);
    }
    size_t whole = (size_t)(point - text);
    return all_digits(text, whole) && all_digits(point + 1, len - whole - 1);
}

/* 8-4-4-4-12 hexadecimal digits, each hyphen being there or not. */
static bool is_uuid(const char *text, size_t len) {
    static const uint8_t groups[] = {8, 4, 4, 4, 12};
    size_t at = 0;
    for (size_t group = 0; group < sizeof groups; group++) {
        if (group > 0 && at < len && text[at] == '-') {
            at++;
        }
        for (uint8_t i = 0; i < groups[group]; i++, at++) {
            if (at == len || !cam_char_is(text[at], CAM_CHAR_HEX)) {
                return false;
            }
        }
    }
    return at == len;
}

static bool converts(cam_route_convertor convertor, cam_slice value) {
    switch (convertor) {
    case CAM_ROUTE_STR:
        return value.len > 0;
    case CAM_ROUTE_INT:
        return all_digits(value.ptr, value.len);
    case CAM_ROUTE_FLOAT:
        return is_float(value.ptr, value.len);
    case CAM_ROUTE_UUID:
        return is_uuid(value.ptr, value.len);
    case CAM_ROUTE_PATH:
        return true;
    }
    return false;
}

static bool skip(const char **at, const char *end, cam_slice literal) {
    if ((size_t)(end - *at) < literal.len || memcmp(*at, literal.ptr, literal.len) != 0) {
        return false;
    }
    *at += literal.len;
    return true;
}

bool cam_route_pattern_match(const cam_route_pattern *pattern, const char *path, size_t len,
                             cam_slice *values) {
    const char *at = path, *end = path + len;
    for (uint32_t i = 0; i < pattern->count; i++) {
        const cam_route_parameter *parameter = &pattern->parameters[i];
        if (!skip(&at, end, parameter->before)) {
            return false;
        }
        const char *stop =
            parameter->convertor == CAM_ROUTE_PATH ? NULL : memchr(at, '/', (size_t)(end - at));
        values[i] = (cam_slice){at, (size_t)((stop ? stop : end) - at)};
        if (!converts((cam_route_convertor)parameter->convertor, values[i])) {
            return false;
        }
        at += values[i].len;
    }
    return skip(&at, end, pattern->after) && at == end;
}
