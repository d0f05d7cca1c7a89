/* SPDX-License-Identifier: MIT */
/*
 * WebSocket frames from anywhere.
 *
 * The first byte of an input chooses the side, the extension and the limit, the second the cuts.
 * Beyond what the sanitizers see, an input fails when the outcome depends on the cuts, when it is
 * not that of a second, plain reading of RFC 6455 section 5 below, or when a close payload or a
 * text is judged otherwise than by it.
 */
#include <stdbool.h>

#include "fuzz.h"
#include "ws/frame.h"
#include "ws/utf8.h"

/* What happened, in order: the ends of frames and messages, each with the bytes until then. */
typedef struct event {
    size_t bytes;
    uint8_t kind; /* 'f' a frame ended, 'm' a message too, 'c' a control frame */
    uint8_t opcode;
    bool compressed;
} event;

enum { INPUT_LIMIT = 1 << 16 };

typedef struct outcome {
    int result;
    size_t len;
    size_t count;
    bool in_message;
    char bytes[INPUT_LIMIT]; /* of messages and control frames, one after the other */
    event events[INPUT_LIMIT];
} outcome;

static void outcome_init(outcome *out) {
    out->result = 0;
    out->len = 0;
    out->count = 0;
    out->in_message = false;
}

static void add_bytes(outcome *out, const char *bytes, size_t len) {
    if (len > 0) {
        memcpy(out->bytes + out->len, bytes, len);
        out->len += len;
    }
}

static void add_event(outcome *out, char kind, unsigned opcode, bool compressed) {
    out->events[out->count++] = (event){out->len, (uint8_t)kind, (uint8_t)opcode, compressed};
}

/* Takes reads of at most `step` bytes. */
static void decode(outcome *out, const char *input, size_t size, size_t step, uint64_t limit,
                   unsigned flags) {
    cam_ws_decoder decoder;
    cam_ws_decoder_init(&decoder, limit, flags);
    uint64_t rest = 0;
    for (size_t at = 0; at < size && out->result == CAM_WS_MORE;) {
        size_t len = size - at < step ? size - at : step;
        char *read = fuzz_guard(input + at, len);
        size_t used = 0;
        do {
            size_t consumed;
            cam_ws_piece piece;
            out->result = cam_ws_decode(&decoder, read + used, len - used, &consumed, &piece);
            REQUIRE(consumed <= len - used);
            used += consumed;
            if (out->result <= 0) {
                continue;
            }
            if (out->result == CAM_WS_CONTROL) {
                REQUIRE(rest == 0 && piece.payload.len <= CAM_WS_MAX_CONTROL);
                add_bytes(out, piece.payload.ptr, piece.payload.len);
                add_event(out, 'c', piece.opcode, piece.compressed);
                continue;
            }
            REQUIRE(piece.begins == !out->in_message);
            REQUIRE(rest == 0 || rest == piece.payload.len + piece.rest);
            REQUIRE(piece.ends_frame == (piece.rest == 0));
            REQUIRE(piece.payload.len == 0 ||
                    (piece.payload.ptr >= read &&
                     piece.payload.ptr + piece.payload.len == read + used));
            rest = piece.rest;
            out->in_message = !piece.ends;
            REQUIRE(out->in_message == cam_ws_in_message(&decoder));
            add_bytes(out, piece.payload.ptr, piece.payload.len);
            if (piece.ends_frame) {
                add_event(out, piece.ends ? 'm' : 'f', piece.opcode, piece.compressed);
            }
        } while (out->result > 0);
        REQUIRE(out->result != CAM_WS_MORE || used == len);
        at += used;
    }
}

