/* SPDX-License-Identifier: MIT */
/*
 * How long a connection waits for its peer.
 *
 * At any time it waits for one thing (cam_timing), which follows from the state that it is in;
 * while it waits for the application there is no limit. A limit that is over is found by the
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
 * from when it became idle. Runs no user code; for CamSweep_Narrow() to follow. */
void CamTiming_Hasten(HttpProtocolObject *self);

/* The peer has sent so many bytes. Runs no user code. */
void CamTiming_Received(HttpProtocolObject *self, size_t size);

/* For the sweep: when the connection is to be looked at (no user code), and the look. */
int64_t CamTiming_NextLook(const HttpProtocolObject *self);
int CamTiming_Look(HttpProtocolObject *self, int64_t now);

#endif
