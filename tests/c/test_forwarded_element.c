/* SPDX-License-Identifier: MIT */
/* http/forwarded_element: the elements of a line, and what is malformed. */
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "http/forwarded_element.h"

static bool same(cam_slice slice, const char *text) {
    return slice.len == strlen(text) && memcmp(slice.ptr, text, slice.len) == 0;
}

typedef struct expected {
    const char *node; /* NULL behind the last */
    uint32_t port;
    const char *scheme;
} expected;

static void test_elements(void) {
    static const struct {
        const char *line;
        expected elements[4];
    } rows[] = {
        {"", {{0}}},
        {" ,\t, ;; ,", {{0}}},
        /* The examples of RFC 7239 sections 4, 6.1 to 6.3, 7.1. */
        {"for=\"_gazonk\"", {{"_gazonk", 0, ""}}},
        {"For=\"[2001:db8:cafe::17]:4711\"", {{"2001:db8:cafe::17", 4711, ""}}},
        {"for=192.0.2.60;proto=http;by=203.0.113.43", {{"192.0.2.60", 0, "http"}}},
        {"for=192.0.2.43, for=198.51.100.17", {{"192.0.2.43", 0, ""}, {"198.51.100.17", 0, ""}}},
        {"for=_hidden, for=_SEVKISEK", {{"_hidden", 0, ""}, {"_SEVKISEK", 0, ""}}},
        {"for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
         {{"192.0.2.43", 0, ""}, {"2001:db8:cafe::17", 0, ""}, {"unknown", 0, ""}}},
        {"FOR=Unknown;PROTO=HTTPS", {{"Unknown", 0, "HTTPS"}}},
        {"proto=https", {{"", 0, "https"}}},
        {"by=_x;host=example.org", {{"", 0, ""}}},
        {"for=_a_b.c-d", {{"_a_b.c-d", 0, ""}}},
        {"fox=_a;hops=2;for=1.2.3.4", {{"1.2.3.4", 0, ""}}},
        {"secret=\"a, b; c=\\\"d\\\"\";for=1.2.3.4", {{"1.2.3.4", 0, ""}}},
        {"x=1;x=2;for=1.2.3.4", {{"1.2.3.4", 0, ""}}},
        {"for=1.2.3.4 ; proto=http\t,\tfor=5.6.7.8", {{"1.2.3.4", 0, "http"}, {"5.6.7.8", 0, ""}}},
        {";for=1.2.3.4;;proto=ws;", {{"1.2.3.4", 0, "ws"}}},
        {"for=\"1.2.3.4:80\"", {{"1.2.3.4", 80, ""}}},
        {"for=\"1.2.3.4:65535\"", {{"1.2.3.4", 65535, ""}}},
        {"for=\"1.2.3.4:_p-0.X\"", {{"1.2.3.4", 0, ""}}},
        {"for=\"unknown:9\"", {{"unknown", 9, ""}}},
        {"for=\"_a:00080\"", {{"_a", 80, ""}}},
        {"for=\"\\[::\\1]\\:\\8\";proto=\"h\\ttps\"", {{"::1", 8, "https"}}},
        {"proto=coap+tcp", {{"", 0, "coap+tcp"}}},
        {"proto=a.1-b", {{"", 0, "a.1-b"}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cam_slice rest = {rows[i].line, strlen(rows[i].line)};
        cam_forwarded_element element;
        for (const expected *e = rows[i].elements; e->node != NULL; e++) {
            CHECK(cam_forwarded_next(&rest, &element) == CAM_FORWARDED_ELEMENT, "'%s'",
                  rows[i].line);
            CHECK(same(element.node, e->node), "'%s': '%.*s'", rows[i].line, (int)element.node.len,
                  element.node.ptr);
            CHECK(element.port == e->port, "'%s': %u", rows[i].line, (unsigned)element.port);
            CHECK(same(element.scheme, e->scheme), "'%s': '%.*s'", rows[i].line,
                  (int)element.scheme.len, element.scheme.ptr);
        }
        CHECK(cam_forwarded_next(&rest, &element) == CAM_FORWARDED_END, "'%s'", rows[i].line);
    }
}

static void test_malformed(void) {
    static const char *const lines[] = {
        "for",
        "for=",
        "=1.2.3.4",
        "for =1.2.3.4",
        "for= 1.2.3.4",
        "1.2.3.4",
        "for=1.2.3.4 proto=http",
        "for=\"1.2.3.4\"x",
        "for=\"1.2.3.4",
        "for=\"1.2.3.4\\",
        "for=\"1.2.3.4\\\x01\"",
        "for=\"1.2.3.4\x7f\"",
        "for=1.2.3.4;for=1.2.3.4",
        "for=1.2.3.4;FOR=5.6.7.8",
        "proto=http;proto=http",
        "by=_a;by=_b",
        "host=a;host=a",
        "for=1.2.3.4:80",
        "for=[::1]",
        "for=\"::1\"",
        "for=\"[::1\"",
        "for=\"[::1]80\"",
        "for=\"[::g]\"",
        "for=\"[]\"",
        "for=\"[fe80::1%eth0]\"",
        "for=\"\"",
        "for=\":80\"",
        "for=1.2.3",
        "for=01.2.3.4",
        "for=1.2.3.256",
        "for=localhost",
        "for=unknowm",
        "for=_",
        "for=_a!",
        "for=_a~",
        "for=\"_a b\"",
        "for=\"1.2.3.4:\"",
        "for=\"1.2.3.4:8o\"",
        "for=\"1.2.3.4:65536\"",
        "for=\"1.2.3.4:000080\"",
        "for=\"1.2.3.4:_\"",
        "proto=\"\"",
        "proto=1http",
        "proto=http_s",
        "proto=h~",
        "proto=\"http:\"",
        "a@b=c",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cam_slice rest = {lines[i], strlen(lines[i])};
        cam_forwarded_element element;
        CHECK(cam_forwarded_next(&rest, &element) == CAM_FORWARDED_MALFORMED, "'%s'", lines[i]);
    }
}

/* Quoted pairs, in as much as there is room for and in more. */
static void test_room(void) {
    for (size_t size = CAM_FORWARDED_ROOM; size <= CAM_FORWARDED_ROOM + 1; size++) {
        char line[CAM_FORWARDED_ROOM + 16] = "for=\"\\_";
        size_t begin = strlen(line) - 1; /* of the node */
        memset(line + begin + 1, 'a', size - 1);
        line[begin + size] = '"';
        cam_slice rest = {line, begin + size + 1};
        cam_forwarded_element element;
        int found = cam_forwarded_next(&rest, &element);
        if (size > CAM_FORWARDED_ROOM) {
            CHECK(found == CAM_FORWARDED_MALFORMED, "%d", found);
        } else {
            CHECK(found == CAM_FORWARDED_ELEMENT && element.node.len == size, "%d", found);
        }
    }
}

int main(void) {
    test_elements();
    test_malformed();
    test_room();
    return check_result();
}