/* The same by the book: frame by frame, byte by byte, over all of the input at once. */
static void decode_plainly(outcome *out, const uint8_t *in, size_t size, uint64_t limit,
                           unsigned flags) {
    unsigned message = 0;
    bool compressed = false;
    uint64_t total = 0;
    size_t at = 0;
#define FAIL(error) return (void)(out->result = (error))
#define NEED(count)                                                                                \
    if (size - at < (count)) {                                                                     \
        return;                                                                                    \
    }
    for (;;) {
        NEED(1)
        unsigned fin = in[at] >> 7, rsv1 = in[at] >> 6 & 1, opcode = in[at] & 15;
        if (in[at] >> 4 & 3 ||
            (rsv1 && (!(flags & CAM_WS_DEFLATE) || (opcode & 7) == 0 || opcode >= 8))) {
            FAIL(CAM_WS_E_RSV);
        }
        if ((opcode > 2 && opcode < 8) || opcode > 10) {
            FAIL(CAM_WS_E_OPCODE);
        }
        if (opcode >= 8 && !fin) {
            FAIL(CAM_WS_E_CONTROL_FRAGMENTED);
        }
        if (opcode == 0 && message == 0) {
            FAIL(CAM_WS_E_CONTINUATION);
        }
        if (opcode > 0 && opcode < 8 && message != 0) {
            FAIL(CAM_WS_E_INTERRUPTED);
        }
        NEED(2)
        unsigned mask = in[at + 1] >> 7;
        uint64_t len = in[at + 1] & 127;
        if (mask == (flags & CAM_WS_CLIENT ? 1u : 0u)) {
            FAIL(mask ? CAM_WS_E_MASKED : CAM_WS_E_NOT_MASKED);
        }
        if (opcode >= 8 && len > 125) {
            FAIL(CAM_WS_E_CONTROL_LENGTH);
        }
        size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
        NEED(2 + more)
        if (more > 0) {
            len = 0;
            for (size_t i = 0; i < more; i++) {
                len = len * 256 + in[at + 2 + i];
            }
            if (len > INT64_MAX) {
                FAIL(CAM_WS_E_LENGTH_RANGE);
            }
            if (len < 126 || (more == 8 && len < 65536)) {
                FAIL(CAM_WS_E_LENGTH_FORM);
            }
        }
        if (opcode < 8) {
            if (opcode != 0) {
                compressed = rsv1;
                total = 0;
            }
            /* No sum of these overflows: the input is short, and so is all but the last frame. */
            uint64_t bound = compressed && limit < UINT64_MAX ? limit + limit / 8 + 64 : limit;
            if (len > bound || total + len > bound) {
                FAIL(CAM_WS_E_MESSAGE_LENGTH);
            }
        }
        NEED(2 + more + 4 * mask)
        const uint8_t *key = in + at + 2 + more;
        at += 2 + more + 4 * mask;
        size_t there = len < size - at ? (size_t)len : size - at;
        if (opcode >= 8 && there < len) {
            return;
        }
        if (opcode < 8) {
            total += len;
            message = opcode != 0 ? opcode : message;
            out->in_message = out->in_message || len == 0 || there > 0;
        }
        for (size_t i = 0; i < there; i++) {
            char byte = (char)(mask ? in[at + i] ^ key[i % 4] : in[at + i]);
            add_bytes(out, &byte, 1);
        }
        at += there;
        if (there < len) {
            return;
        }
        if (opcode >= 8) {
            add_event(out, 'c', opcode, false);
            if (opcode == CAM_WS_CLOSE) {
                return;
            }
            continue;
        }
        add_event(out, fin ? 'm' : 'f', message, compressed);
        out->in_message = !fin;
        message = fin ? 0 : message;
    }
}

static void require_same(const outcome *a, const outcome *b) {
    REQUIRE(a->result == b->result && a->len == b->len && a->count == b->count);
    REQUIRE(a->in_message == b->in_message);
    REQUIRE(memcmp(a->bytes, b->bytes, a->len) == 0);
    for (size_t i = 0; i < a->count; i++) {
        const event *x = &a->events[i], *y = &b->events[i];
        REQUIRE(x->bytes == y->bytes && x->kind == y->kind && x->opcode == y->opcode &&
                x->compressed == y->compressed);
    }
}

