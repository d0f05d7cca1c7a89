/* SPDX-License-Identifier: MIT */
#include "ws/sha1.h"

#include <string.h>

#define BLOCK 64 /* bytes */

static uint32_t rotate(uint32_t word, int bits) {
    return word << bits | word >> (32 - bits);
}

static void store(uint8_t *out, uint32_t word) {
    out[0] = (uint8_t)(word >> 24);
    out[1] = (uint8_t)(word >> 16);
    out[2] = (uint8_t)(word >> 8);
    out[3] = (uint8_t)word;
}

/* One block into the state (RFC 3174 section 6.1). */
static void add_block(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80];
    for (int t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    }
    for (int t = 16; t < 80; t++) {
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (t < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (t < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = rotate(a, 5) + f + e + w[t] + k;
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void cam_sha1(uint8_t digest[CAM_SHA1_LEN], const void *data, size_t len) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const uint8_t *at = data;
    size_t left = len;
    for (; left >= BLOCK; left -= BLOCK) {
        add_block(state, at);
        at += BLOCK;
    }
    /* The end: a one, zeroes, and the number of bits in eight bytes (section 4). */
    uint8_t end[2 * BLOCK] = {0};
    memcpy(end, at, left);
    end[left] = 0x80;
    size_t end_len = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    uint64_t bits = (uint64_t)len << 3;
    store(end + end_len - 8, (uint32_t)(bits >> 32));
    store(end + end_len - 4, (uint32_t)bits);
    for (size_t i = 0; i < end_len; i += BLOCK) {
        add_block(state, end + i);
    }
    for (int i = 0; i < 5; i++) {
        store(digest + 4 * i, state[i]);
    }
}
