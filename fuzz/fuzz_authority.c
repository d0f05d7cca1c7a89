/* SPDX-License-Identifier: MIT */
/*
 * host[:port] from anywhere.
 *
 * An input fails when it is judged otherwise than by a second reading: of IPv6 addresses by
 * inet_pton, of everything else by a plain one below.
 */
#include <arpa/inet.h>

#include "fuzz.h"
#include "http/authority.h"

static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           is_one_of(c, "-._~!$&'()*+,;=");
}

static bool is_name(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%') {
            static const char digits[] = "0123456789abcdefABCDEF";
            if (len - i < 3 || !is_one_of(text[i + 1], digits) || !is_one_of(text[i + 2], digits)) {
                return false;
            }
            i += 2;
        } else if (!is_name_char(text[i])) {
            return false;
        }
    }
    return len > 0;
}

static bool is_ipv6(const char *text, size_t len) {
    char copy[64] = {0};
    struct in6_addr address;
    if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL) {
        return false;
    }
    memcpy(copy, text, len);
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* "v" HEX+ "." ( name character or ":" )+ */
static bool is_future(const char *text, size_t len) {
    const char *dot = memchr(text, '.', len);
    if (len < 4 || (text[0] != 'v' && text[0] != 'V') || dot == NULL || dot < text + 2) {
        return false;
    }
    for (const char *at = text + 1; at < dot; at++) {
        if (!is_one_of(*at, "0123456789abcdefABCDEF")) {
            return false;
        }
    }
    for (const char *at = dot + 1; at < text + len; at++) {
        if (!is_name_char(*at) && *at != ':') {
            return false;
        }
    }
    return dot + 1 < text + len;
}

/* The second reading, from the end: what is behind the last colon that no bracket follows is a
 * port. */
static bool read_plainly(cam_authority *out, const char *text, size_t len) {
    size_t host = len;
    while (host > 0 && text[host - 1] != ':' && text[host - 1] != ']') {
        host--;
    }
    out->port = -1;
    if (host > 0 && text[host - 1] == ':') {
        long port = len > host ? 0 : -1;
        for (size_t i = host; i < len; i++) {
            if (!is_one_of(text[i], "0123456789")) {
                return false;
            }
            port = port * 10 + (text[i] - '0');
            if (port > 65535) {
                return false;
            }
        }
        out->port = (int)port;
        host--;
    } else {
        host = len;
    }
    out->ipv6 = false;
    out->host = (cam_slice){text, host};
    if (host > 1 && text[0] == '[') {
        out->host = (cam_slice){text + 1, host - 2};
        out->ipv6 = is_ipv6(text + 1, host - 2);
        return text[host - 1] == ']' && (out->ipv6 || is_future(text + 1, host - 2));
    }
    return is_name(text, host);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    const char *text = (const char *)input;
    cam_authority ours;
    cam_authority plain;
    bool good = cam_authority_parse(&ours, text, size);
    REQUIRE(good == read_plainly(&plain, text, size));
    if (good) {
        REQUIRE(ours.port == plain.port && ours.ipv6 == plain.ipv6);
        REQUIRE(ours.host.ptr == plain.host.ptr && ours.host.len == plain.host.len);
    }
    return 0;
}
