/* SPDX-License-Identifier: MIT */
/*
 * floor PORT: what an HTTP server costs that looks at nothing and always says the same.
 *
 * A readable connection gets one recv and, for each end of a head that was in it, one reply; all
 * of them in one send. Bodies are not known, and a head must come in one piece: wrk's do. A
 * connection that fails or does not read is closed.
 */
#define _GNU_SOURCE
#include "floor_server.h"

#include <string.h>

enum { BUFFER = 64 * 1024, MOST = 64 };

static const char reply[] = "HTTP/1.1 200 OK\r\n"
                            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                            "server: camshaft\r\n"
                            "content-type: text/plain\r\n"
                            "content-length: 13\r\n"
                            "\r\n"
                            "Hello, world!";
static char buffer[BUFFER];
static char replies[MOST * sizeof reply];

static floor_wait answer(FloorConnection *connection) {
    ssize_t got = floor_receive(connection, buffer, BUFFER);
    if (got <= 0) {
        return got < 0 ? FLOOR_CLOSE : FLOOR_READ;
    }
    size_t size = 0;
    char *at = buffer, *end = buffer + got;
    while (size < sizeof replies - sizeof reply &&
           (at = memmem(at, (size_t)(end - at), "\r\n\r\n", 4)) != NULL) {
        memcpy(replies + size, reply, sizeof reply - 1);
        size += sizeof reply - 1;
        at += 4;
    }
    return floor_send(connection, replies, size) == (ssize_t)size ? FLOOR_READ : FLOOR_CLOSE;
}

int main(int argc, char **argv) {
    return floor_serve(argc, argv, sizeof(FloorConnection), answer);
}
