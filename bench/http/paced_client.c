/* SPDX-License-Identifier: MIT */
/*
 * paced_client PORT PATH CONNECTIONS RATE SECONDS
 *
 * Asks 127.0.0.1:PORT for a path RATE times a second, by kept-alive connections in turn. Each
 * request has a time when it is due, whatever became of those before it, and its latency counts
 * from that time on: a server that stops for a moment pays for all that were due meanwhile, not
 * for the one that it let wait. Prints how many were answered and the latencies in milliseconds:
 * "COUNT P50 P99 P999 MOST". All answers must be 200 and as long as the first, with a
 * Content-Length. Any error ends it with a line on stderr and exit code 1.
 *
 * It does not sleep: what is due is sent at once. Give it a core of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, READ = 1 << 16, REQUEST = 2048 };

static const double PATIENCE = 10; /* seconds for the last answers */

typedef struct Connection {
    int fd;
    double due;      /* of the request under way, or of the next one */
    bool busy;       /* a request is under way */
    size_t received; /* bytes of its answer */
} Connection;

static char request[REQUEST];
static size_t request_size;
static size_t answer_size; /* of each; 0 before the first is known */
static char buffer[READ];
static double *latencies;
static size_t answered;

static void fail(const char *what) {
    fprintf(stderr, "paced_client: %s: %s\n", what, errno ? strerror(errno) : "wrong");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("connect");
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Asks once and waits, to know how long an answer is. */
static void learn(int port) {
    int fd = connect_to(port);
    if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) {
        fail("send");
    }
    size_t size = 0;
    while (answer_size == 0 || size < answer_size) {
        ssize_t count = recv(fd, buffer + size, sizeof buffer - 1 - size, 0);
        if (count <= 0) {
            errno = count < 0 ? errno : 0;
            fail("the first answer");
        }
        size += (size_t)count;
        buffer[size] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n");
        const char *length = strcasestr(buffer, "\r\ncontent-length:");
        if (end != NULL && answer_size == 0) {
            errno = 0;
            if (strncmp(buffer, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end) {
                fail("the first answer is not 200 with a Content-Length");
            }
            answer_size = (size_t)(end - buffer) + 4 + strtoul(length + 17, NULL, 10);
            if (answer_size >= sizeof buffer) {
                fail("the first answer is too long");
            }
        }
    }
    close(fd);
}

static void ask(Connection *connection) {
    if (send(connection->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) {
        fail("send");
    }
    connection->busy = true;
    connection->received = 0;
}

/* Reads what is there. Whether the answer is whole. */
static bool take(Connection *connection) {
    ssize_t count = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (count <= 0) {
        errno = count < 0 ? errno : 0;
        fail("a connection was closed");
    }
    errno = 0;
    if (!connection->busy ||
        (connection->received == 0 && count >= 12 && memcmp(buffer, "HTTP/1.1 200", 12) != 0)) {
        fail("an answer is not 200");
    }
    connection->received += (size_t)count;
    if (connection->received > answer_size) {
        fail("an answer is longer than the first");
    }
    return connection->received == answer_size;
}

static int compare(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

/* The latency that this part of the answers did not exceed, in milliseconds. */
static double within(double part) {
    size_t at = (size_t)(part * (double)answered);
    return latencies[at < answered ? at : answered - 1] * 1e3;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: paced_client PORT PATH CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    long connection_count = atol(argv[3]);
    double rate = atof(argv[4]);
    size_t wanted = (size_t)(rate * atof(argv[5]));
    if (connection_count < 1 || rate <= 0 || wanted < 1) {
        fprintf(stderr, "paced_client: nothing to do\n");
        return 2;
    }
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                          argv[2], port);
    if (length < 0 || (size_t)length >= sizeof request) {
        fprintf(stderr, "paced_client: the path is too long\n");
        return 2;
    }
    request_size = (size_t)length;
    learn(port);
    Connection *connections = calloc((size_t)connection_count, sizeof *connections);
    latencies = calloc(wanted, sizeof *latencies);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || latencies == NULL || poller < 0) {
        fail("memory");
    }
    for (long i = 0; i < connection_count; i++) {
        connections[i].fd = connect_to(port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event) < 0) {
            fail("epoll_ctl");
        }
    }
    /* Connection i has each CONNECTIONS-th request. One that is late is not given away to another:
     * as a client's, it waits for its own connection. */
    double interval = (double)connection_count / rate;
    double begin = now() + 0.01;
    for (long i = 0; i < connection_count; i++) {
        connections[i].due = begin + (double)i / rate;
    }
    double end = begin + (double)wanted / rate;
    while (answered < wanted) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, 0);
        double time = now();
        if (count < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            if (take(connection) && answered < wanted) {
                connection->busy = false;
                latencies[answered++] = time - connection->due;
                connection->due += interval;
            }
        }
        for (long i = 0; i < connection_count; i++) {
            Connection *connection = &connections[i];
            if (!connection->busy && connection->due <= time && connection->due < end) {
                ask(connection);
            }
        }
        if (time > end + PATIENCE) {
            break; /* the server cannot keep up: what came tells so */
        }
        bool due = false;
        for (long i = 0; i < connection_count && !due; i++) {
            due = connections[i].busy || connections[i].due < end;
        }
        if (!due) {
            break; /* a rounding's worth fewer than wanted */
        }
    }
    if (answered == 0) {
        errno = 0;
        fail("no answer");
    }
    qsort(latencies, answered, sizeof *latencies, compare);
    printf("%zu %.4f %.4f %.4f %.4f\n", answered, within(0.5), within(0.99), within(0.999),
           within(1));
    return 0;
}