/* UTF-8 by counting: how many bytes are a good beginning. */
static size_t plain_utf8(const uint8_t *text, size_t len, bool *complete) {
    size_t at = 0;
    *complete = true;
    while (at < len) {
        uint8_t c = text[at];
        size_t more = c < 0x80 ? 0 : c < 0xc0 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf8 ? 3 : 9;
        if (more == 9) {
            return at;
        }
        uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : more == 3 ? 0x10000 : 0;
        uint32_t point = more > 0 ? c & (0x3f >> more) : c;
        for (size_t i = 0; i <= more; i++) {
            if (i > 0) {
                if (at + i == len) {
                    *complete = false;
                    return len;
                }
                if (text[at + i] >> 6 != 2) {
                    *complete = false;
                    return at + i;
                }
                point = point << 6 | (text[at + i] & 63);
            }
            /* What the rest may still make of it, from all zeros to all ones. */
            uint32_t lowest = point << 6 * (more - i);
            uint32_t highest = ((point + 1) << 6 * (more - i)) - 1;
            if (highest < least || lowest > 0x10ffff || (lowest >= 0xd800 && highest <= 0xdfff)) {
                *complete = i == 0;
                return at + i;
            }
        }
        at += more + 1;
    }
    return at;
}

static void check_utf8(const char *text, size_t len, size_t step) {
    bool complete;
    size_t good = plain_utf8((const uint8_t *)text, len, &complete);
    cam_utf8 state = {0};
    for (size_t at = 0; at < len; at += step) {
        size_t piece = len - at < step ? len - at : step;
        REQUIRE(cam_utf8_feed(&state, fuzz_guard(text + at, piece), piece) == (at + piece <= good));
    }
    REQUIRE(cam_utf8_complete(&state) == (good == len && complete));
    REQUIRE(cam_utf8_valid(fuzz_guard(text, len), len) == (good == len && complete));
}

static void check_close(const char *bytes, size_t len) {
    const char *payload = fuzz_guard(bytes, len);
    cam_ws_close close;
    bool complete;
    int result = cam_ws_close_read(&close, payload, len);
    if (result < 0) {
        REQUIRE(len > 0 && close.code == CAM_WS_CLOSE_NO_STATUS && close.reason.len == 0);
        return;
    }
    if (len > 0) {
        REQUIRE(cam_ws_close_code_may_be_sent(close.code) && close.reason.len == len - 2);
        REQUIRE(plain_utf8((const uint8_t *)payload + 2, len - 2, &complete) == len - 2 &&
                complete);
    }
    char again[CAM_WS_MAX_CONTROL];
    REQUIRE(cam_ws_close_write(again, close.code, close.reason) == len);
    REQUIRE(memcmp(again, payload, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static const uint64_t limits[] = {UINT64_MAX, 200};
    static outcome plain;
    static outcome other;
    if (size < 2 || size > INPUT_LIMIT) {
        return 0;
    }
    unsigned flags = input[0] & (CAM_WS_CLIENT | CAM_WS_DEFLATE);
    uint64_t limit = limits[input[0] >> 2 & 1];
    size_t step = (size_t)input[1] + 1;
    const char *bytes = (const char *)input + 2;
    size_t len = size - 2;
    outcome_init(&plain);
    decode_plainly(&plain, input + 2, len, limit, flags);
    size_t steps[] = {len > 0 ? len : 1, 1, step};
    for (int way = 0; way < 3; way++) {
        outcome_init(&other);
        decode(&other, bytes, len, steps[way], limit, flags);
        require_same(&plain, &other);
    }
    size_t begin = 0;
    for (size_t i = 0; i < plain.count; i++) {
        const event *event = &plain.events[i];
        if (event->kind == 'c' && event->opcode == CAM_WS_CLOSE) {
            check_close(plain.bytes + begin, event->bytes - begin);
        }
        begin = event->bytes;
    }
    check_utf8(plain.bytes, plain.len, step);
    return 0;
}
