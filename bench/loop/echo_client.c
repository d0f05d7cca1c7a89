/* SPDX-License-Identifier: MIT */
/*
 * echo_client PORT CONNECTIONS SIZE SECONDS
 *
 * Each connection sends a message of SIZE bytes to 127.0.0.1:PORT, waits until it has come back
 * whole and unchanged, and sends it again. Prints the number of round trips and the seconds they
 * took. Any error ends it with a line on stderr and exit code 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, MAX_SIZE = 1 << 20 };

typedef struct Connection {
    int fd;
    size_t sent;
    size_t received;
    bool waits_for_room; /* EPOLLOUT is watched: the message is not sent whole yet */
} Connection;

static char message[MAX_SIZE];
static char reply[MAX_SIZE];
static size_t size;
static int poller;

static void fail(const char *what) {
    fprintf(stderr, "echo_client: %s: %s\n", what, errno ? strerror(errno) : "wrong");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void watch(Connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

static void send_rest(Connection *connection) {
    while (connection->sent < size) {
        ssize_t n = send(connection->fd, message + connection->sent, size - connection->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            fail("send");
        }
        if (n < 0) {
            break;
        }
        connection->sent += (size_t)n;
    }
    bool unsent = connection->sent < size;
    if (unsent != connection->waits_for_room) {
        connection->waits_for_room = unsent;
        watch(connection, EPOLL_CTL_MOD, unsent ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

/* True when the message has come back whole. */
static bool receive_some(Connection *connection) {
    ssize_t n = recv(connection->fd, reply, size - connection->received, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        fail(n == 0 ? "the server closed a connection" : "recv");
    }
    errno = 0;
    if (memcmp(reply, message + connection->received, (size_t)n) != 0) {
        fail("the reply");
    }
    connection->received += (size_t)n;
    return connection->received == size;
}

static void open_connection(Connection *connection, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        fail("socket");
    }
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        fail("connect");
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: echo_client PORT CONNECTIONS SIZE SECONDS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    int count = atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    double seconds = atof(argv[4]);
    if (count < 1 || size < 1 || size > MAX_SIZE) {
        fprintf(stderr, "echo_client: at least 1 connection, 1 to %d bytes\n", MAX_SIZE);
        return 2;
    }
    for (size_t i = 0; i < size; i++) {
        message[i] = (char)(i * 31 + i / 251);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    Connection *connections = calloc((size_t)count, sizeof(Connection));
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || poller < 0) {
        fail("start");
    }
    for (int i = 0; i < count; i++) {
        open_connection(&connections[i], port);
    }

    double started = now();
    double end = started + seconds;
    unsigned long trips = 0;
    for (int i = 0; i < count; i++) {
        send_rest(&connections[i]);
    }
    while (now() < end) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, 5000);
        if (ready < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        if (ready == 0) {
            errno = ETIMEDOUT;
            fail("5 s without a reply");
        }
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                send_rest(connection);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT && receive_some(connection)) {
                trips++;
                connection->sent = connection->received = 0;
                send_rest(connection);
            }
        }
    }
    printf("%lu %.6f\n", trips, now() - started);
    return 0;
}
