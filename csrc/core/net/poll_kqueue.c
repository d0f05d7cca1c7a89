/* SPDX-License-Identifier: MIT */
/*
 * The poller on macOS and the BSDs: kqueue, with EVFILT_USER as its wake-up.
 *
 * A descriptor has up to two registrations (knotes) here, one to read and one to write, each with
 * the token; the kernel drops both when the descriptor is closed. They are level-triggered without
 * EV_CLEAR and edge-triggered with it.
 */
#include "net/poll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef EVFILT_USER
#error "this kqueue has no EVFILT_USER, which wakes the loop for calls from other threads"
#endif

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a token must fit into udata");

enum { MAX_EVENTS = 256, WAKE_IDENT = 0 };

/* udata is a pointer on most systems and an integer on some. */
#define SET(change, ident, filter, flags, fflags, token)                                           \
    EV_SET((change), (uintptr_t)(ident), (filter), (flags), (fflags), 0,                           \
           (__typeof__((change)->udata))(uintptr_t)(token))

/* Applies one change; 0 or negative errno. */
static int apply(const cam_poll *poll, const struct kevent *change) {
    /* A change is applied before the call can be interrupted (kqueue(2)). */
    return kevent(poll->fd, change, 1, NULL, 0, NULL) < 0 && errno != EINTR ? -errno : 0;
}

int cam_poll_init(cam_poll *poll) {
    poll->wake_fd = -1; /* the wake-up is no descriptor here */
    poll->fd = kqueue();
    if (poll->fd < 0) {
        return -errno;
    }
    struct kevent wake;
    SET(&wake, WAKE_IDENT, EVFILT_USER, EV_ADD | EV_CLEAR, 0, CAM_POLL_WAKE_TOKEN);
    int error = fcntl(poll->fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : apply(poll, &wake);
    if (error < 0) {
        cam_poll_fini(poll);
    }
    return error;
}

void cam_poll_fini(cam_poll *poll) {
    if (poll->fd >= 0) {
        close(poll->fd);
        poll->fd = -1;
    }
}

/* Adds or removes one direction; the other is left alone. `flags` are EV_ADD's, 0 to remove. */
static int set_filter(cam_poll *poll, int fd, short filter, unsigned short flags, uint64_t token) {
    struct kevent change;
    if (flags != 0) {
        /* EV_ADD does not take EV_CLEAR from a registration, nor give it one; libkqueue's changes
         * nothing at all. */
        SET(&change, fd, filter, EV_DELETE, 0, token);
        (void)apply(poll, &change);
    }
    SET(&change, fd, filter, flags ? flags : EV_DELETE, 0, token);
    int error = apply(poll, &change);
    return flags == 0 && error == -ENOENT ? 0 : error;
}

/* `known` is of no use: what the kernel does not know is not missed. */
int cam_poll_set(cam_poll *poll, int fd, uint32_t interest, uint64_t token, int known) {
    (void)known;
    unsigned short add = interest & CAM_POLL_EDGE ? EV_ADD | EV_CLEAR : EV_ADD;
    int error = set_filter(poll, fd, EVFILT_READ, interest & CAM_POLL_IN ? add : 0, token);
    if (error == 0) {
        error = set_filter(poll, fd, EVFILT_WRITE, interest & CAM_POLL_OUT ? add : 0, token);
    }
    if (error < 0) {
        cam_poll_unset(poll, fd);
    }
    return error;
}

void cam_poll_unset(cam_poll *poll, int fd) {
    (void)set_filter(poll, fd, EVFILT_READ, 0, 0);
    (void)set_filter(poll, fd, EVFILT_WRITE, 0, 0);
}

/* The end of what can be read may be a half-close. An end of writing means the peer is gone. */
static uint32_t ready_of(const struct kevent *event) {
    if (event->flags & EV_ERROR) {
        return CAM_POLL_IN | CAM_POLL_OUT;
    }
    if (event->filter == EVFILT_READ) {
        return CAM_POLL_IN;
    }
    return event->flags & EV_EOF ? CAM_POLL_IN | CAM_POLL_OUT : CAM_POLL_OUT;
}

int cam_poll_wait(cam_poll *poll, int64_t timeout, cam_poll_event *events, int capacity) {
    struct kevent native[MAX_EVENTS];
    if (capacity > MAX_EVENTS) {
        capacity = MAX_EVENTS;
    }
    struct timespec limit = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    int count = kevent(poll->fd, NULL, 0, native, capacity, timeout < 0 ? NULL : &limit);
    if (count < 0) {
        return -errno;
    }
    int written = 0;
    for (int i = 0; i < count; i++) {
        if (native[i].filter == EVFILT_USER) {
            continue; /* EV_CLEAR: drained by having been reported */
        }
        uint64_t token = (uint64_t)(uintptr_t)native[i].udata;
        events[written++] = (cam_poll_event){token, ready_of(&native[i])};
    }
    return written;
}

int cam_poll_wake(cam_poll *poll) {
    struct kevent wake;
    SET(&wake, WAKE_IDENT, EVFILT_USER, 0, NOTE_TRIGGER, CAM_POLL_WAKE_TOKEN);
    return apply(poll, &wake);
}
