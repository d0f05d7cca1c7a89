/* SPDX-License-Identifier: MIT */
/*
 * WebSocket frames (RFC 6455 section 5): a decoder for what a peer sends, and heads to send.
 *
 * The decoder is a pull parser without input or output. It unmasks in place and hands out slices of
 * the caller's buffer; it allocates nothing, runs no user code, and belongs to whichever thread
 * calls it. What a message holds, where a frame ends and what is wrong does not depend on how the
 * network cut the bytes up: the pieces of a frame do, their sum does not. Everything that section 5
 * demands of a frame is checked as soon as the byte that shows it is there, before any payload is
 * handed out; that text is UTF-8 (utf8.h) and close payloads are well-formed (close.h) is not,
 * since compressed text is only known when it has been inflated.
 */
#ifndef CAM_WS_FRAME_H
#define CAM_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "ws/close.h"
#include "ws/error.h"

/* RFC 6455 section 5.2. The highest bit of the four is that of control frames. */
enum {
    CAM_WS_CONTINUATION = 0x0,
    CAM_WS_TEXT = 0x1,
    CAM_WS_BINARY = 0x2,
    CAM_WS_CLOSE = 0x8,
    CAM_WS_PING = 0x9,
    CAM_WS_PONG = 0xa,
};

/* What cam_ws_decode found; an error is a negative CAM_WS_E_*. */
enum {
    CAM_WS_MORE = 0,    /* all the bytes are used up */
    CAM_WS_DATA = 1,    /* a piece of a message; call again with the bytes after *consumed */
    CAM_WS_CONTROL = 2, /* a whole control frame; call again likewise */
};

/* Flags of a decoder. */
enum {
    /* This side is the client: frames must come unmasked instead of masked (section 5.1). */
    CAM_WS_CLIENT = 1 << 0,
    /* permessage-deflate is agreed upon: a message's first frame may have RSV1 (RFC 7692 section
     * 6), without which that is an error. */
    CAM_WS_DEFLATE = 1 << 1,
};

typedef struct cam_ws_piece {
    /* Unmasked. Of a data frame it lies in the caller's buffer; of a control frame (at most
     * CAM_WS_MAX_CONTROL bytes) there or in the decoder, until the next call. Empty for a frame
     * without payload, and else never empty. */
    cam_slice payload;
    /* Of a data frame: bytes of it still to come after this piece. For making room ahead: all of
     * them are within the message's limit, but they need not ever come. */
    uint64_t rest;
    uint8_t opcode;  /* the message's, CAM_WS_TEXT or CAM_WS_BINARY, also of later frames; or
                      * CAM_WS_CLOSE, CAM_WS_PING, CAM_WS_PONG */
    bool compressed; /* the message's first frame has RSV1; never of a control frame */
    bool begins;     /* the first piece of a message */
    bool ends_frame; /* the last piece of its frame */
    bool ends;       /* the last piece of its message */
} cam_ws_piece;

/* Private but for being embedded; some 190 bytes. */
typedef struct cam_ws_decoder {
    uint64_t max_message;
    uint64_t message; /* bytes of the present message, those announced by its last head included */
    uint64_t left;    /* bytes of the present frame that have not come yet */
    uint64_t offset;  /* bytes of it that have */
    int16_t error;    /* once wrong, always wrong */
    uint8_t state;
    uint8_t flags;
    uint8_t key[4];
    uint8_t opcode;         /* of the message that is not at its end; 0 when there is none */
    uint8_t control_opcode; /* of a control frame that is cut up */
    uint8_t head_len;
    bool compressed;
    bool begins;
    bool fin;
    char head[14]; /* of a frame whose head is cut up */
    char control[CAM_WS_MAX_CONTROL];
} cam_ws_decoder;

/* Makes a decoder ready for the first frame after a handshake. max_message bounds a message's
 * payload in bytes, all frames together; UINT64_MAX for no bound. That of a compressed message is
 * allowed an eighth more, which is what deflate adds to the least compressible data: the bound on
 * what it inflates to is the caller's. */
void cam_ws_decoder_init(cam_ws_decoder *decoder, uint64_t max_message, unsigned flags);

/*
 * Takes the next bytes of the connection.
 *
 * *consumed becomes the number of bytes used up, and *piece is filled in for CAM_WS_DATA and
 * CAM_WS_CONTROL. A data frame that is not all there is handed out as far as it goes. The bytes of
 * buf up to *consumed are left in an unspecified state, but for the payload; those after it are
 * untouched.
 *
 * After an error every further call returns the same and consumes nothing. After a close frame the
 * rest of what the peer sends means nothing (section 5.5.1): all of it is used up, unread.
 */
int cam_ws_decode(cam_ws_decoder *decoder, char *buf, size_t len, size_t *consumed,
                  cam_ws_piece *piece);

/* Whether a message has begun and not ended. */
static inline bool cam_ws_in_message(const cam_ws_decoder *decoder) {
    return decoder->opcode != 0;
}

/* Room for any head. */
#define CAM_WS_MAX_HEAD 14

/* For cam_ws_write_head: bits of the first byte (RFC 6455 section 5.2). */
enum {
    CAM_WS_FIN = 0x80,
    CAM_WS_RSV1 = 0x40,
};

/*
 * Writes the head of a frame with len bytes of payload, and returns its length: 2, 4 or 10 bytes,
 * and 4 more with a key. first is an opcode, and CAM_WS_FIN and CAM_WS_RSV1 as wanted. key is NULL
 * for a server; a client gives the key that the payload is masked with (cam_ws_mask).
 */
size_t cam_ws_write_head(char head[CAM_WS_MAX_HEAD], unsigned first, uint64_t len,
                         const uint8_t *key);

#endif
