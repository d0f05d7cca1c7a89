/* SPDX-License-Identifier: MIT */
/*
 * host[:port] as in a Host header or an http URI (RFC 3986 section 3.2, RFC 9110 section 7.2).
 *
 * Hosts are a registered name, which includes IPv4 addresses, or in brackets an IPv6 address or an
 * address of a version to come. The last means nothing to us, but it is a valid value of Host, and
 * only what is invalid is to be refused (RFC 9112 section 3.2); whom it names is for the
 * application to know. Refused are user information (RFC 9110 section 4.2.4), a port without a host
 * (section 4.2.1), a port that TCP does not have, and zone identifiers, which RFC 3986 does not
 * know and nobody may send (RFC 6874 section 1). Percent-encoded bytes are checked and left as they
 * are. Stateless, runs no user code.
 */
#ifndef CAM_HTTP_AUTHORITY_H
#define CAM_HTTP_AUTHORITY_H

#include <stdbool.h>

#include "base/slice.h"

typedef struct cam_authority {
    cam_slice host; /* without the brackets of an address literal; borrowed from the text */
    int port;       /* 0 .. 65535, -1 when there is none (or "host:" with nothing after it) */
    bool ipv6;      /* host is an IPv6 address; false for other literals */
} cam_authority;

/* True, and *authority filled in, when the text is a host that is not empty with an optional
 * port; false leaves *authority undefined. */
bool cam_authority_parse(cam_authority *authority, const char *text, size_t len);

/* IPv4address of RFC 3986: four numbers up to 255 without leading zeros. */
bool cam_authority_is_ipv4(const char *text, size_t len);

/* IPv6address, without brackets: eight groups, of which one "::" may stand for one or more, and the
 * last two of which may be written as an IPv4 address. */
bool cam_authority_is_ipv6(const char *text, size_t len);

#endif
