/* SPDX-License-Identifier: MIT */
/*
 * The lists that the header lines of a WebSocket handshake hold (RFC 6455 sections 4.3 and 9.1).
 *
 * Each function takes one item off the front of *rest, which begins as a header line's value. A
 * list over several lines is that of the first, then that of the second, and so on. Items that are
 * empty (", ,") do not count, as in any HTTP list (RFC 9110 section 5.6.1); a list without any item
 * is for the caller to refuse. The slices borrow from the line. Pure functions: any thread, no
 * allocation, no user code.
 */
#ifndef CAM_WS_LIST_H
#define CAM_WS_LIST_H

#include <stdbool.h>

#include "base/slice.h"

/* What the functions return. */
enum {
    CAM_WS_LIST_END = 0,
    CAM_WS_LIST_ITEM = 1,
    CAM_WS_LIST_MALFORMED = -1, /* what follows in the line means nothing */
};

/* 1#token, as in Sec-WebSocket-Protocol. */
int cam_ws_list_token(cam_slice *rest, cam_slice *token);

/* 1#( token *( ";" param ) ), as in Sec-WebSocket-Extensions: the name of an extension, and its
 * parameters, their grammar checked, for cam_ws_list_param. */
int cam_ws_list_extension(cam_slice *rest, cam_slice *name, cam_slice *params);

typedef struct cam_ws_param {
    cam_slice name;
    cam_slice value; /* without its quotes; quoted pairs stay as they are, a backslash before */
    bool has_value;
} cam_ws_param;

/* The next parameter of an extension. Never malformed when cam_ws_list_extension gave them. */
int cam_ws_list_param(cam_slice *params, cam_ws_param *param);

/* Whether a line has an item equal to word, which is in lower case, in any case; as in Upgrade and
 * Connection. Items need not be tokens ("HTTP/2.0"). */
bool cam_ws_list_has(cam_slice line, const char *word);

#endif
