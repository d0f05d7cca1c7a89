/* SPDX-License-Identifier: MIT */
#include "http/url.h"

#include <string.h>

#include "http/authority.h"
#include "http/chars.h"

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), section 3.1; 0 when there is none. */
static size_t scheme_length(const char *text, size_t len) {
    size_t at = 0;
    while (at < len) {
        char lower = (char)cam_char_lower[(unsigned char)text[at]];
        bool letter = lower >= 'a' && lower <= 'z';
        bool other = cam_char_is(text[at], CAM_CHAR_DIGIT) || text[at] == '+' || text[at] == '-' ||
                     text[at] == '.';
        if (!letter && (at == 0 || !other)) {
            break;
        }
        at++;
    }
    return at;
}

/* [ userinfo "@" ] host [ ":" port ], section 3.2. */
static bool read_authority(cam_url *url, const char *text, size_t len) {
    const char *at = memchr(text, '@', len);
    if (at != NULL) {
        size_t user = (size_t)(at - text);
        for (size_t i = 0; i < user; i++) {
            if (!cam_char_is(text[i], CAM_CHAR_REGNAME) && text[i] != ':' && text[i] != '%') {
                return false;
            }
        }
        url->userinfo = (cam_slice){text, user};
        text += user + 1;
        len -= user + 1;
    }
    cam_authority authority;
    if (!cam_authority_parse(&authority, text, len)) {
        return false;
    }
    url->host = authority.host;
    url->port = authority.port;
    return true;
}

/* path [ "?" query ] [ "#" fragment ], sections 3.3 to 3.5. */
static bool read_path(cam_url *url, const char *text, size_t len) {
    size_t end = cam_char_span(text, len, CAM_CHAR_TARGET);
    if (end < len) {
        if (text[end] != '#' ||
            cam_char_span(text + end + 1, len - end - 1, CAM_CHAR_TARGET) != len - end - 1) {
            return false;
        }
        url->fragment = (cam_slice){text + end + 1, len - end - 1};
    }
    const char *mark = memchr(text, '?', end);
    size_t path = mark != NULL ? (size_t)(mark - text) : end;
    url->path = (cam_slice){text, path};
    if (mark != NULL) {
        url->query = (cam_slice){mark + 1, end - path - 1};
    }
    return true;
}

bool cam_url_parse(cam_url *url, const char *text, size_t len) {
    *url = (cam_url){.port = -1};
    if (len > 0 && (text[0] == '/' || text[0] == '*')) {
        return read_path(url, text, len);
    }
    size_t scheme = scheme_length(text, len);
    if (scheme == 0 || len - scheme < 3 || memcmp(text + scheme, "://", 3) != 0) {
        return false;
    }
    url->scheme = (cam_slice){text, scheme};
    size_t begin = scheme + 3;
    size_t end = begin;
    while (end < len && text[end] != '/' && text[end] != '?' && text[end] != '#') {
        end++;
    }
    return read_authority(url, text + begin, end - begin) && read_path(url, text + end, len - end);
}
