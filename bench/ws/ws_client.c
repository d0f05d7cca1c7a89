/* SPDX-License-Identifier: MIT */
/*
 * ws_client PORT CONNECTIONS SIZE text|binary SECONDS
 *
 * Opens WebSocket connections to 127.0.0.1:PORT without an extension. Each sends a message of SIZE
 * bytes in one masked frame, waits until it has come back whole and unchanged, and sends it again.
 * Prints the number of messages and the seconds they took. Any error ends it with a line on stderr
 * and exit code 1. The frames are those of csrc/core/ws, with which it is compiled.
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

#include "ws/frame.h"
#include "ws/handshake.h"
#include "ws/mask.h"

enum { EVENTS = 256, MAX_SIZE = 1 << 20, READ = 1 << 18 };

typedef struct Connection {
    int fd;
    size_t sent;
    size_t received; /* bytes of the message that have come back */
    bool waits_for_room;
    cam_ws_decoder decoder;
} Connection;

static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static char message[MAX_SIZE];
static char frame[CAM_WS_MAX_HEAD + MAX_SIZE]; /* the message as it is sent */
static size_t frame_size;
static char buffer[READ];
static size_t size;
static unsigned opcode;
static int poller;

static void fail(const char *what) {
    fprintf(stderr, "ws_client: %s: %s\n", what, errno ? strerror(errno) : "wrong");
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
    while (connection->sent < frame_size) {
        ssize_t n = send(connection->fd, frame + connection->sent, frame_size - connection->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            fail("send");
        }
        if (n < 0) {
            break;
        }
        connection->sent += (size_t)n;
    }
    bool unsent = connection->sent < frame_size;
    if (unsent != connection->waits_for_room) {
        connection->waits_for_room = unsent;
        watch(connection, EPOLL_CTL_MOD, unsent ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

/* True when the message has come back whole. */
static bool receive_some(Connection *connection) {
    ssize_t n = recv(connection->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        fail(n == 0 ? "the server closed a connection" : "recv");
    }
    errno = 0;
    for (size_t at = 0; at < (size_t)n;) {
        size_t used;
        cam_ws_piece piece;
        int found = cam_ws_decode(&connection->decoder, buffer + at, (size_t)n - at, &used, &piece);
        at += used;
        /* Servers ping after twenty seconds and wait as long: no slice lives to answer. */
        if (found == CAM_WS_MORE || (found == CAM_WS_CONTROL && piece.opcode == CAM_WS_PING)) {
            continue;
        }
        if (found != CAM_WS_DATA) {
            fail(found < 0 ? cam_ws_error_text(found) : "a close frame");
        }
        if (piece.opcode != opcode || piece.payload.len > size - connection->received ||
            memcmp(piece.payload.ptr, message + connection->received, piece.payload.len) != 0) {
            fail("the reply");
        }
        connection->received += piece.payload.len;
        if (piece.ends) {
            if (connection->received != size || at != (size_t)n) {
                fail("the end of the reply");
            }
            return true;
        }
    }
    return false;
}

/* Connects and shakes hands, one connection after the other. */
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
    if (send(connection->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) {
        fail("the handshake");
    }
    size_t got = 0;
    while (got < 4 || memcmp(buffer + got - 4, "\r\n\r\n", 4) != 0) {
        ssize_t n = got < 4096 ? recv(connection->fd, buffer + got, 4096 - got, 0) : 0;
        if (n <= 0) {
            fail("the handshake's answer");
        }
        got += (size_t)n;
    }
    char accept[CAM_WS_ACCEPT + 1] = {0};
    cam_ws_accept(accept, (cam_slice){"dGhlIHNhbXBsZSBub25jZQ==", 24});
    buffer[got] = '\0';
    errno = 0;
    if (strncmp(buffer, "HTTP/1.1 101", 12) != 0 || strstr(buffer, accept) == NULL) {
        fail("the handshake is refused");
    }
    cam_ws_decoder_init(&connection->decoder, MAX_SIZE, CAM_WS_CLIENT);
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

static void make_message(void) {
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (size_t i = 0; i < size; i++) {
        message[i] = opcode == CAM_WS_TEXT ? (char)(' ' + (i * 31 + i / 251) % 95)
                                           : (char)(i * 31 + i / 251);
    }
    size_t head = cam_ws_write_head(frame, CAM_WS_FIN | opcode, size, key);
    memcpy(frame + head, message, size);
    cam_ws_mask(frame + head, size, key, 0);
    frame_size = head + size;
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[4], "text") != 0 && strcmp(argv[4], "binary") != 0)) {
        fprintf(stderr, "usage: ws_client PORT CONNECTIONS SIZE text|binary SECONDS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    int count = atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    opcode = strcmp(argv[4], "text") == 0 ? CAM_WS_TEXT : CAM_WS_BINARY;
    double seconds = atof(argv[5]);
    if (count < 1 || size < 1 || size > MAX_SIZE) {
        fprintf(stderr, "ws_client: at least 1 connection, 1 to %d bytes\n", MAX_SIZE);
        return 2;
    }
    make_message();
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
    unsigned long messages = 0;
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
                messages++;
                connection->sent = connection->received = 0;
                send_rest(connection);
            }
        }
    }
    printf("%lu %.6f\n", messages, now() - started);
    return 0;
}
