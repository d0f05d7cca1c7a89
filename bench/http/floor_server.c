/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "floor_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 2048 };

static int watch(int poller, int operation, FloorConnection *connection) {
    struct epoll_event event = {.data.ptr = connection,
                                .events = connection->waits == FLOOR_READ ? EPOLLIN : EPOLLOUT};
    return epoll_ctl(poller, operation, connection->fd, &event);
}

static void drop(FloorConnection *connection) {
    close(connection->fd);
    free(connection);
}

static void accept_all(int poller, int listener, size_t size) {
    int fd;
    int on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        FloorConnection *connection = calloc(1, size);
        if (connection == NULL) {
            perror("calloc");
            exit(1);
        }
        *connection = (FloorConnection){.fd = fd, .waits = FLOOR_READ};
        if (watch(poller, EPOLL_CTL_ADD, connection) < 0) {
            drop(connection);
        }
    }
}

int floor_serve(int argc, char **argv, size_t size, floor_wait (*ready)(FloorConnection *)) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    FloorConnection listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
                                .waits = FLOOR_READ};
    int poller = epoll_create1(0);
    if (listener.fd < 0 || poller < 0 ||
        setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener.fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener.fd, BACKLOG) < 0 || watch(poller, EPOLL_CTL_ADD, &listener) < 0) {
        perror(argv[0]);
        return 1;
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            FloorConnection *connection = events[i].data.ptr;
            if (connection == &listener) {
                accept_all(poller, listener.fd, size);
                continue;
            }
            floor_wait before = connection->waits;
            connection->waits = ready(connection);
            if (connection->waits == FLOOR_CLOSE ||
                (connection->waits != before && watch(poller, EPOLL_CTL_MOD, connection) < 0)) {
                drop(connection);
            }
        }
    }
}

static ssize_t outcome(ssize_t count) {
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : count;
}

ssize_t floor_receive(FloorConnection *connection, char *data, size_t size) {
    ssize_t count = recv(connection->fd, data, size, 0);
    return count == 0 ? -1 : outcome(count);
}

ssize_t floor_send(FloorConnection *connection, const char *data, size_t size) {
    return outcome(send(connection->fd, data, size, MSG_NOSIGNAL));
}
