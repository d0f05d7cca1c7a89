/* SPDX-License-Identifier: MIT */
/*
 * A set of peers by address: single ones and networks, for "who may tell us where a connection
 * comes from".
 *
 * An IPv4 address and the IPv6 address that it is mapped to (::ffff:0:0/96) are different ones
 * here, as they are to Python's ipaddress and so to uvicorn. A set is a few entries that are
 * looked at one by one. It owns its memory; by value, all zero is the empty set.
 */
#ifndef CAM_NET_PEERS_H
#define CAM_NET_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cam_ip {
    uint8_t bytes[16]; /* in network order; of an IPv4 address the first four, the rest 0 */
    uint8_t size;      /* 4 or 16 */
} cam_ip;

/* Reads an address as inet_pton(3) does: no name, no port, no scope ("%eth0"), no brackets. False
 * when it is none. */
bool cam_ip_parse(cam_ip *ip, const char *text, size_t len);

typedef struct cam_peer_range {
    cam_ip ip;
    uint8_t bits; /* that count: 32 or 128 for a single address */
} cam_peer_range;

typedef struct cam_peers {
    cam_peer_range *ranges;
    size_t count;
} cam_peers;

/* Adds the addresses that begin with the first `bits` of ip. 0, or -1 when there is no memory or
 * there are more bits than an address has. */
int cam_peers_add(cam_peers *peers, const cam_ip *ip, unsigned bits);

bool cam_peers_contain(const cam_peers *peers, const cam_ip *ip);

void cam_peers_free(cam_peers *peers);

#endif
