/* SPDX-License-Identifier: MIT */
/*
 * How long a connection waits for its peer.
 *
 * At any time it waits for one thing (cam_timing), which follows from the state that it is in;
 * while it waits for the application there is no limit, but that after which the head of an answer
 * waits no longer for the first of its body. A limit that is over is found by the
 * server's sweep (sweep.h), at the latest one of its slots after.
 *
 * Bodies and answers have two limits in one: the deadline is a credit of time, full at first,
 * which each byte that moves adds to as the least rate allows and which is never more than the
 * time-out. Silence uses it up, and so does a trickle. Without a rate any byte fills it. Bytes of
 * an answer count when the peer's system has acknowledged them, not when ours has taken them.
 */
#ifndef CAM_ASGI_TIMING_H
#define CAM_ASGI_TIMING_H

#include "asgi/connection.h"

/* The shortest of the time limits, for the sweep. */
int64_t CamTiming_Shortest(const cam_server_options *options);

/* Starts the limit of what the connection now waits for, unless it is running. 0, or -1 with an
 * exception. Runs user code (the loop's call_later), as all of the following do. */
int CamTiming_Set(HttpProtocolObject *self, cam_timing timing);

/* The same for whatever follows from the connection's state. */
int CamTiming_Settle(HttpProtocolObject *self);

/* The server is shutting down: an idle connection's limit becomes the server's `linger`, counted
 * from when it became idle; `before` is the linger that it was, CAM_FOREVER if the server was not
 * shutting down. One whose time would be over has a moment still: the loop may have stood still
 * until `now`. Runs no user code; for CamSweep_Narrow() to follow. */
void CamTiming_Hasten(HttpProtocolObject *self, int64_t before, int64_t now);

/* The loop has come `late` to a sweep: a machine or a callback stood still for so long. Peers on
 * this machine may have, too, so that an idle connection was not idle by that. Runs no user code;
 * before the sweep. */
void CamTiming_GiveBack(HttpProtocolObject *self, int64_t late);

/* The peer has sent so many bytes. Runs no user code. */
void CamTiming_Received(HttpProtocolObject *self, size_t size);

/* For the sweep: when the connection is to be looked at (no user code), and the look. */
int64_t CamTiming_NextLook(const HttpProtocolObject *self);
int CamTiming_Look(HttpProtocolObject *self, int64_t now);

#endif
