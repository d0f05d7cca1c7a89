/* SPDX-License-Identifier: MIT */
/*
 * The masking of WebSocket payloads (RFC 6455 section 5.3): byte i becomes byte i xor key[i mod 4].
 *
 * Pure functions: any thread, no state, no user code. The widest vectors that the machine has are
 * chosen at each call by a flag the compiler's run-time reads once per process.
 */
#ifndef CAM_WS_MASK_H
#define CAM_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Masks, or unmasks, data[0 .. len) in place. offset is where data[0] is in its payload (only its
 * two lowest bits count). data may have any alignment. */
void cam_ws_mask(char *data, size_t len, const uint8_t key[4], uint64_t offset);

/* The ways there are on this kind of machine, for the tests to compare; cam_ws_mask takes one. */
typedef struct cam__ws_mask_way {
    const char *name;
    void (*mask)(char *data, size_t len, const uint8_t key[4], uint64_t offset);
    int (*usable)(void); /* whether this very machine can do it */
} cam__ws_mask_way;

extern const cam__ws_mask_way cam__ws_mask_ways[];
extern const size_t cam__ws_mask_way_count;

#endif
