/* SPDX-License-Identifier: MIT */
/* host[:port] by RFC 3986 section 3.2. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/authority.h"

static const struct {
    const char *text;
    const char *host;
    int port;
    bool ipv6;
} good[] = {
    {"a", "a", -1, false},
    {"example.org", "example.org", -1, false},
    {"example.org.", "example.org.", -1, false},
    {"EXAMPLE.org:80", "EXAMPLE.org", 80, false},
    {"example.org:", "example.org", -1, false},
    {"example.org:0", "example.org", 0, false},
    {"example.org:65535", "example.org", 65535, false},
    {"example.org:000080", "example.org", 80, false},
    {"127.0.0.1:8000", "127.0.0.1", 8000, false},
    {"999.1.1.1", "999.1.1.1", -1, false},
    {"under_score", "under_score", -1, false},
    {"-._~!$&'()*+,;=", "-._~!$&'()*+,;=", -1, false},
    {"a%2fb", "a%2fb", -1, false},
    {"%C3%A9.example:1", "%C3%A9.example", 1, false},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", -1, false},
    {"[::]", "::", -1, true},
    {"[::1]", "::1", -1, true},
    {"[::1]:8000", "::1", 8000, true},
    {"[::1]:", "::1", -1, true},
    {"[1::]", "1::", -1, true},
    {"[2001:db8::ff00:42:8329]", "2001:db8::ff00:42:8329", -1, true},
    {"[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", -1, true},
    {"[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7::", -1, true},
    {"[::2:3:4:5:6:7:8]", "::2:3:4:5:6:7:8", -1, true},
    {"[1:2:3::5:6:7:8]", "1:2:3::5:6:7:8", -1, true},
    {"[v1.a]", "v1.a", -1, false},
    {"[VfF0.a:b:]:1", "VfF0.a:b:", 1, false},
    {"[::ffff:192.0.2.1]", "::ffff:192.0.2.1", -1, true},
    {"[::192.0.2.1]", "::192.0.2.1", -1, true},
    {"[1:2:3:4:5:6:192.0.2.1]", "1:2:3:4:5:6:192.0.2.1", -1, true},
    {"[::255.255.255.255]", "::255.255.255.255", -1, true},
    {"[::0.0.0.0]:1", "::0.0.0.0", 1, true},
    {"[ABCD:EF01::]", "ABCD:EF01::", -1, true},
};

static const char *const bad[] = {
    "",
    ":",
    ":80",
    " ",
    "a b",
    " a",
    "a ",
    "a\tb",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "user@host",
    "user:pw@host",
    "a\\b",
    "a\"b",
    "<a>",
    "a^b",
    "a|b",
    "{a}",
    "a`b",
    "a:b",
    "a:-1",
    "a:+1",
    "a:0x1",
    "a:65536",
    "a:99999999999999999999",
    "a:8 0",
    "a:80 ",
    "a: 80",
    "a:80:80",
    "a::80",
    "a::",
    "h\xc3\xa9",
    "a\x7f",
    "a\x01",
    "%",
    "a%",
    "a%2",
    "a%g0",
    "a%0g",
    "%%20",
    "1:2:3",
    "::1",
    "[",
    "]",
    "[]",
    "[]:80",
    "[::1",
    "::1]",
    "[::1]a",
    "[::1]80",
    "[::1]:a",
    "[::1]:65536",
    "a[::1]",
    "[[::1]]",
    "[::1]]",
    "[:]",
    "[:::]",
    "[1:]",
    "[:1]",
    "[1:::2]",
    "[::1::]",
    "[1::2::3]",
    "[12345::]",
    "[g::]",
    "[1:2:3:4:5:6:7]",
    "[1:2:3:4:5:6:7:8:9]",
    "[1:2:3:4:5:6:7:8::]",
    "[::1:2:3:4:5:6:7:8]",
    "[1:2:3:4::5:6:7:8]",
    "[1:2:3:4:5:6:7:8:]",
    "[:1:2:3:4:5:6:7:8]",
    "[::1 ]",
    "[ ::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[v]",
    "[v1]",
    "[v1.]",
    "[v.a]",
    "[vg.a]",
    "[v1:a]",
    "[v1.a/]",
    "[v1.a%41]",
    "[v1.a\x80]",
    "[w1.a]",
    "[192.0.2.1]",
    "[::192.0.2]",
    "[::192.0.2:1]",
    "[::192.0.2.]",
    "[::192.0.2.1.1]",
    "[::192.0.2.256]",
    "[::192.0.2.01]",
    "[::192.0..1]",
    "[::192.0.2.1:1]",
    "[1:2:3:4:5:6:7:192.0.2.1]",
    "[::2:3:4:5:6:7:192.0.2.1]",
    "[1:2:3:4:5:192.0.2.1]",
    "[::1.2.3.4444]",
    "[::.1.2.3]",
    "[::a.0.0.1]",
};

/* A copy without anything after it, for the address sanitizer to see a read too far. */
static bool parse(cam_authority *authority, const char *text, size_t len, char **copy) {
    *copy = malloc(len > 0 ? len : 1);
    if (*copy == NULL) {
        abort();
    }
    memcpy(*copy, text, len);
    return cam_authority_parse(authority, *copy, len);
}

int main(void) {
    cam_authority authority;
    char *copy;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        bool ok = parse(&authority, good[i].text, strlen(good[i].text), &copy);
        CHECK(ok, "%s", good[i].text);
        if (ok) {
            CHECK(authority.host.len == strlen(good[i].host) &&
                      memcmp(authority.host.ptr, good[i].host, authority.host.len) == 0,
                  "%s has host %.*s", good[i].text, (int)authority.host.len, authority.host.ptr);
            CHECK(authority.port == good[i].port, "%s has port %d", good[i].text, authority.port);
            CHECK(authority.ipv6 == good[i].ipv6, "%s", good[i].text);
        }
        free(copy);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!parse(&authority, bad[i], strlen(bad[i]), &copy), "\"%s\"", bad[i]);
        free(copy);
    }
    CHECK(!parse(&authority, "a\0b", 3, &copy), "a NUL is no part of a name");
    free(copy);
    CHECK(!parse(&authority, "[::1\0]", 6, &copy), "a NUL is no part of an address");
    free(copy);
    return check_result();
}
