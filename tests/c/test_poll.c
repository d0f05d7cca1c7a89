/* SPDX-License-Identifier: MIT */
/*
 * net/poll: readiness, tokens, numbers reused behind our back, wake-ups from another thread.
 *
 * Linked with the system's own poller and, as poll_kqueue, with kqueue as libkqueue emulates it on
 * Linux (CAM_EMULATED_KQUEUE). The emulation does not see that a descriptor is closed: it keeps the
 * registration, which a kernel drops, and then fails to change it for the number's next owner. So
 * there the number is given up before it is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "net/poll.h"

static const int64_t SECOND = 1000000000;

static void make_pair(int pair[2]) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
}

static int wait_one(cam_poll *poll, int64_t timeout, cam_poll_event *event) {
    cam_poll_event events[8];
    int count = cam_poll_wait(poll, timeout, events, 8);
    if (count > 0) {
        *event = events[0];
    }
    return count;
}

static void test_readiness(cam_poll *poll) {
    int pair[2];
    cam_poll_event event;
    make_pair(pair);
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_IN, 41, 0) == 0, "watch");
    CHECK(wait_one(poll, 0, &event) == 0, "nothing yet");
    CHECK(write(pair[1], "x", 1) == 1, "write");
    CHECK(wait_one(poll, SECOND, &event) == 1, "readable");
    CHECK(event.token == 41 && event.ready == CAM_POLL_IN, "token %d ready %u", (int)event.token,
          event.ready);
    CHECK(wait_one(poll, 0, &event) == 1, "level-triggered: again");
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_OUT, 42, 1) == 0, "change");
    CHECK(wait_one(poll, 0, &event) == 1 && event.token == 42 && event.ready == CAM_POLL_OUT,
          "writable");
    close(pair[1]);
    CHECK(wait_one(poll, 0, &event) == 1 && event.ready == (CAM_POLL_IN | CAM_POLL_OUT),
          "a hang-up is both");
    cam_poll_unset(poll, pair[0]);
    CHECK(wait_one(poll, 0, &event) == 0, "unwatched");
    cam_poll_unset(poll, pair[0]);
    close(pair[0]);
}

/* All that is ready of the one descriptor watched: each direction may have an event of its own. */
static uint32_t all_ready(cam_poll *poll) {
    cam_poll_event events[8];
    int count = cam_poll_wait(poll, 0, events, 8);
    uint32_t ready = 0;
    for (int i = 0; i < count; i++) {
        CHECK(events[i].token == 7, "token %d", (int)events[i].token);
        ready |= events[i].ready;
    }
    return ready;
}

static void test_directions(cam_poll *poll) {
    const uint32_t both = CAM_POLL_IN | CAM_POLL_OUT;
    int pair[2];
    make_pair(pair);
    CHECK(cam_poll_set(poll, pair[0], both, 7, 0) == 0, "watch both");
    CHECK(all_ready(poll) == CAM_POLL_OUT, "room, but no data");
    CHECK(write(pair[1], "x", 1) == 1, "write");
    CHECK(all_ready(poll) == both, "room and data");
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_IN, 7, 1) == 0, "reading alone");
    CHECK(all_ready(poll) == CAM_POLL_IN, "data");
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_OUT, 7, 1) == 0, "writing alone");
    CHECK(all_ready(poll) == CAM_POLL_OUT, "room");
    char byte;
    CHECK(read(pair[0], &byte, 1) == 1, "read");
    CHECK(cam_poll_set(poll, pair[0], both, 7, 1) == 0, "both again");
    CHECK(shutdown(pair[1], SHUT_WR) == 0, "half-close");
    CHECK(all_ready(poll) == both, "the end can be read, and there is room");
    char block[4096] = {0};
    while (write(pair[0], block, sizeof(block)) > 0) {
    }
    CHECK(all_ready(poll) == CAM_POLL_IN, "no more room");
    cam_poll_unset(poll, pair[0]);
    CHECK(all_ready(poll) == 0, "unwatched");
    close(pair[0]);
    close(pair[1]);
}

