/* SPDX-License-Identifier: MIT */
#include "ws/list.h"

#include <stdint.h>
#include <string.h>

/* token (RFC 9110 section 5.6.2), as one bit for each of ASCII. */
static bool is_token(char c) {
    static const uint32_t bits[8] = {
        0x00000000, /* controls */
        0x03ff6cfa, /* ! # $ % & ' * + - . 0-9 */
        0xc7fffffe, /* A-Z ^ _ */
        0x57ffffff, /* ` a-z | ~ */
    };
    unsigned char byte = (unsigned char)c;
    return bits[byte >> 5] >> (byte & 31) & 1;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static void skip(cam_slice *text, size_t len) {
    text->ptr += len;
    text->len -= len;
}

static void skip_space(cam_slice *text) {
    while (text->len > 0 && is_space(*text->ptr)) {
        skip(text, 1);
    }
}

/* Takes a character and the white space after it, if it comes next. */
static bool take(cam_slice *text, char c) {
    if (text->len == 0 || *text->ptr != c) {
        return false;
    }
    skip(text, 1);
    skip_space(text);
    return true;
}

/* Takes a token, and the white space after it. */
static bool take_token(cam_slice *text, cam_slice *token) {
    size_t len = 0;
    while (len < text->len && is_token(text->ptr[len])) {
        len++;
    }
    *token = (cam_slice){text->ptr, len};
    skip(text, len);
    skip_space(text);
    return len > 0;
}

/* Takes a quoted string whose content is a token, as section 9.1 wants it, its first quote taken
 * already. */
static bool take_quoted(cam_slice *text, cam_slice *content) {
    size_t len = 0;
    size_t characters = 0;
    for (; len < text->len && text->ptr[len] != '"'; len++, characters++) {
        if (text->ptr[len] == '\\' && ++len == text->len) {
            return false;
        }
        if (!is_token(text->ptr[len])) {
            return false;
        }
    }
    *content = (cam_slice){text->ptr, len};
    if (len == text->len) {
        return false;
    }
    skip(text, len + 1);
    skip_space(text);
    return characters > 0;
}

/* Skips empty items: whether there is another one. */
static bool to_item(cam_slice *rest) {
    skip_space(rest);
    while (take(rest, ',')) {
    }
    return rest->len > 0;
}

/* Behind an item there is a comma or nothing. */
static bool at_item_end(const cam_slice *rest) {
    return rest->len == 0 || *rest->ptr == ',';
}

int cam_ws_list_token(cam_slice *rest, cam_slice *token) {
    *token = (cam_slice){NULL, 0};
    if (!to_item(rest)) {
        return CAM_WS_LIST_END;
    }
    if (!take_token(rest, token) || !at_item_end(rest)) {
        return CAM_WS_LIST_MALFORMED;
    }
    return CAM_WS_LIST_ITEM;
}

int cam_ws_list_param(cam_slice *params, cam_ws_param *param) {
    *param = (cam_ws_param){{NULL, 0}, {NULL, 0}, false};
    if (!take(params, ';')) {
        return CAM_WS_LIST_END;
    }
    if (!take_token(params, &param->name)) {
        return CAM_WS_LIST_MALFORMED;
    }
    param->has_value = take(params, '=');
    if (!param->has_value) {
        return CAM_WS_LIST_ITEM;
    }
    if (params->len > 0 && *params->ptr == '"') {
        skip(params, 1);
        return take_quoted(params, &param->value) ? CAM_WS_LIST_ITEM : CAM_WS_LIST_MALFORMED;
    }
    return take_token(params, &param->value) ? CAM_WS_LIST_ITEM : CAM_WS_LIST_MALFORMED;
}

int cam_ws_list_extension(cam_slice *rest, cam_slice *name, cam_slice *params) {
    *name = *params = (cam_slice){NULL, 0};
    if (!to_item(rest)) {
        return CAM_WS_LIST_END;
    }
    if (!take_token(rest, name)) {
        return CAM_WS_LIST_MALFORMED;
    }
    cam_slice begin = *rest;
    cam_ws_param param;
    int result;
    do {
        result = cam_ws_list_param(rest, &param);
    } while (result == CAM_WS_LIST_ITEM);
    if (result < 0 || !at_item_end(rest)) {
        return CAM_WS_LIST_MALFORMED;
    }
    *params = (cam_slice){begin.ptr, begin.len - rest->len};
    return CAM_WS_LIST_ITEM;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool cam_ws_list_has(cam_slice line, const char *word) {
    size_t word_len = strlen(word);
    while (to_item(&line)) {
        const char *comma = memchr(line.ptr, ',', line.len);
        size_t len = comma != NULL ? (size_t)(comma - line.ptr) : line.len;
        size_t item = len;
        while (is_space(line.ptr[item - 1])) { /* an item begins with something else */
            item--;
        }
        if (item == word_len) {
            size_t i = 0;
            while (i < item && lower(line.ptr[i]) == word[i]) {
                i++;
            }
            if (i == item) {
                return true;
            }
        }
        skip(&line, len);
    }
    return false;
}
