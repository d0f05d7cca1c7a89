/* SPDX-License-Identifier: MIT */
/* The tables of http/chars.c against the grammar they stand for. */
#include <string.h>

#include "check.h"
#include "http/chars.h"

static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_one_of(int c, const char *set) {
    return c != 0 && strchr(set, c) != NULL;
}

static unsigned expected_classes(int c) {
    bool alphanumeric = is_letter(c) || is_digit(c);
    bool text = c == '\t' || (c >= ' ' && c <= '~') || c >= 0x80;
    unsigned classes = 0;
    classes |= alphanumeric || is_one_of(c, "!#$%&'*+-.^_`|~") ? CAM_CHAR_TOKEN : 0;
    classes |= c > ' ' && c <= '~' && c != '#' ? CAM_CHAR_TARGET : 0;
    classes |= alphanumeric || is_one_of(c, "-._~!$&'()*+,;=") ? CAM_CHAR_REGNAME : 0;
    classes |= is_digit(c) ? CAM_CHAR_DIGIT : 0;
    classes |= is_digit(c) || is_one_of(c, "abcdefABCDEF") ? CAM_CHAR_HEX : 0;
    classes |= text ? CAM_CHAR_FIELD : 0;
    classes |= text && c != '"' && c != '\\' ? CAM_CHAR_QUOTED : 0;
    return classes;
}

int main(void) {
    for (int c = 0; c < 256; c++) {
        CHECK(cam_char_classes[c] == expected_classes(c), "byte 0x%02x", c);
        int lower = c >= 'A' && c <= 'Z' ? c + 32 : c;
        CHECK(cam_char_lower[c] == lower, "byte 0x%02x", c);
    }
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    for (unsigned i = 0; i < 32; i++) {
        CHECK(cam_char_hex(digits[i]) == i % 16, "digit %c", digits[i]);
    }
    CHECK(cam_char_span("abc:", 4, CAM_CHAR_TOKEN) == 3, "stops at the first other byte");
    CHECK(cam_char_span("abc", 3, CAM_CHAR_TOKEN) == 3, "stops at the end");
    CHECK(cam_char_span("", 0, CAM_CHAR_TOKEN) == 0, "nothing in nothing");
    CHECK(cam_char_equal("HoSt", "host", 4), "case does not count");
    CHECK(!cam_char_equal("hos\xd4", "host", 4), "only ASCII letters have case");
    return check_result();
}
