/* SPDX-License-Identifier: MIT */
#include "ws/frame.h"

#include <string.h>

#include "ws/mask.h"

enum state {
    HEAD,    /* between frames, or within a head */
    DATA,    /* within the payload of a data frame */
    CONTROL, /* within that of a control frame */
    CLOSED,  /* after a close frame */
    FAILED,
};

/* The head's first two bytes (RFC 6455 section 5.2). */
#define RSV2_RSV3 0x30
#define OPCODE 0x0f
#define CONTROL_BIT 0x08
#define MASK_BIT 0x80
#define LENGTH 0x7f
#define LENGTH_16 126
#define LENGTH_64 127

void cam_ws_decoder_init(cam_ws_decoder *decoder, uint64_t max_message, unsigned flags) {
    *decoder = (cam_ws_decoder){
        .max_message = max_message,
        .flags = (uint8_t)flags,
        .state = HEAD,
    };
}

/* The first byte of a head: 0 or an error. */
static int check_first(const cam_ws_decoder *decoder, uint8_t first) {
    unsigned opcode = first & OPCODE;
    if (first & RSV2_RSV3) {
        return CAM_WS_E_RSV; /* section 5.2 */
    }
    /* RFC 7692 section 6.1: only a message's first frame tells that it is compressed. */
    if (first & CAM_WS_RSV1 && !(decoder->flags & CAM_WS_DEFLATE && opcode != CAM_WS_CONTINUATION &&
                                 !(opcode & CONTROL_BIT))) {
        return CAM_WS_E_RSV;
    }
    if (opcode & CONTROL_BIT) {
        if (opcode > CAM_WS_PONG) {
            return CAM_WS_E_OPCODE; /* section 5.2 */
        }
        return first & CAM_WS_FIN ? 0 : CAM_WS_E_CONTROL_FRAGMENTED; /* section 5.5 */
    }
    if (opcode > CAM_WS_BINARY) {
        return CAM_WS_E_OPCODE;
    }
    /* Section 5.4: fragments of one message come one after the other. */
    if (opcode == CAM_WS_CONTINUATION) {
        return decoder->opcode != 0 ? 0 : CAM_WS_E_CONTINUATION;
    }
    return decoder->opcode == 0 ? 0 : CAM_WS_E_INTERRUPTED;
}

/* The second byte: 0 or an error. */
static int check_second(const cam_ws_decoder *decoder, uint8_t first, uint8_t second) {
    bool client = decoder->flags & CAM_WS_CLIENT;
    if (client == !!(second & MASK_BIT)) {
        return client ? CAM_WS_E_MASKED : CAM_WS_E_NOT_MASKED; /* section 5.1 */
    }
    if (first & CONTROL_BIT && (second & LENGTH) > CAM_WS_MAX_CONTROL) {
        return CAM_WS_E_CONTROL_LENGTH; /* section 5.5 */
    }
    return 0;
}

/* The length of a payload from the two or eight bytes after the second: 0 or an error. */
static int read_length(uint64_t *length, const uint8_t *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    *length = value;
    if (value >> 63) {
        return CAM_WS_E_LENGTH_RANGE; /* section 5.2: "the most significant bit MUST be 0" */
    }
    /* Section 5.2: "the minimal number of bytes MUST be used". */
    return value < (count == 2 ? LENGTH_16 : 65536) ? CAM_WS_E_LENGTH_FORM : 0;
}

/* Counts a data frame's payload into its message: 0 or an error. Nothing of it is there yet. */
static int count_message(cam_ws_decoder *decoder, uint8_t first, uint64_t length) {
    bool continues = (first & OPCODE) == CAM_WS_CONTINUATION;
    bool compressed = continues ? decoder->compressed : first & CAM_WS_RSV1;
    uint64_t held = continues ? decoder->message : 0;
    uint64_t limit = decoder->max_message;
    if (compressed) {
        /* Literals of fixed codes take nine bits at most (RFC 1951 section 3.2.6), and each block
         * some more. Without a bound there is none to raise. */
        uint64_t more = limit / 8 + 64;
        limit = more > UINT64_MAX - limit ? UINT64_MAX : limit + more;
    }
    if (length > limit || held > limit - length) {
        return CAM_WS_E_MESSAGE_LENGTH;
    }
    return 0;
}

/*
 * Reads the head that buf[0 .. len), never empty, begins with: its length, 0 when it is not all
 * there, or an error. The checks come in the order of the bytes and each as soon as its bytes are
 * there, so that the same head fails in the same way however it arrives.
 */
static int read_head(cam_ws_decoder *decoder, const char *buf, size_t len) {
    const uint8_t *bytes = (const uint8_t *)buf;
    uint8_t first = bytes[0];
    int error = check_first(decoder, first);
    if (error < 0 || len == 1) {
        return error;
    }
    uint8_t second = bytes[1];
    error = check_second(decoder, first, second);
    if (error < 0) {
        return error;
    }
    uint64_t length = second & LENGTH;
    size_t head = 2;
    if (length >= LENGTH_16) {
        size_t count = length == LENGTH_16 ? 2 : 8;
        if (len < head + count) {
            return 0;
        }
        error = read_length(&length, bytes + head, count);
        if (error < 0) {
            return error;
        }
        head += count;
    }
    bool control = first & CONTROL_BIT;
    if (!control) {
        error = count_message(decoder, first, length);
        if (error < 0) {
            return error;
        }
    }
    if (second & MASK_BIT) {
        if (len < head + sizeof(decoder->key)) {
            return 0;
        }
        memcpy(decoder->key, bytes + head, sizeof(decoder->key));
        head += sizeof(decoder->key);
    }
    decoder->left = length;
    decoder->offset = 0;
    if (control) {
        decoder->state = CONTROL;
        decoder->control_opcode = first & OPCODE;
        return (int)head;
    }
    decoder->state = DATA;
    decoder->fin = first & CAM_WS_FIN;
    if ((first & OPCODE) == CAM_WS_CONTINUATION) {
        decoder->message += length;
    } else {
        decoder->message = length;
        decoder->opcode = first & OPCODE;
        decoder->compressed = first & CAM_WS_RSV1;
        decoder->begins = true;
    }
    return (int)head;
}

