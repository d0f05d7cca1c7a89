/* SPDX-License-Identifier: MIT */
/* The poller on Linux: epoll, with an eventfd as its wake-up. */
#include "net/poll.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 256, NANOSECONDS_PER_MILLISECOND = 1000000 };

int cam_poll_init(cam_poll *poll) {
    poll->wake_fd = -1;
    poll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll->fd < 0) {
        return -errno;
    }
    poll->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Edge-triggered: each write is reported once, and nobody has to read. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = CAM_POLL_WAKE_TOKEN};
    if (poll->wake_fd < 0 || epoll_ctl(poll->fd, EPOLL_CTL_ADD, poll->wake_fd, &event) < 0) {
        int error = -errno;
        cam_poll_fini(poll);
        return error;
    }
    return 0;
}

void cam_poll_fini(cam_poll *poll) {
    if (poll->wake_fd >= 0) {
        close(poll->wake_fd);
        poll->wake_fd = -1;
    }
    if (poll->fd >= 0) {
        close(poll->fd);
        poll->fd = -1;
    }
}

int cam_poll_set(cam_poll *poll, int fd, uint32_t interest, uint64_t token, int known) {
    struct epoll_event event = {.data.u64 = token};
    if (interest & CAM_POLL_IN) {
        event.events |= EPOLLIN;
    }
    if (interest & CAM_POLL_OUT) {
        event.events |= EPOLLOUT;
    }
    if (interest & CAM_POLL_EDGE) {
        event.events |= EPOLLET;
    }
    if (interest & CAM_POLL_EXCLUSIVE) {
        /* Refused by EPOLL_CTL_MOD (epoll_ctl(2)): what there is goes first. */
        event.events |= EPOLLEXCLUSIVE;
        cam_poll_unset(poll, fd);
        known = 0;
    }
    if (epoll_ctl(poll->fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0) {
        return 0;
    }
    int retry;
    if (known && errno == ENOENT) {
        retry = EPOLL_CTL_ADD;
    } else if (!known && errno == EEXIST) {
        retry = EPOLL_CTL_MOD;
    } else {
        return -errno;
    }
    return epoll_ctl(poll->fd, retry, fd, &event) == 0 ? 0 : -errno;
}

void cam_poll_unset(cam_poll *poll, int fd) {
    struct epoll_event ignored = {0};
    (void)epoll_ctl(poll->fd, EPOLL_CTL_DEL, fd, &ignored);
}

/* epoll_pwait2 takes nanoseconds but came with Linux 5.11; before it, whole milliseconds rounded
 * up, so that no timer is early. */
static int wait_native(int fd, struct epoll_event *events, int capacity, int64_t timeout) {
    if (timeout == 0 || timeout < 0) {
        return epoll_wait(fd, events, capacity, timeout == 0 ? 0 : -1);
    }
#ifdef SYS_epoll_pwait2
    static bool missing; /* only ever goes to true */
    if (!missing) {
        struct timespec spec = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
        int count = (int)syscall(SYS_epoll_pwait2, fd, events, capacity, &spec, NULL, 0);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return count;
        }
        missing = true;
    }
#endif
    int64_t milliseconds = timeout / NANOSECONDS_PER_MILLISECOND;
    if (timeout % NANOSECONDS_PER_MILLISECOND) {
        milliseconds++;
    }
    return epoll_wait(fd, events, capacity, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds);
}

int cam_poll_wait(cam_poll *poll, int64_t timeout, cam_poll_event *events, int capacity) {
    struct epoll_event native[MAX_EVENTS];
    if (capacity > MAX_EVENTS) {
        capacity = MAX_EVENTS;
    }
    int count = wait_native(poll->fd, native, capacity, timeout);
    if (count < 0) {
        return -errno;
    }
    int written = 0;
    for (int i = 0; i < count; i++) {
        if (native[i].data.u64 == CAM_POLL_WAKE_TOKEN) {
            continue;
        }
        uint32_t ready = 0;
        if (native[i].events & ~(uint32_t)EPOLLOUT) {
            ready |= CAM_POLL_IN;
        }
        if (native[i].events & ~(uint32_t)EPOLLIN) {
            ready |= CAM_POLL_OUT;
        }
        events[written++] = (cam_poll_event){native[i].data.u64, ready};
    }
    return written;
}

int cam_poll_wake(cam_poll *poll) {
    uint64_t one = 1;
    for (;;) {
        if (write(poll->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one)) {
            return 0;
        }
        if (errno == EAGAIN) { /* the counter is full, after 2^64 wake-ups */
            uint64_t value;
            (void)!read(poll->wake_fd, &value, sizeof(value));
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}
