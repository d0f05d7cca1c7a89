/* SPDX-License-Identifier: MIT */
/*
 * Agreeing on permessage-deflate (RFC 7692 section 7), as the server.
 *
 * Only the words of the handshake: who deflates and inflates is another matter. Pure functions over
 * the caller's bytes: any thread, no allocation, no user code.
 */
#ifndef CAM_WS_DEFLATE_H
#define CAM_WS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * What the server wants, or what was agreed upon.
 *
 * "server" is what we deflate with, "client" what the client does, and we inflate. Window bits are
 * 9 to 15 for us, 8 to 15 for the client. zlib deflates no raw stream with a window of 8 bits, so
 * an offer that limits us to 8 is declined; it takes 8 for 9 in some versions, so what a client
 * says it deflates with 8 is best inflated with 9.
 */
typedef struct cam_ws_deflate {
    bool server_no_context_takeover; /* each message by itself, without what came before */
    bool client_no_context_takeover;
    uint8_t server_max_window_bits;
    uint8_t client_max_window_bits;
    /* Of what was agreed upon: whether the response says the window bits. */
    bool says_server_bits;
    bool says_client_bits;
} cam_ws_deflate;

/* Contexts kept, 15 bits either way. */
extern const cam_ws_deflate cam_ws_deflate_default;

/* What cam_ws_deflate_choose found. */
enum {
    CAM_WS_DEFLATE_NONE = 0,       /* no offer that can be accepted */
    CAM_WS_DEFLATE_AGREED = 1,     /* *agreed is set */
    CAM_WS_DEFLATE_MALFORMED = -1, /* the line is no list of extensions (RFC 6455 section 9.1) */
};

/*
 * Reads a line of Sec-WebSocket-Extensions and takes the first offer of permessage-deflate in it
 * that can be accepted. Those with a parameter that is unknown, repeated, or has a value it must
 * not have or lacks one are declined (RFC 7692 section 7.1), and so are other extensions. wanted is
 * followed as far as the offer permits: a client that does not say client_max_window_bits may use
 * 15, whatever is wanted (section 7.1.2.2). The whole line is checked either way; *items is
 * increased by its number of extensions. Of several lines, the first that agrees counts.
 */
int cam_ws_deflate_choose(cam_ws_deflate *agreed, const cam_ws_deflate *wanted, cam_slice line,
                          unsigned *items);

/* Room for any response. */
#define CAM_WS_DEFLATE_RESPONSE 160

/* Writes the value of the response's Sec-WebSocket-Extensions, without a NUL: its length. */
size_t cam_ws_deflate_write(char response[CAM_WS_DEFLATE_RESPONSE], const cam_ws_deflate *agreed);

#endif
