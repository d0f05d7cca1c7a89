/* SPDX-License-Identifier: MIT */
/*
 * ws_floor PORT: what it costs to echo WebSocket messages that nobody looks at.
 *
 * For ws_client: a handshake with our SHA-1, then one frame at a time, which is unmasked where it
 * lies by our own function and goes back with one send. Opcodes, limits and UTF-8 are not checked.
 */
#define _GNU_SOURCE
#include "floor_server.h"

#include <stdio.h>
#include <string.h>

#include "ws/frame.h"
#include "ws/handshake.h"
#include "ws/mask.h"

enum { MASK = 4, MOST = 64 * 1024, KEY = 24 };

typedef struct Echo {
    FloorConnection base;
    bool open;
    size_t held;  /* bytes received */
    size_t start; /* of what is to be sent, and its size */
    size_t size;
    char data[CAM_WS_MAX_HEAD + MASK + MOST];
} Echo;

static const char key_field[] = "Sec-WebSocket-Key: ";

/* What is held is a request: it becomes the reply, if it is whole. */
static void open_up(Echo *echo) {
    const char *key = memmem(echo->data, echo->held, key_field, sizeof key_field - 1);
    if (key == NULL || memmem(echo->data, echo->held, "\r\n\r\n", 4) == NULL) {
        return;
    }
    char accept[CAM_WS_ACCEPT];
    cam_ws_accept(accept, (cam_slice){key + sizeof key_field - 1, KEY});
    int size = snprintf(echo->data, sizeof echo->data,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n\r\n",
                        (int)sizeof accept, accept);
    echo->open = true;
    echo->start = 0;
    echo->size = (size_t)size;
}

/* What is held is a frame: it becomes the reply, if it is whole. False if it is none of ours. */
static bool turn_round(Echo *echo) {
    const uint8_t *data = (const uint8_t *)echo->data;
    if (echo->held < 2) {
        return true;
    }
    size_t bytes = (data[1] & 127) < 126 ? 0 : (data[1] & 127) == 126 ? 2 : 8;
    size_t head = 2 + bytes + MASK;
    if (echo->held < head) {
        return true;
    }
    size_t size = bytes == 0 ? data[1] & 127 : 0;
    for (size_t i = 0; i < bytes; i++) {
        size = size << 8 | data[2 + i];
    }
    if (size > MOST || echo->held > head + size) {
        return false;
    }
    if (echo->held == head + size) {
        char reply[CAM_WS_MAX_HEAD];
        uint8_t key[MASK];
        memcpy(key, data + head - MASK, MASK);
        cam_ws_mask(echo->data + head, size, key, 0);
        size_t reply_head = cam_ws_write_head(reply, data[0], size, NULL);
        echo->start = head - reply_head;
        echo->size = reply_head + size;
        memcpy(echo->data + echo->start, reply, reply_head);
    }
    return true;
}

static floor_wait echo_back(FloorConnection *connection) {
    Echo *echo = (Echo *)connection;
    if (echo->size == 0) {
        ssize_t got =
            floor_receive(connection, echo->data + echo->held, sizeof echo->data - echo->held);
        if (got < 0) {
            return FLOOR_CLOSE;
        }
        echo->held += (size_t)got;
        if (!echo->open) {
            open_up(echo);
        } else if (!turn_round(echo)) {
            return FLOOR_CLOSE;
        }
        if (echo->size == 0) {
            return echo->held < sizeof echo->data ? FLOOR_READ : FLOOR_CLOSE;
        }
        echo->held = 0;
    }
    ssize_t sent = floor_send(connection, echo->data + echo->start, echo->size);
    if (sent < 0) {
        return FLOOR_CLOSE;
    }
    echo->start += (size_t)sent;
    echo->size -= (size_t)sent;
    return echo->size > 0 ? FLOOR_WRITE : FLOOR_READ;
}

int main(int argc, char **argv) {
    return floor_serve(argc, argv, sizeof(Echo), echo_back);
}
