/* SPDX-License-Identifier: MIT */
#include "ws/utf8.h"

#include <string.h>

#define WORD sizeof(uint64_t)

#define HIGH_BITS 0x8080808080808080 /* what ASCII does not have */

/* The highest bits of eight bytes. */
static uint64_t high_bits(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, WORD);
    return word & HIGH_BITS;
}

/* SSE2 on x86-64, NEON on AArch64; anywhere in memory. */
typedef uint64_t vector16 __attribute__((vector_size(16), aligned(1), may_alias));

enum { STEP = 8 * sizeof(vector16) };

/* How much of a text that is ASCII can be passed over in steps. */
static size_t ascii_steps(const uint8_t *text, size_t len) {
    size_t i = 0;
    for (; len - i >= STEP; i += STEP) {
        const vector16 *at = (const vector16 *)(text + i);
        vector16 all = (at[0] | at[1] | at[2] | at[3]) | (at[4] | at[5] | at[6] | at[7]);
        if (((all[0] | all[1]) & HIGH_BITS) != 0) {
            break;
        }
    }
    return i;
}

size_t cam_utf8_ascii(const char *bytes, size_t len) {
    const uint8_t *text = (const uint8_t *)bytes;
    size_t i = 0;
    while (len - i >= WORD) {
        uint64_t high = high_bits(text + i);
        if (high != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return i + (size_t)__builtin_ctzll(high) / 8;
#else
            return i + (size_t)__builtin_clzll(high) / 8;
#endif
        }
        i += WORD;
        /* Longer steps once it looks like one long run. */
        i += ascii_steps(text + i, len - i);
        while (len - i >= 4 * WORD &&
               (high_bits(text + i) | high_bits(text + i + WORD) | high_bits(text + i + 2 * WORD) |
                high_bits(text + i + 3 * WORD)) == 0) {
            i += 4 * WORD;
        }
    }
    /* The last bytes, in a word with some before them that were good. */
    if (i > 0 && high_bits(text + len - WORD) == 0) {
        return len;
    }
    while (i < len && text[i] < 0x80) {
        i++;
    }
    return i;
}

static bool is_continuation(uint8_t c) {
    return (c & 0xc0) == 0x80;
}

/* How many bytes the characters take up that a text begins with, of two or three bytes, that are
 * whole and that no rule but the plainest concerns: nearly all there are beyond ASCII. */
static size_t plain_run(const uint8_t *text, size_t len) {
    size_t i = 0;
    while (len - i >= 3 && text[i] >= 0xc2) {
        uint8_t c = text[i];
        if (!is_continuation(text[i + 1])) {
            break;
        }
        if (c < 0xe0) {
            i += 2;
        } else if (c < 0xf0 && c != 0xe0 && c != 0xed && is_continuation(text[i + 2])) {
            i += 3;
        } else {
            break;
        }
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
            i += cam_utf8_ascii(text + i, len - i);
        } else {
            size_t plain = plain_run(bytes + i, len - i);
            if (plain == 0 && !begin(state, c)) {
                state->failed = true;
                return false;
            }
            i += plain > 0 ? plain : 1;
        }
    }
    return true;
}
