/* SPDX-License-Identifier: MIT */
/*
 * The headers of proxies: X-Forwarded-For from its end, Forwarded (RFC 7239) from its beginning.
 *
 * An input is a line. Beyond what the sanitizers see, an input fails when entries are not what is
 * between the commas, when an element of Forwarded holds what section 6 does not let it, or when
 * elements written out again are read otherwise.
 */
#include "fuzz.h"
#include "http/forwarded.h"
#include "http/forwarded_element.h"

enum { INPUT_LIMIT = 1 << 14 };

static void check_list(const char *line, size_t len) {
    cam_slice list = {line, len};
    cam_slice entry;
    const char *before = line + len;
    size_t commas = 0;
    size_t entries = 0;
    for (size_t i = 0; i < len; i++) {
        commas += line[i] == ',';
    }
    while (cam_forwarded_last(&list, &entry)) {
        REQUIRE(entry.ptr >= line && entry.ptr + entry.len <= before);
        REQUIRE(entry.len == 0 || memchr(entry.ptr, ',', entry.len) == NULL);
        before = entry.ptr;
        cam_slice host;
        uint32_t port;
        if (cam_forwarded_split(entry, &host, &port)) {
            REQUIRE(host.len <= entry.len && port <= 999999999);
        }
        entries++;
    }
    REQUIRE(entries == commas + 1);
}

static bool is_one_of(char c, const char *chars) {
    return c != '\0' && strchr(chars, c) != NULL;
}

static void check_element(const cam_forwarded_element *element) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    REQUIRE(element->port <= 65535);
    for (size_t i = 0; i < element->node.len; i++) {
        REQUIRE(is_one_of(element->node.ptr[i], letters) ||
                is_one_of(element->node.ptr[i], ".:_-"));
    }
    for (size_t i = 0; i < element->scheme.len; i++) {
        REQUIRE(is_one_of(element->scheme.ptr[i], letters) ||
                is_one_of(element->scheme.ptr[i], "+-."));
    }
}

/* Writes an element as plainly as can be; its length. */
static size_t write_element(char *out, const cam_forwarded_element *element) {
    size_t len = 0;
    bool v6 = element->node.len > 0 && memchr(element->node.ptr, ':', element->node.len) != NULL;
    if (element->node.len > 0) {
        len += (size_t)sprintf(out, "for=\"%s%.*s%s:%u\";", v6 ? "[" : "", (int)element->node.len,
                               element->node.ptr, v6 ? "]" : "", (unsigned)element->port);
    }
    if (element->scheme.len > 0) {
        len += (size_t)sprintf(out + len, "proto=%.*s;", (int)element->scheme.len,
                               element->scheme.ptr);
    }
    return len + (size_t)sprintf(out + len, "by=_x");
}

static bool same(cam_slice a, cam_slice b) {
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static void check_elements(const char *line, size_t len) {
    static char out[INPUT_LIMIT + 64];
    cam_slice rest = {line, len};
    cam_forwarded_element element;
    int found;
    while ((found = cam_forwarded_next(&rest, &element)) == CAM_FORWARDED_ELEMENT) {
        REQUIRE(rest.ptr + rest.len == line + len && rest.ptr > line);
        check_element(&element);
        cam_slice again = {out, write_element(out, &element)};
        cam_forwarded_element other;
        REQUIRE(cam_forwarded_next(&again, &other) == CAM_FORWARDED_ELEMENT && again.len == 0);
        REQUIRE(same(element.node, other.node) && same(element.scheme, other.scheme));
        REQUIRE(element.port == other.port);
        REQUIRE(cam_forwarded_next(&again, &other) == CAM_FORWARDED_END);
    }
    REQUIRE(found == CAM_FORWARDED_MALFORMED || rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    if (size > INPUT_LIMIT) {
        return 0;
    }
    const char *line = fuzz_guard((const char *)input, size);
    check_list(line, size);
    check_elements(line, size);
    return 0;
}
