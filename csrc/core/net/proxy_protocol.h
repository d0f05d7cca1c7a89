/* SPDX-License-Identifier: MIT */
/*
 * The header of the PROXY protocol, versions 1 and 2: with it a proxy tells, before the first byte
 * of a connection, who is at its two ends (haproxy.org, proxy-protocol.txt, of 2020/03/05).
 *
 * Incremental: bytes go in as they come, and the verdict is the same however they were cut. Strict:
 * what the specification does not allow is an error, as soon as the byte that shows it is there.
 * Bounded: what is kept is in the struct itself; type-length-value fields of version 2 are skipped,
 * not kept. By value, all zero is the start of a connection. No allocation.
 */
#ifndef CAM_NET_PROXY_PROTOCOL_H
#define CAM_NET_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/peers.h"

enum {
    CAM_PROXY_LINE = 107,                     /* bytes of a header of version 1, at most */
    CAM_PROXY_PATH = 108,                     /* of the path of a UNIX socket */
    CAM_PROXY_FIXED = 16,                     /* of a header of version 2 before the addresses */
    CAM_PROXY_HEAD = 16 + 2 * CAM_PROXY_PATH, /* kept of a header of version 2, at most */
};

/* What cam_proxy_feed returns; the errors are negative. */
enum {
    CAM_PROXY_DONE = 0,
    CAM_PROXY_MORE = 1,
    CAM_PROXY_E_MISSING = -1, /* the connection does not begin with a header */
    CAM_PROXY_E_LINE = -2,    /* version 1: the line is none, or is too long */
    CAM_PROXY_E_ADDRESS = -3, /* version 1: an address or a port is none */
    CAM_PROXY_E_VERSION = -4, /* version 2: version, command, family or protocol are unknown */
    CAM_PROXY_E_LENGTH = -5,  /* version 2: too short for the addresses of its family */
};

typedef enum cam_proxy_family {
    CAM_PROXY_NONE, /* the proxy speaks for itself, or cannot tell: the ends are the socket's */
    CAM_PROXY_IP,
    CAM_PROXY_UNIX,
} cam_proxy_family;

/* One end of the connection. */
typedef struct cam_proxy_end {
    cam_ip ip; /* CAM_PROXY_IP; both ends are of one size */
    uint16_t port;
    char path[CAM_PROXY_PATH]; /* CAM_PROXY_UNIX; not terminated when it is that long */
} cam_proxy_end;

typedef struct cam_proxy {
    /* Filled in with CAM_PROXY_DONE. */
    cam_proxy_end source; /* who has connected to the proxy */
    cam_proxy_end target; /* to which address */
    uint8_t family;       /* cam_proxy_family */
    uint8_t version;      /* 1 or 2 */

    /* private */
    size_t used;
    size_t skip; /* bytes of the header behind what is kept */
    char head[CAM_PROXY_HEAD];
} cam_proxy;

/*
 * Takes the next bytes of a connection. CAM_PROXY_MORE: all of them belong to the header, which is
 * not complete. CAM_PROXY_DONE: the header is complete and *used of them were its. Else an error,
 * after which the connection means nothing.
 */
int cam_proxy_feed(cam_proxy *proxy, const char *data, size_t size, size_t *used);

/* An error in a few words, a constant. */
const char *cam_proxy_error(int error);

#endif
