/* SPDX-License-Identifier: MIT */
/*
 * How many bytes the kernel is given of a connection's output beyond what is on its way.
 *
 * Few, so that peers that do not read cost little memory, and so that what is sent is still in the
 * processor's cache when it is read on the same machine: 96 KiB. More for a peer that had taken all
 * of that before the loop came by again, who would wait for a busy loop otherwise: twice as much
 * each time, up to 1.5 MiB. It goes back when the loop is prompt again, or the peer slow.
 *
 * No I/O: whoever owns the descriptor says what happened and sets the limit. All zero is a
 * connection of which no limit was set yet.
 */
#ifndef CAM_NET_UNSENT_H
#define CAM_NET_UNSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cam_unsent {
    uint32_t since; /* when the kernel had enough, in microseconds, the high bits cut off */
    uint8_t step;   /* 0: no limit was set yet; else one more than how often it was doubled */
    uint8_t prompt; /* how often the loop has been prompt since the last change */
} cam_unsent;

/* The limit is to be set now, cam_unsent_limit(); it is the least. */
void cam_unsent_begin(cam_unsent *unsent);

/* Bytes. */
int cam_unsent_limit(const cam_unsent *unsent);

/* The kernel has all it takes, at a time in nanoseconds. */
void cam_unsent_full(cam_unsent *unsent, int64_t now);

/* It has room again: whether it matters if everything was on its way by then. */
bool cam_unsent_was_late(const cam_unsent *unsent, int64_t now);

/* It has room again; `dry` if everything was on its way, which need only be known of late ones.
 * Whether the limit is to be set anew. */
bool cam_unsent_room(cam_unsent *unsent, int64_t now, bool dry);

#endif
