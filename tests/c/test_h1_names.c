/* SPDX-License-Identifier: MIT */
/* Every well-known name is found in any case, and nothing else is. */
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "http/h1_names.h"

static const char *const expected[] = {
#define TEXT(identifier, text) text,
    CAM_H1_NAMES(TEXT)
#undef TEXT
};

int main(void) {
    size_t longest = 0;
    for (unsigned id = 1; id < CAM_H1_NAME_COUNT; id++) {
        const char *text = expected[id - 1];
        size_t len = strlen(text);
        cam_slice known = cam_h1_name_text(id);
        CHECK(known.len == len && memcmp(known.ptr, text, len) == 0, "%s", text);
        CHECK(cam_h1_name_find(text, len) == id, "%s", text);
        longest = len > longest ? len : longest;

        char changed[64];
        for (size_t i = 0; i < len; i++) {
            changed[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
        }
        CHECK(cam_h1_name_find(changed, len) == id, "%s in upper case", text);
        for (size_t i = 0; i < len; i++) {
            memcpy(changed, text, len);
            changed[i] = (char)(changed[i] | 0x80);
            CHECK(cam_h1_name_find(changed, len) == 0, "%s with byte %zu changed", text, i);
        }
        for (size_t i = 0; i < len; i++) {
            memcpy(changed, text, len);
            for (int c = 0; c < 256; c++) {
                bool same = c == text[i] || (text[i] != '-' && c == text[i] - 32);
                changed[i] = (char)c;
                bool found = cam_h1_name_find(changed, len) == id;
                CHECK(found == same || c == '\r', "%s with 0x%02x at %zu", text, c, i);
            }
        }
        memcpy(changed, text, len);
        changed[len] = 's';
        CHECK(cam_h1_name_find(changed, len + 1) == 0, "%ss", text);
    }
    for (unsigned id = 2; id < CAM_H1_NAME_COUNT; id++) {
        CHECK(strlen(expected[id - 2]) <= strlen(expected[id - 1]), "%s is out of order",
              expected[id - 1]);
    }
    char none[64];
    memset(none, 'z', sizeof(none));
    for (size_t len = 0; len <= longest + 2; len++) {
        CHECK(cam_h1_name_find(none, len) == 0, "%zu times z", len);
    }
    CHECK(cam_h1_name_text(0).len == 0, "no name for 0");
    CHECK(cam_h1_name_text(CAM_H1_NAME_COUNT).len == 0, "no name out of range");
    return check_result();
}
