/* SPDX-License-Identifier: MIT */
/*
 * Every search of http/scan.h beside one byte by byte: each byte at each place of texts of each
 * length about one and two blocks, in allocations of just their size.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "check.h"
#include "http/scan.h"

#define LONGEST 40

static bool is_control(unsigned char c) {
    return c < 0x20 || c == 0x7f;
}

static bool is_control_but_tab(unsigned char c) {
    return is_control(c) && c != '\t';
}

static bool is_no_target(unsigned char c) {
    return c <= 0x20 || c >= 0x7f || c == '#';
}

static bool is_colon(unsigned char c) {
    return c == ':';
}

static size_t controls(const char *text, size_t from, size_t to) {
    return cam_scan(text, from, to, cam_scan_controls);
}

static size_t no_target(const char *text, size_t from, size_t to) {
    return cam_scan(text, from, to, cam_scan_no_target);
}

static size_t colons(const char *text, size_t from, size_t to) {
    return cam_scan(text, from, to, cam_scan_colons);
}

static const struct {
    size_t (*find)(const char *text, size_t from, size_t to);
    bool (*is_found)(unsigned char c);
} searches[] = {
    {controls, is_control},
    {cam_scan_control, is_control_but_tab},
    {no_target, is_no_target},
    {colons, is_colon},
};

static void check(const char *text, size_t from, size_t to) {
    for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
        size_t expected = from;
        while (expected < to && !searches[i].is_found((unsigned char)text[expected])) {
            expected++;
        }
        size_t found = searches[i].find(text, from, to);
        CHECK(found == expected, "search %zu from %zu to %zu: %zu for %zu", i, from, to, found,
              expected);
    }
}

int main(void) {
    for (size_t len = 0; len <= LONGEST; len++) {
        char *text = malloc(len > 0 ? len : 1);
        if (text == NULL) {
            return 1;
        }
        memset(text, 'a', len);
        for (size_t from = 0; from <= len; from++) {
            check(text, from, len);
        }
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                check(text, 0, len);
                check(text, at, len);
                check(text, at / 2, len);
                check(text, 0, at); /* the byte behind the end does not count */
            }
            text[at] = at % 3 == 0 ? '\t' : 'a';
        }
        free(text);
    }
    return check_result();
}
