/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 checked as it arrives (RFC 3629 section 4).
 *
 * Neither surrogates, nor overlong forms, nor anything above U+10FFFF. The state is four bytes,
 * belongs to the caller, and the verdict does not depend on how the text was split. A text fails at
 * the first byte that no character can have there, even if the bytes that would complete the
 * character have not come yet.
 */
#ifndef CAM_WS_UTF8_H
#define CAM_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero is the start of a text: `(cam_utf8){0}`. */
typedef struct cam_utf8 {
    uint8_t left; /* bytes missing of the last character */
    uint8_t low;  /* what the next of them may be */
    uint8_t high;
    bool failed;
} cam_utf8;

/* Takes the next bytes: whether the text is a good beginning still. Once false, always false. */
bool cam_utf8_feed(cam_utf8 *state, const char *text, size_t len);

/* Whether the text may end here: nothing was wrong and no character is incomplete. */
static inline bool cam_utf8_complete(const cam_utf8 *state) {
    return state->left == 0 && !state->failed;
}

/* How many bytes of ASCII a text begins with. */
size_t cam_utf8_ascii(const char *text, size_t len);

/* A whole text at once. */
static inline bool cam_utf8_valid(const char *text, size_t len) {
    cam_utf8 state = {0};
    return cam_utf8_feed(&state, text, len) && cam_utf8_complete(&state);
}

#endif
