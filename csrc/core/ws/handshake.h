/* SPDX-License-Identifier: MIT */
/*
 * A client's opening handshake (RFC 6455 section 4.2.1), from the header lines that concern it.
 *
 * The HTTP parser says that a request is a GET in HTTP/1.1 with an Upgrade that Connection names;
 * this says whether the upgrade is to WebSocket and what is wrong with it. The lines are shown in
 * the order of the request, and their slices borrowed. A handshake is a few numbers, allocates
 * nothing, runs no user code, and belongs to the thread that calls it.
 *
 * Sec-WebSocket-Protocol is checked here; which of its tokens to take is the application's choice:
 * cam_ws_list_token (list.h) reads them. That no subprotocol is named twice (section 4.1) is not
 * checked: nothing depends on it.
 */
#ifndef CAM_WS_HANDSHAKE_H
#define CAM_WS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "ws/deflate.h"
#include "ws/list.h"

/* X(name, status, text): the order gives the codes, -1 downwards. */
#define CAM_WS_HANDSHAKE_ERRORS(X)                                                                 \
    X(KEY_MISSING, 400, "there is no Sec-WebSocket-Key header")                                    \
    X(KEY_REPEATED, 400, "there is more than one Sec-WebSocket-Key header")                        \
    X(KEY, 400, "Sec-WebSocket-Key is not the base64 of 16 bytes")                                 \
    X(VERSION_MISSING, 426, "there is no Sec-WebSocket-Version header")                            \
    X(VERSION, 426, "Sec-WebSocket-Version is not 13")                                             \
    X(PROTOCOL, 400, "Sec-WebSocket-Protocol is not a list of tokens")                             \
    X(EXTENSIONS, 400, "Sec-WebSocket-Extensions is not a list of extensions")

enum {
#define CAM_WS_HANDSHAKE_ORDINAL(name, status, text) CAM_WS_HANDSHAKE_ORDINAL_##name,
    CAM_WS_HANDSHAKE_ERRORS(CAM_WS_HANDSHAKE_ORDINAL)
#undef CAM_WS_HANDSHAKE_ORDINAL
        CAM_WS_HANDSHAKE_ERROR_COUNT
};

/* CAM_WS_HANDSHAKE_E_KEY_MISSING == -1 and so on. */
typedef enum cam_ws_handshake_error {
#define CAM_WS_HANDSHAKE_CODE(name, status, text)                                                  \
    CAM_WS_HANDSHAKE_E_##name = -1 - CAM_WS_HANDSHAKE_ORDINAL_##name,
    CAM_WS_HANDSHAKE_ERRORS(CAM_WS_HANDSHAKE_CODE)
#undef CAM_WS_HANDSHAKE_CODE
} cam_ws_handshake_error;

/* The status to answer with: 400, or 426, which goes with "Sec-WebSocket-Version: 13" (RFC 6455
 * section 4.4), "Upgrade: websocket" and "Connection: Upgrade" (RFC 9110 section 15.5.22). */
int cam_ws_handshake_status(int error);

/* One line of English without a full stop; a constant. */
const char *cam_ws_handshake_text(int error);

/* The header fields that count. */
typedef enum cam_ws_field {
    CAM_WS_FIELD_UPGRADE,
    CAM_WS_FIELD_KEY,
    CAM_WS_FIELD_VERSION,
    CAM_WS_FIELD_PROTOCOL,
    CAM_WS_FIELD_EXTENSIONS,
} cam_ws_field;

typedef struct cam_ws_handshake {
    /* To be read when all lines are added. */
    cam_slice key;     /* for cam_ws_accept; good if cam_ws_handshake_check says so */
    bool is_websocket; /* Upgrade names it */
    bool deflated;     /* permessage-deflate is agreed upon, as deflate says */
    cam_ws_deflate deflate;

    /* Private. */
    const cam_ws_deflate *wanted;
    cam_slice version;
    unsigned keys;
    unsigned versions;
    unsigned protocol_lines;
    unsigned protocols;
    unsigned extension_lines;
    unsigned extensions;
    bool bad_protocols;
    bool bad_extensions;
} cam_ws_handshake;

/* For a new request. deflate is what the server wants, and must outlive the handshake; NULL when it
 * agrees to no extension. */
void cam_ws_handshake_init(cam_ws_handshake *handshake, const cam_ws_deflate *deflate);

/* A header line's value, without white space at its ends. */
void cam_ws_handshake_add(cam_ws_handshake *handshake, cam_ws_field field, cam_slice value);

/* Once all lines are added: 0, or the first of CAM_WS_HANDSHAKE_E_* that is so. is_websocket is not
 * looked at: without it the request is another one. */
int cam_ws_handshake_check(const cam_ws_handshake *handshake);

/* The length of a Sec-WebSocket-Accept. */
#define CAM_WS_ACCEPT 28

/* Writes the Sec-WebSocket-Accept for a key (section 4.2.2), without a NUL. The key must be one
 * that cam_ws_handshake_check found good. */
void cam_ws_accept(char accept[CAM_WS_ACCEPT], cam_slice key);

#endif
