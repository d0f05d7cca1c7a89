/* SPDX-License-Identifier: MIT */
#include "net/peers.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"

bool cam_ip_parse(cam_ip *ip, const char *text, size_t len) {
    char copy[INET6_ADDRSTRLEN];
    if (len == 0 || len >= sizeof copy || memchr(text, 0, len) != NULL) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = 0;
    memset(ip, 0, sizeof *ip);
    bool v6 = memchr(text, ':', len) != NULL;
    ip->size = v6 ? 16 : 4;
    return inet_pton(v6 ? AF_INET6 : AF_INET, copy, ip->bytes) == 1;
}

int cam_peers_add(cam_peers *peers, const cam_ip *ip, unsigned bits) {
    if (bits > ip->size * 8U || peers->count == SIZE_MAX / sizeof(cam_peer_range)) {
        return -1;
    }
    cam_peer_range *ranges =
        cam_realloc(peers->ranges, (peers->count + 1) * sizeof(cam_peer_range));
    if (ranges == NULL) {
        return -1;
    }
    ranges[peers->count] = (cam_peer_range){*ip, (uint8_t)bits};
    peers->ranges = ranges;
    peers->count++;
    return 0;
}

static bool is_in(const cam_peer_range *range, const cam_ip *ip) {
    if (range->ip.size != ip->size) {
        return false;
    }
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(range->ip.bytes, ip->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || (range->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

bool cam_peers_contain(const cam_peers *peers, const cam_ip *ip) {
    for (size_t i = 0; i < peers->count; i++) {
        if (is_in(&peers->ranges[i], ip)) {
            return true;
        }
    }
    return false;
}

void cam_peers_free(cam_peers *peers) {
    cam_free(peers->ranges);
    peers->ranges = NULL;
    peers->count = 0;
}