/* Takes a head, or as much of it as there is, which is kept. The bytes used, or an error. */
static int take_head(cam_ws_decoder *decoder, const char *buf, size_t len) {
    size_t kept = decoder->head_len;
    if (kept == 0) {
        int head = read_head(decoder, buf, len);
        if (head != 0) {
            return head;
        }
    }
    size_t room = sizeof(decoder->head) - kept;
    size_t more = len < room ? len : room;
    memcpy(decoder->head + kept, buf, more);
    int head = read_head(decoder, decoder->head, kept + more);
    if (head > 0) {
        decoder->head_len = 0;
        return head - (int)kept;
    }
    decoder->head_len = (uint8_t)(kept + more);
    return head < 0 ? head : (int)more;
}

/* Makes the next len bytes of the present frame readable. */
static void unmask(cam_ws_decoder *decoder, char *buf, size_t len) {
    if (!(decoder->flags & CAM_WS_CLIENT)) {
        cam_ws_mask(buf, len, decoder->key, decoder->offset);
    }
    decoder->offset += len;
    decoder->left -= len;
}

/* Takes a control frame's payload: CAM_WS_CONTROL once it is complete, CAM_WS_MORE until then. */
static int take_control(cam_ws_decoder *decoder, char *buf, size_t len, cam_ws_piece *piece) {
    size_t kept = (size_t)decoder->offset;
    unmask(decoder, buf, len);
    if (kept > 0 || decoder->left > 0) {
        memcpy(decoder->control + kept, buf, len);
        if (decoder->left > 0) {
            return CAM_WS_MORE;
        }
        buf = decoder->control;
    }
    *piece = (cam_ws_piece){
        .payload = {buf, kept + len},
        .opcode = decoder->control_opcode,
        .begins = true,
        .ends_frame = true,
        .ends = true,
    };
    decoder->state = decoder->control_opcode == CAM_WS_CLOSE ? CLOSED : HEAD;
    return CAM_WS_CONTROL;
}

/* Hands out a piece of a data frame. */
static void take_data(cam_ws_decoder *decoder, char *buf, size_t len, cam_ws_piece *piece) {
    unmask(decoder, buf, len);
    *piece = (cam_ws_piece){
        .payload = {buf, len},
        .rest = decoder->left,
        .opcode = decoder->opcode,
        .compressed = decoder->compressed,
        .begins = decoder->begins,
        .ends_frame = decoder->left == 0,
        .ends = decoder->left == 0 && decoder->fin,
    };
    decoder->begins = false;
    if (piece->ends_frame) {
        decoder->state = HEAD;
        if (piece->ends) {
            decoder->opcode = 0;
        }
    }
}

int cam_ws_decode(cam_ws_decoder *decoder, char *buf, size_t len, size_t *consumed,
                  cam_ws_piece *piece) {
    size_t at = 0;
    *consumed = 0;
    if (decoder->state == FAILED) {
        return decoder->error;
    }
    if (len == 0) {
        return CAM_WS_MORE;
    }
    if (decoder->state == CLOSED) {
        *consumed = len;
        return CAM_WS_MORE;
    }
    if (decoder->state == HEAD) {
        int used = take_head(decoder, buf, len);
        if (used < 0) {
            decoder->state = FAILED;
            decoder->error = (int16_t)used;
            return used;
        }
        at = *consumed = (size_t)used;
        if (decoder->state == HEAD) {
            return CAM_WS_MORE;
        }
    }
    size_t run = len - at;
    if (run > decoder->left) {
        run = (size_t)decoder->left;
    }
    if (run == 0 && decoder->left > 0) {
        return CAM_WS_MORE; /* a head without any of its payload */
    }
    *consumed = at + run;
    if (decoder->state == CONTROL) {
        return take_control(decoder, buf + at, run, piece);
    }
    take_data(decoder, buf + at, run, piece);
    return CAM_WS_DATA;
}

size_t cam_ws_write_head(char head[CAM_WS_MAX_HEAD], unsigned first, uint64_t len,
                         const uint8_t *key) {
    size_t count = 0; /* of the bytes of the length after the second byte */
    unsigned second = (unsigned)len;
    if (len >= LENGTH_16) {
        count = len < 65536 ? 2 : 8;
        second = count == 2 ? LENGTH_16 : LENGTH_64;
    }
    head[0] = (char)first;
    head[1] = (char)(key != NULL ? second | MASK_BIT : second);
    for (size_t i = 0; i < count; i++) {
        head[2 + i] = (char)(len >> 8 * (count - 1 - i));
    }
    if (key == NULL) {
        return 2 + count;
    }
    memcpy(head + 2 + count, key, 4);
    return 2 + count + 4;
}
