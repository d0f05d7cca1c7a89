/* SPDX-License-Identifier: MIT */
/*
 * echo_floor: what an echo server costs with no loop and no Python round it.
 *
 * Prints its port on 127.0.0.1 and echoes, on one thread with level-triggered epoll, until its
 * standard input ends. A readable connection gets one recv and one send, as a loop would do it;
 * what the kernel does not take is kept and sent when there is room. A connection that fails is
 * closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 256 * 1024, BACKLOG = 2048 };

typedef struct Connection {
    int fd;
    char *unsent; /* what the kernel did not take; reading pauses meanwhile */
    size_t start;
    size_t size;
} Connection;

static char buffer[BUFFER];
static int poller;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(Connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

static void drop(Connection *connection) {
    close(connection->fd);
    free(connection->unsent);
    free(connection);
}

/* Sends; the number of bytes taken, -1 for an error. */
static ssize_t send_some(int fd, const char *data, size_t size) {
    ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : count;
}

static void readable(Connection *connection) {
    ssize_t got = recv(connection->fd, buffer, BUFFER, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    ssize_t sent = got > 0 ? send_some(connection->fd, buffer, (size_t)got) : -1;
    if (sent < 0) {
        drop(connection);
        return;
    }
    if (sent < got) {
        connection->size = (size_t)(got - sent);
        connection->start = 0;
        connection->unsent = malloc(connection->size);
        if (connection->unsent == NULL) {
            fail("malloc");
        }
        memcpy(connection->unsent, buffer + sent, connection->size);
        watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

static void writable(Connection *connection) {
    ssize_t sent =
        send_some(connection->fd, connection->unsent + connection->start, connection->size);
    if (sent < 0) {
        drop(connection);
        return;
    }
    connection->start += (size_t)sent;
    connection->size -= (size_t)sent;
    if (connection->size == 0) {
        free(connection->unsent);
        connection->unsent = NULL;
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        Connection *connection = calloc(1, sizeof(Connection));
        if (connection == NULL) {
            fail("calloc");
        }
        connection->fd = fd;
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int main(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    Connection listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    Connection input = {.fd = STDIN_FILENO};
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || listener.fd < 0 ||
        bind(listener.fd, (struct sockaddr *)&address, length) < 0 ||
        listen(listener.fd, BACKLOG) < 0 ||
        getsockname(listener.fd, (struct sockaddr *)&address, &length) < 0) {
        fail("echo_floor");
    }
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    watch(&input, EPOLL_CTL_ADD, EPOLLIN);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (connection == &input) {
                return 0;
            }
            if (connection == &listener) {
                accept_all(listener.fd);
            } else if (connection->unsent != NULL) {
                writable(connection);
            } else {
                readable(connection);
            }
        }
    }
}
