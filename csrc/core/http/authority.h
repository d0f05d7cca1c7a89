/* SPDX-License-Identifier: MIT */
/*
 * host[:port] as in a Host header or an http URI (RFC 3986 section 3.2, RFC 9110 section 7.2).
 *
 * Without user information, which http must not have (RFC 9110 section 4.2.4). Hosts are a
 * registered name, which includes IPv4 addresses, or an IPv6 address in brackets; literals of
 * "future" address versions and zone identifiers mean nothing to a server and are refused.
 * Percent-encoded bytes are checked and left as they are. Stateless, runs no user code.
 */
#ifndef CAM_HTTP_AUTHORITY_H
#define CAM_HTTP_AUTHORITY_H

#include <stdbool.h>

#include "base/slice.h"

typedef struct cam_authority {
    cam_slice host; /* without the brackets of an IPv6 address; borrowed from the text */
    int port;       /* 0 .. 65535, -1 when there is none (or "host:" with nothing after it) */
    bool ipv6;
} cam_authority;

/* True, and *authority filled in, when the text is a host that is not empty with an optional
 * port; false leaves *authority undefined. */
bool cam_authority_parse(cam_authority *authority, const char *text, size_t len);

#endif
