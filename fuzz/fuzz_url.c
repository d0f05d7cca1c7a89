/* SPDX-License-Identifier: MIT */
/*
 * URLs and request targets from anywhere.
 *
 * An input fails when it is judged or cut otherwise than by a second reading, which goes from the
 * end to the beginning: fragment, query, path, then what is before them. Hosts are read by the same
 * function there, which has a target of its own.
 */
#include "fuzz.h"
#include "http/authority.h"
#include "http/url.h"

static bool is_visible(char c) {
    return c > ' ' && c < 0x7f;
}

static bool is_user_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:%", c) != NULL);
}

static bool is_scheme(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z');
        bool other = (text[i] >= '0' && text[i] <= '9') || text[i] == '+' || text[i] == '-' ||
                     text[i] == '.';
        if (!letter && (i == 0 || !other)) {
            return false;
        }
    }
    return len > 0;
}

/* Takes off the text what is behind the first of these marks, which goes too. */
static cam_slice take_behind(const char *text, size_t *len, char mark) {
    const char *at = memchr(text, mark, *len);
    cam_slice part = {NULL, 0};
    if (at != NULL) {
        part = (cam_slice){at + 1, *len - (size_t)(at - text) - 1};
        *len = (size_t)(at - text);
    }
    return part;
}

static bool read_authority(cam_url *out, const char *text, size_t len) {
    size_t user = 0;
    while (user < len && text[user] != '@') {
        user++;
    }
    if (user < len) {
        out->userinfo = (cam_slice){text, user};
        for (size_t i = 0; i < user; i++) {
            if (!is_user_char(text[i])) {
                return false;
            }
        }
        text += user + 1;
        len -= user + 1;
    }
    cam_authority authority;
    if (!cam_authority_parse(&authority, text, len)) {
        return false;
    }
    out->host = authority.host;
    out->port = authority.port;
    return true;
}

static bool read_plainly(cam_url *out, const char *text, size_t len) {
    *out = (cam_url){.port = -1};
    for (size_t i = 0; i < len; i++) {
        if (!is_visible(text[i])) {
            return false;
        }
    }
    bool hash = memchr(text, '#', len) != NULL;
    out->fragment = take_behind(text, &len, '#');
    if (hash && memchr(out->fragment.ptr, '#', out->fragment.len) != NULL) {
        return false;
    }
    out->query = take_behind(text, &len, '?');
    if (len > 0 && (text[0] == '/' || text[0] == '*')) {
        out->path = (cam_slice){text, len};
        return true;
    }
    size_t colon = 0;
    while (colon < len && text[colon] != ':') {
        colon++;
    }
    if (len - colon < 3 || memcmp(text + colon, "://", 3) != 0 || !is_scheme(text, colon)) {
        return false;
    }
    out->scheme = (cam_slice){text, colon};
    size_t begin = colon + 3;
    size_t end = begin;
    while (end < len && text[end] != '/') {
        end++;
    }
    out->path = (cam_slice){text + end, len - end};
    return read_authority(out, text + begin, end - begin);
}

static bool is_same(cam_slice one, cam_slice other) {
    return one.len == other.len && (one.len == 0 || one.ptr == other.ptr);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    const char *text = fuzz_guard((const char *)input, size);
    cam_url ours;
    cam_url plain;
    bool good = cam_url_parse(&ours, text, size);
    REQUIRE(good == read_plainly(&plain, text, size));
    if (good) {
        REQUIRE(is_same(ours.scheme, plain.scheme) && is_same(ours.userinfo, plain.userinfo));
        REQUIRE(is_same(ours.host, plain.host) && ours.port == plain.port);
        REQUIRE(is_same(ours.path, plain.path) && is_same(ours.query, plain.query));
        REQUIRE(is_same(ours.fragment, plain.fragment));
    }
    return 0;
}
