/* SPDX-License-Identifier: MIT */
/*
 * Readiness of file descriptors, level-triggered unless CAM_POLL_EDGE is asked for.
 *
 * The only place where the operating system's poller shows; one poll_*.c per system. The poller
 * never owns a watched descriptor. A 64-bit token given at registration comes back with each
 * event, so that the owner can tell a descriptor from an earlier one of the same number.
 * Belongs to one thread, but for cam_poll_wake, which any thread may call. Runs no user code.
 */
#ifndef CAM_NET_POLL_H
#define CAM_NET_POLL_H

#include <stddef.h>
#include <stdint.h>

enum {
    CAM_POLL_IN = 1,
    CAM_POLL_OUT = 2,
    /* Said with either: report once per change from not ready to ready, and once more whenever it
     * is set anew, instead of in every wait. Never reported back. */
    CAM_POLL_EDGE = 4,
    /* Said with CAM_POLL_IN of a listening socket: where several pollers watch it, wake one of them
     * for a connection that comes, not all. A hint: there may be no such thing. Never reported
     * back, and not to be changed but by cam_poll_unset. */
    CAM_POLL_EXCLUSIVE = 8,
};

/* The token that the poller's own wake-up reports as; never given to cam_poll_set. */
#define CAM_POLL_WAKE_TOKEN UINT64_MAX

typedef struct cam_poll_event {
    uint64_t token;
    uint32_t ready; /* CAM_POLL_*; an error or hang-up is reported as both; only what is also in
                     * the interest is to be relied upon, and each direction may have an event */
} cam_poll_event;

typedef struct cam_poll {
    int fd;      /* owned; -1 when closed */
    int wake_fd; /* owned; -1 when closed, or where the wake-up needs none */
} cam_poll;

/* 0, or negative errno with nothing held. */
int cam_poll_init(cam_poll *poll);

/* Closes what the poller owns; may be called twice. */
void cam_poll_fini(cam_poll *poll);

/* Watches fd for interest (CAM_POLL_*, not 0). `known` says whether the poller watches fd
 * already; a wrong guess, from a number closed and opened again behind our back, is mended.
 * 0 or negative errno. */
int cam_poll_set(cam_poll *poll, int fd, uint32_t interest, uint64_t token, int known);

/* Stops watching fd; one that is closed or unknown is no error. */
void cam_poll_unset(cam_poll *poll, int fd);

/* Waits until something is ready: timeout in nanoseconds, 0 = only look, negative = for ever.
 * Returns the number of events written (at most `capacity`), or negative errno (-EINTR when a
 * signal came). The wake-up is not reported as an event. */
int cam_poll_wait(cam_poll *poll, int64_t timeout, cam_poll_event *events, int capacity);

/* Makes a wait that is going on, or else the next one, return. 0 or negative errno. */
int cam_poll_wake(cam_poll *poll);

#endif
