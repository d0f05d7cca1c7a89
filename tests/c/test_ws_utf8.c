/* SPDX-License-Identifier: MIT */
/*
 * UTF-8: every character, every pair of first bytes, and where a text fails.
 *
 * What is right is said twice: by RFC 3629's grammar in wide strokes below, and by encoding code
 * points. Each text is fed whole, byte by byte and cut at every place.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/utf8.h"

/* How many bytes of a text are a good beginning, by the ABNF of RFC 3629 section 4; *complete says
 * whether no character is cut off there. */
static size_t good_beginning(const uint8_t *text, size_t len, bool *complete) {
    static const struct {
        uint8_t ranges[4][2];
        int len;
    } forms[] = {
        {{{0x00, 0x7f}}, 1},
        {{{0xc2, 0xdf}, {0x80, 0xbf}}, 2},
        {{{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}}, 3},
        {{{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}, 3},
        {{{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}}, 3},
        {{{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}, 3},
        {{{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
        {{{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
        {{{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
    };
    size_t at = 0;
    *complete = true;
    while (at < len) {
        int longest = 0;
        bool whole = false;
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]) && !whole; f++) {
            int i = 0;
            while (i < forms[f].len && at + (size_t)i < len &&
                   text[at + (size_t)i] >= forms[f].ranges[i][0] &&
                   text[at + (size_t)i] <= forms[f].ranges[i][1]) {
                i++;
            }
            longest = i > longest ? i : longest;
            whole = i == forms[f].len;
        }
        at += (size_t)longest;
        if (!whole) {
            *complete = longest == 0;
            break;
        }
    }
    return at;
}

/* A text at every cut: it must fail exactly when a byte that cannot continue it is there. */
static void check_text(const char *text, size_t len) {
    bool complete;
    size_t good = good_beginning((const uint8_t *)text, len, &complete);
    CHECK(cam_utf8_valid(text, len) == (good == len && complete), "%zu good of %zu: %02x %02x",
          good, len, (uint8_t)text[0], len > 1 ? (uint8_t)text[1] : 0);
    cam_utf8 bytes = {0};
    for (size_t i = 0; i < len; i++) {
        bool ok = cam_utf8_feed(&bytes, text + i, 1);
        CHECK(ok == (i < good), "byte %zu of %zu, %zu good: %d", i, len, good, ok);
    }
    CHECK(cam_utf8_complete(&bytes) == (good == len && complete), "at the end of %zu", len);
    for (size_t cut = 0; cut <= len; cut++) {
        char *first = malloc(cut + 1);
        char *second = malloc(len - cut + 1);
        if (first == NULL || second == NULL) {
            abort();
        }
        memcpy(first, text, cut);
        memcpy(second, text + cut, len - cut);
        cam_utf8 state = {0};
        bool ok = cam_utf8_feed(&state, first, cut);
        CHECK(ok == (cut <= good), "cut at %zu of %zu, %zu good", cut, len, good);
        ok = cam_utf8_feed(&state, second, len - cut);
        CHECK(ok == (len == good), "after the cut at %zu of %zu, %zu good", cut, len, good);
        CHECK(cam_utf8_complete(&state) == (good == len && complete), "cut at %zu of %zu", cut,
              len);
        free(first);
        free(second);
    }
}

static size_t encode(char *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 63));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 63));
        out[2] = (char)(0x80 | (point & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 63));
    out[2] = (char)(0x80 | (point >> 6 & 63));
    out[3] = (char)(0x80 | (point & 63));
    return 4;
}

static void test_every_code_point(void) {
    for (uint32_t point = 0; point < 0x1fffff; point++) {
        char text[4];
        size_t len = encode(text, point);
        bool good = point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
        CHECK(cam_utf8_valid(text, len) == good, "U+%04X", point);
        CHECK(!cam_utf8_valid(text, len - 1) || len == 1, "U+%04X without its end", point);
    }
}

/* All pairs of bytes, with what may follow them, at the start and in the midst of a text. */
static void test_pairs(void) {
    static const char *const ends[] = {"", "\x80", "\xbf\x80", "\x80\xbfz", "\xc0", "z", "\xff"};
    for (int pair = 0; pair < 65536; pair++) {
        for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
            char text[32] = "0123456789";
            text[10] = (char)(pair >> 8);
            text[11] = (char)pair;
            size_t len = strlen(ends[e]);
            memcpy(text + 12, ends[e], len);
            check_text(text + 10, len + 2);
            if (pair % 97 == 0) {
                check_text(text, len + 12);
            }
        }
    }
}

/* A character at every place of a text that is long enough for all the runs of ASCII there are. */
static void test_runs(void) {
    static const char *const characters[] = {
        "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x80", "\xff", "\xed\xa0\x80", "\xc3(",
    };
    for (size_t c = 0; c < sizeof(characters) / sizeof(characters[0]); c++) {
        size_t character = strlen(characters[c]);
        for (size_t len = 0; len <= 300; len += len < 100 ? 1 : 33) {
            for (size_t at = 0; at <= len; at += len < 20 ? 1 : 7) {
                char text[320];
                memset(text, 'a', sizeof(text));
                memcpy(text + at, characters[c], character);
                check_text(text, len + character);
                check_text(text, at + character - 1);
            }
        }
    }
}

int main(void) {
    test_every_code_point();
    test_pairs();
    test_runs();
    cam_utf8 nothing = {0};
    CHECK(cam_utf8_feed(&nothing, NULL, 0) && cam_utf8_complete(&nothing), "an empty text");
    return check_result();
}
