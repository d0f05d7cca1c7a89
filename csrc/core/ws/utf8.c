/* SPDX-License-Identifier: MIT */
#include "ws/utf8.h"

#include <string.h>

/* How many bytes of ASCII a text begins with, at least: all of them, or up to seven too few. */
static size_t ascii_run(const uint8_t *text, size_t len) {
    size_t i = 0;
    uint64_t words[4];
    while (len - i >= sizeof(words)) {
        memcpy(words, text + i, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080) {
            break;
        }
        i += sizeof(words);
    }
    while (len - i >= sizeof(words[0])) {
        memcpy(words, text + i, sizeof(words[0]));
        if (words[0] & 0x8080808080808080) {
            break;
        }
        i += sizeof(words[0]);
    }
    return i;
}

/*
 * The first byte of a character beyond ASCII. The first continuation byte is where overlong forms,
 * surrogates and what is above U+10FFFF show (the table at the end of RFC 3629 section 4).
 */
static bool begin(cam_utf8 *state, uint8_t c) {
    state->low = 0x80;
    state->high = 0xbf;
    if (c < 0xc2 || c > 0xf4) { /* a continuation, 2-byte overlong, or beyond the last plane */
        return false;
    }
    if (c < 0xe0) {
        state->left = 1;
    } else if (c < 0xf0) {
        state->left = 2;
        if (c == 0xe0) {
            state->low = 0xa0;
        } else if (c == 0xed) {
            state->high = 0x9f;
        }
    } else {
        state->left = 3;
        if (c == 0xf0) {
            state->low = 0x90;
        } else if (c == 0xf4) {
            state->high = 0x8f;
        }
    }
    return true;
}

bool cam_utf8_feed(cam_utf8 *state, const char *text, size_t len) {
    const uint8_t *bytes = (const uint8_t *)text;
    if (state->failed) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];
        if (state->left > 0) {
            if (c < state->low || c > state->high) {
                state->failed = true;
                return false;
            }
            state->left--;
            state->low = 0x80;
            state->high = 0xbf;
        } else if (c < 0x80) {
            i += ascii_run(bytes + i + 1, len - i - 1);
        } else if (!begin(state, c)) {
            state->failed = true;
            return false;
        }
    }
    return true;
}
