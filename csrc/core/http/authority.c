/* SPDX-License-Identifier: MIT */
#include "http/authority.h"

#include <string.h>

#include "http/chars.h"

/* dec-octet of RFC 3986: 0 to 255 without leading zeros. Its length, 0 when it is none. */
static size_t decimal_octet(const char *text, size_t len) {
    size_t digits = cam_char_span(text, len, CAM_CHAR_DIGIT);
    if (digits == 0 || digits > 3 || (digits > 1 && text[0] == '0')) {
        return 0;
    }
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (text[i] - '0');
    }
    return value <= 255 ? digits : 0;
}

bool cam_authority_is_ipv4(const char *text, size_t len) {
    size_t at = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0) {
            if (at == len || text[at] != '.') {
                return false;
            }
            at++;
        }
        size_t digits = decimal_octet(text + at, len - at);
        if (digits == 0) {
            return false;
        }
        at += digits;
    }
    return at == len;
}

bool cam_authority_is_ipv6(const char *text, size_t len) {
    int groups = 0;
    bool elided = false;
    size_t at = 0;
    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        elided = true;
        at = 2;
    }
    while (at < len) {
        size_t digits = cam_char_span(text + at, len - at, CAM_CHAR_HEX);
        if (at + digits < len && text[at + digits] == '.') {
            groups += 2;
            return cam_authority_is_ipv4(text + at, len - at) &&
                   (elided ? groups < 8 : groups == 8);
        }
        if (digits == 0 || digits > 4) {
            return false;
        }
        groups++;
        at += digits;
        if (at == len) {
            break;
        }
        if (text[at] != ':' || ++at == len) {
            return false; /* a wrong byte, or a colon with nothing after it */
        }
        if (text[at] == ':') {
            if (elided) {
                return false;
            }
            elided = true;
            at++;
        }
    }
    return elided ? groups < 8 : groups == 8;
}

/* IPvFuture of RFC 3986: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ). */
static bool is_future_address(const char *text, size_t len) {
    if (len == 0 || cam_char_lower[(uint8_t)text[0]] != 'v') {
        return false;
    }
    size_t at = 1 + cam_char_span(text + 1, len - 1, CAM_CHAR_HEX);
    if (at == 1 || at + 1 >= len || text[at] != '.') {
        return false;
    }
    for (at++; at < len; at++) {
        if (!cam_char_is(text[at], CAM_CHAR_REGNAME) && text[at] != ':') {
            return false;
        }
    }
    return true;
}

/* The length of the registered name that text begins with. */
static size_t registered_name(const char *text, size_t len) {
    size_t at = 0;
    for (;;) {
        at += cam_char_span(text + at, len - at, CAM_CHAR_REGNAME);
        if (len - at < 3 || text[at] != '%' || !cam_char_is(text[at + 1], CAM_CHAR_HEX) ||
            !cam_char_is(text[at + 2], CAM_CHAR_HEX)) {
            return at;
        }
        at += 3;
    }
}

/* The number in text, -1 for an empty text, -2 when it is no port. */
static int port_number(const char *text, size_t len) {
    if (len == 0) {
        return -1;
    }
    int port = 0;
    for (size_t i = 0; i < len; i++) {
        if (!cam_char_is(text[i], CAM_CHAR_DIGIT)) {
            return -2;
        }
        port = port * 10 + (text[i] - '0');
        if (port > 65535) {
            return -2;
        }
    }
    return port;
}

bool cam_authority_parse(cam_authority *authority, const char *text, size_t len) {
    size_t end; /* of the host, brackets included */
    if (len > 0 && text[0] == '[') {
        const char *bracket = memchr(text, ']', len);
        if (bracket == NULL) {
            return false;
        }
        end = (size_t)(bracket - text) + 1;
        authority->host = (cam_slice){text + 1, end - 2};
        authority->ipv6 = cam_authority_is_ipv6(text + 1, end - 2);
        if (!authority->ipv6 && !is_future_address(text + 1, end - 2)) {
            return false;
        }
    } else {
        end = registered_name(text, len);
        if (end == 0) {
            return false;
        }
        authority->host = (cam_slice){text, end};
        authority->ipv6 = false;
    }
    authority->port = -1;
    if (end < len) {
        if (text[end] != ':') {
            return false;
        }
        authority->port = port_number(text + end + 1, len - end - 1);
    }
    return authority->port != -2;
}
