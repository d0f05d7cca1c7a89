/* SPDX-License-Identifier: MIT */
/* http/forwarded: entries from the last to the first, and their hosts and ports. */
#include <string.h>

#include "check.h"
#include "http/forwarded.h"

static bool same(cam_slice slice, const char *text) {
    return slice.len == strlen(text) && memcmp(slice.ptr, text, slice.len) == 0;
}

static void test_entries(void) {
    static const struct {
        const char *list;
        const char *entries[5]; /* the last first, up to a NULL */
    } rows[] = {
        {"", {""}},
        {"a", {"a"}},
        {"a,b", {"b", "a"}},
        {" a \t,\tb\t ", {"b", "a"}},
        {"a b, c", {"c", "a b"}},
        {",", {"", ""}},
        {", , a,", {"", "a", "", ""}},
        {"1.2.3.4, [::1]:80, x", {"x", "[::1]:80", "1.2.3.4"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cam_slice list = {rows[i].list, strlen(rows[i].list)};
        cam_slice entry;
        for (int k = 0; rows[i].entries[k] != NULL; k++) {
            CHECK(cam_forwarded_last(&list, &entry), "'%s', entry %d", rows[i].list, k);
            CHECK(same(entry, rows[i].entries[k]), "'%s', entry %d: '%.*s'", rows[i].list, k,
                  (int)entry.len, entry.ptr);
        }
        CHECK(!cam_forwarded_last(&list, &entry), "'%s' has more", rows[i].list);
        CHECK(!cam_forwarded_last(&list, &entry), "'%s' begins anew", rows[i].list);
    }
}

static void test_shapes(void) {
    static const struct {
        const char *entry;
        const char *host; /* NULL: whoever knows Python has to say */
        uint32_t port;
    } rows[] = {
        {"", "", 0},
        {"1.2.3.4", "1.2.3.4", 0},
        {"1.2.3.4:1234", "1.2.3.4", 1234},
        {"1.2.3.4:0", "1.2.3.4", 0},
        {"1.2.3.4:007", "1.2.3.4", 7},
        {"1.2.3.4:999999999", "1.2.3.4", 999999999},
        {"1.2.3.4:1000000000", NULL, 0},
        {"1.2.3.4:", "1.2.3.4:", 0},
        {"1.2.3.4:http", "1.2.3.4:http", 0},
        {"1.2.3.4:0x50", "1.2.3.4:0x50", 0},
        {"1.2.3.4:+80", NULL, 0},
        {"1.2.3.4:-80", NULL, 0},
        {"1.2.3.4:8_0", NULL, 0},
        {"1.2.3.4: 80", NULL, 0},
        {"1.2.3.4:8\xb2", NULL, 0},
        {":80", "", 80},
        {"::1", "::1", 0},
        {"2001:db8::1", "2001:db8::1", 0},
        {"unix:", "unix:", 0},
        {"unknown", "unknown", 0},
        {"[::1]", "::1", 0},
        {"[::1]:443", "::1", 443},
        {"[::1]:", "::1", 0},
        {"[::1]:http", "::1", 0},
        {"[::1]: 1", NULL, 0},
        {"[::1]extra", "[::1]extra", 0},
        {"[::1", "[::1", 0},
        {"[", "[", 0},
        {"[]", "", 0},
        {"[]:1", "", 1},
        {"[1.2.3.4]:80", "1.2.3.4", 80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cam_slice entry = {rows[i].entry, strlen(rows[i].entry)};
        cam_slice host;
        uint32_t port;
        bool known = cam_forwarded_split(entry, &host, &port);
        CHECK(known == (rows[i].host != NULL), "'%s'", rows[i].entry);
        if (known && rows[i].host != NULL) {
            CHECK(same(host, rows[i].host), "'%s': '%.*s'", rows[i].entry, (int)host.len, host.ptr);
            CHECK(port == rows[i].port, "'%s': %u", rows[i].entry, (unsigned)port);
        }
    }
}

int main(void) {
    test_entries();
    test_shapes();
    return check_result();
}
