/* SPDX-License-Identifier: MIT */
/*
 * download_floor PORT: what it costs to send 10 MiB that are there, PIECE bytes in each call.
 *
 * Whatever is received is a request. The head goes by itself, as in a server that streams.
 */
#include "floor_server.h"

#include <string.h>

enum { SIZE = 10 * 1024 * 1024 };

typedef struct Download {
    FloorConnection base;
    size_t left;
} Download;

static const char head[] = "HTTP/1.1 200 OK\r\n"
                           "content-type: application/octet-stream\r\n"
                           "content-length: 10485760\r\n"
                           "\r\n";
static char piece[PIECE];

static floor_wait stream(FloorConnection *connection) {
    Download *download = (Download *)connection;
    if (download->left == 0) {
        char request[4096];
        ssize_t got = floor_receive(connection, request, sizeof request);
        if (got <= 0) {
            return got < 0 ? FLOOR_CLOSE : FLOOR_READ;
        }
        if (floor_send(connection, head, sizeof head - 1) != sizeof head - 1) {
            return FLOOR_CLOSE;
        }
        download->left = SIZE;
    }
    while (download->left > 0) {
        size_t size = download->left < PIECE ? download->left : PIECE;
        ssize_t sent = floor_send(connection, piece, size);
        if (sent <= 0) {
            return sent < 0 ? FLOOR_CLOSE : FLOOR_WRITE;
        }
        download->left -= (size_t)sent;
    }
    return FLOOR_READ;
}

int main(int argc, char **argv) {
    return floor_serve(argc, argv, sizeof(Download), stream);
}
