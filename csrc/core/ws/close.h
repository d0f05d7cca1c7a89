/* SPDX-License-Identifier: MIT */
/*
 * The payload of a close frame: a code and a reason (RFC 6455 sections 5.5.1 and 7.4).
 *
 * Pure functions over the caller's bytes: any thread, no user code.
 */
#ifndef CAM_WS_CLOSE_H
#define CAM_WS_CLOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "ws/error.h"

/* Codes that the code of the server names (RFC 6455 section 7.4.1 and IANA's registry). */
enum {
    CAM_WS_CLOSE_NORMAL = 1000,
    CAM_WS_CLOSE_GOING_AWAY = 1001,
    CAM_WS_CLOSE_PROTOCOL_ERROR = 1002,
    CAM_WS_CLOSE_NO_STATUS = 1005, /* never sent: a close frame had no payload */
    CAM_WS_CLOSE_ABNORMAL = 1006,  /* never sent: there was no close frame */
    CAM_WS_CLOSE_INVALID_DATA = 1007,
    CAM_WS_CLOSE_TOO_BIG = 1009,
    CAM_WS_CLOSE_INTERNAL_ERROR = 1011,
    CAM_WS_CLOSE_SERVICE_RESTART = 1012,
    CAM_WS_CLOSE_TRY_AGAIN_LATER = 1013,
};

/* A control frame's payload (RFC 6455 section 5.5), and what of it a code leaves for the reason. */
#define CAM_WS_MAX_CONTROL 125
#define CAM_WS_MAX_REASON 123

typedef struct cam_ws_close {
    uint16_t code;    /* CAM_WS_CLOSE_NO_STATUS when there was none */
    cam_slice reason; /* UTF-8, borrowed from the payload; empty when there was none */
} cam_ws_close;

/* Whether a code may be sent: those registered for use by an endpoint (1000 to 1003, 1007 to 1014)
 * and those left to libraries and applications (3000 to 4999; section 7.4.2). */
bool cam_ws_close_code_may_be_sent(unsigned code);

/* Reads a payload of at most CAM_WS_MAX_CONTROL bytes. 0, or CAM_WS_E_CLOSE_*, and then *close is
 * what no payload gives. */
int cam_ws_close_read(cam_ws_close *close, const char *payload, size_t len);

/* Writes the payload, and returns its length. With CAM_WS_CLOSE_NO_STATUS it is empty; other codes
 * are written as they are. A reason, which must be UTF-8, of more than CAM_WS_MAX_REASON bytes is
 * cut at the end of a character. */
size_t cam_ws_close_write(char payload[CAM_WS_MAX_CONTROL], unsigned code, cam_slice reason);

#endif