static void test_reused_number(cam_poll *poll) {
    int pair[2];
    cam_poll_event event;
    make_pair(pair);
    int number = pair[0];
    CHECK(cam_poll_set(poll, number, CAM_POLL_OUT, 1, 0) == 0, "watch");
#ifdef CAM_EMULATED_KQUEUE
    cam_poll_unset(poll, number);
#endif
    close(pair[0]);
    close(pair[1]);
    make_pair(pair);
    CHECK(pair[0] == number, "the number is reused");
    CHECK(cam_poll_set(poll, number, CAM_POLL_OUT, 2, 1) == 0, "wrongly called known");
    CHECK(wait_one(poll, 0, &event) == 1 && event.token == 2, "new token");
    CHECK(cam_poll_set(poll, number, CAM_POLL_OUT, 3, 0) == 0, "wrongly called new");
    CHECK(wait_one(poll, 0, &event) == 1 && event.token == 3, "newer token");
    cam_poll_unset(poll, number);
    close(pair[0]);
    close(pair[1]);
    CHECK(cam_poll_set(poll, number, CAM_POLL_IN, 4, 0) == -EBADF, "a closed one");
}

static int64_t now(void) {
    struct timespec spec;
    clock_gettime(CLOCK_MONOTONIC, &spec);
    return spec.tv_sec * SECOND + spec.tv_nsec;
}

static void test_timeout(cam_poll *poll) {
    cam_poll_event event;
    for (int64_t timeout = 1; timeout <= 10000000; timeout *= 100) {
        int64_t start = now();
        CHECK(wait_one(poll, timeout, &event) == 0, "nothing");
        CHECK(now() - start >= timeout, "early by %d ns", (int)(timeout - (now() - start)));
    }
}

static void *wake(void *poll) {
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
    (void)cam_poll_wake(poll);
    return NULL;
}

static void test_edges(cam_poll *poll) {
    int pair[2];
    char byte;
    cam_poll_event event;
    make_pair(pair);
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_IN | CAM_POLL_EDGE, 51, 0) == 0, "watch");
    CHECK(write(pair[1], "x", 1) == 1, "write");
    CHECK(wait_one(poll, SECOND, &event) == 1, "readable");
    CHECK(event.token == 51 && event.ready == CAM_POLL_IN, "token %d ready %u", (int)event.token,
          event.ready);
    CHECK(wait_one(poll, 0, &event) == 0, "edge-triggered: told once");
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_IN | CAM_POLL_EDGE, 52, 1) == 0, "set anew");
    CHECK(wait_one(poll, 0, &event) == 1 && event.token == 52, "told once more");
    CHECK(wait_one(poll, 0, &event) == 0, "and no more");
    CHECK(read(pair[0], &byte, 1) == 1 && write(pair[1], "y", 1) == 1, "read and write");
    CHECK(wait_one(poll, SECOND, &event) == 1, "readable again");
    CHECK(cam_poll_set(poll, pair[0], CAM_POLL_IN, 53, 1) == 0, "level-triggered from now on");
    CHECK(wait_one(poll, 0, &event) == 1 && wait_one(poll, 0, &event) == 1, "told each time");
    cam_poll_unset(poll, pair[0]);
    close(pair[0]);
    close(pair[1]);
}

static void test_wake(cam_poll *poll) {
    pthread_t thread;
    cam_poll_event event;
    CHECK(pthread_create(&thread, NULL, wake, poll) == 0, "thread");
    CHECK(wait_one(poll, -1, &event) == 0, "woken, with no event");
    pthread_join(thread, NULL);
    CHECK(wait_one(poll, 0, &event) == 0, "drained");
    CHECK(cam_poll_wake(poll) == 0 && cam_poll_wake(poll) == 0, "before the wait");
    CHECK(wait_one(poll, -1, &event) == 0, "the next wait returns at once");
    CHECK(wait_one(poll, 0, &event) == 0, "drained of both");
    for (int i = 0; i < 3; i++) {
        CHECK(cam_poll_wake(poll) == 0, "wake");
        CHECK(wait_one(poll, -1, &event) == 0, "each wake-up counts");
    }
}

int main(void) {
    cam_poll poll;
    CHECK(cam_poll_init(&poll) == 0, "init");
    test_readiness(&poll);
    test_directions(&poll);
    test_reused_number(&poll);
    test_edges(&poll);
    test_timeout(&poll);
    test_wake(&poll);
    cam_poll_fini(&poll);
    cam_poll_fini(&poll);
    CHECK(poll.fd == -1 && poll.wake_fd == -1, "closed");
    return check_result();
}
