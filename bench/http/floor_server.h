/* SPDX-License-Identifier: MIT */
/*
 * What the floors have in common: servers in C that do the least that a peer can be content with,
 * to see what the kernel costs. One thread, level-triggered epoll, on 127.0.0.1.
 */
#ifndef BENCH_FLOOR_SERVER_H
#define BENCH_FLOOR_SERVER_H

#include <stddef.h>
#include <sys/types.h>

/* What a connection waits for. */
typedef enum floor_wait { FLOOR_CLOSE, FLOOR_READ, FLOOR_WRITE } floor_wait;

/* Each floor's own connection begins with it. */
typedef struct FloorConnection {
    int fd;
    floor_wait waits;
} FloorConnection;

/* Serves PORT, which is main()'s only argument, for ever. `size` is that of a connection, which is
 * zero when it begins; `ready` is called when what it waits for is there, and says what is next. */
int floor_serve(int argc, char **argv, size_t size, floor_wait (*ready)(FloorConnection *));

/* Bytes received or sent, 0 when there are none or there is no room, -1 at the end. */
ssize_t floor_receive(FloorConnection *connection, char *data, size_t size);
ssize_t floor_send(FloorConnection *connection, const char *data, size_t size);

#endif
