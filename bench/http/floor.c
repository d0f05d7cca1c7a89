/* SPDX-License-Identifier: MIT */
/*
 * floor PORT: what an HTTP server costs that looks at nothing and always says the same.
 *
 * One thread, level-triggered epoll, on 127.0.0.1. A readable connection gets one recv and, for
 * each end of a head that was in it, one reply; all of them in one send. Bodies are not known, and
 * a head must come in one piece: wrk's do. A connection that fails or does not read is closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 64 * 1024, BACKLOG = 2048, MOST = 64 };

static const char reply[] = "HTTP/1.1 200 OK\r\n"
                            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                            "server: camshaft\r\n"
                            "content-type: text/plain\r\n"
                            "content-length: 13\r\n"
                            "\r\n"
                            "Hello, world!";
static char buffer[BUFFER];
static char replies[MOST * sizeof reply];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int answer(int fd) {
    ssize_t got = recv(fd, buffer, BUFFER, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (got <= 0) {
        return -1;
    }
    size_t size = 0;
    char *at = buffer, *end = buffer + got;
    while (size < sizeof replies - sizeof reply &&
           (at = memmem(at, (size_t)(end - at), "\r\n\r\n", 4)) != NULL) {
        memcpy(replies + size, reply, sizeof reply - 1);
        size += sizeof reply - 1;
        at += 4;
    }
    return send(fd, replies, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (listener < 0 || poller < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, BACKLOG) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) {
        fail("floor");
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                if (answer(fd) < 0) {
                    close(fd);
                }
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.fd = fd;
                if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) {
                    close(fd);
                }
            }
        }
    }
}
