/* SPDX-License-Identifier: MIT */
#include "ws/utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080
#define WORD sizeof(uint64_t)

/* How many bytes of ASCII a text begins with: exactly, but that up to seven at its end may not be
 * counted. */
static size_t ascii_run(const uint8_t *text, size_t len) {
    size_t i = 0;
    uint64_t words[4];
    while (len - i >= 4 * WORD) {
        memcpy(words, text + i, 4 * WORD);
        if ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS) {
            break;
        }
        i += 4 * WORD;
    }
    while (len - i >= WORD) {
        memcpy(words, text + i, WORD);
        uint64_t high = words[0] & HIGH_BITS;
        if (high != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return i + (size_t)__builtin_ctzll(high) / 8;
#else
            return i + (size_t)__builtin_clzll(high) / 8;
#endif
        }
        i += WORD;
    }
    return i;
}

static bool is_continuation(uint8_t c) {
    return (c & 0xc0) == 0x80;
}

/* The length of a character of two or three bytes that is whole and that no rule but the plainest
 * concerns, which is nearly all of what there is; else 0. */
static size_t plain_character(const uint8_t *text, size_t len) {
    uint8_t c = text[0];
    if (c >= 0xc2 && c <= 0xdf && len >= 2 && is_continuation(text[1])) {
        return 2;
    }
    if (c >= 0xe1 && c <= 0xef && c != 0xed && len >= 3 && is_continuation(text[1]) &&
        is_continuation(text[2])) {
        return 3;
    }
    return 0;
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
    for (size_t i = 0; i < len;) {
        uint8_t c = bytes[i];
        if (state->left > 0) {
            if (c < state->low || c > state->high) {
                state->failed = true;
                return false;
            }
            state->left--;
            state->low = 0x80;
            state->high = 0xbf;
            i++;
        } else if (c < 0x80) {
            i += 1 + ascii_run(bytes + i + 1, len - i - 1);
        } else {
            size_t plain = plain_character(bytes + i, len - i);
            if (plain == 0 && !begin(state, c)) {
                state->failed = true;
                return false;
            }
            i += plain > 0 ? plain : 1;
        }
    }
    return true;
}
