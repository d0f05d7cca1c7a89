/* SPDX-License-Identifier: MIT */
/*
 * Messages as events, from anywhere.
 *
 * The first byte of an input chooses requests or responses and how long pieces are, the next two
 * what is let pass and whether all is told. Beyond what the sanitizers see, an input fails when
 * the events or the outcome depend on the cuts, but for the pieces that targets, reasons and bodies
 * come in, and for how much of a start line is told before it turns out to be wrong; or when an
 * error does not last.
 */
#include "fuzz.h"
#include "http/h1_stream.h"

enum { INPUT_LIMIT = 1 << 14, TRACE_LIMIT = 1 << 18, UNTOLD = 1 << 15 };

typedef struct events {
    int result;
    size_t len;
    int last; /* the event that the trace ends with, if it may go on in another piece */
    char trace[TRACE_LIMIT];
} events;

static void add(events *out, const char *text, size_t len) {
    REQUIRE(len <= sizeof(out->trace) - out->len);
    if (len > 0) {
        memcpy(out->trace + out->len, text, len);
    }
    out->len += len;
}

static void note(events *out, int kind, const cam_h1_event *event) {
    bool pieces =
        kind == CAM_H1_EVENT_TARGET || kind == CAM_H1_EVENT_REASON || kind == CAM_H1_EVENT_BODY;
    if (!pieces || kind != out->last) {
        char tag[] = {'\n', (char)('A' + kind)};
        add(out, tag, sizeof(tag));
    }
    out->last = pieces ? kind : 0;
    if (kind == CAM_H1_EVENT_FIELD) {
        add(out, event->name.ptr, event->name.len);
        add(out, "=", 1);
    }
    if (pieces || kind == CAM_H1_EVENT_FIELD || kind == CAM_H1_EVENT_FOLDED) {
        REQUIRE(!pieces || event->text.len > 0);
        add(out, event->text.ptr, event->text.len);
    }
}

/* Feeds a piece of `cut` bytes, then others of `step`. */
static void parse(events *out, const char *input, size_t size, size_t cut, size_t step,
                  bool response, uint32_t lenient, const cam_h1_stream_limits *limits) {
    cam_h1_stream stream;
    cam_h1_stream_init(&stream, response, limits);
    stream.lenient = lenient;
    stream.chunks_untold = (lenient & UNTOLD) != 0;
    stream.untold = lenient & UNTOLD ? 1 << CAM_H1_EVENT_BEGIN | 1 << CAM_H1_EVENT_END : 0;
    out->len = 0;
    out->last = 0;
    out->result = CAM_H1_EVENT_MORE;
    size_t len = cut;
    for (size_t at = 0; at < size && out->result >= 0; len = step) {
        len = size - at < len ? size - at : len;
        char *piece = fuzz_guard(input + at, len);
        size_t used = 0;
        do {
            size_t consumed;
            cam_h1_event event;
            out->result = cam_h1_stream_next(&stream, piece + used, len - used, &consumed, &event);
            if (out->result > 0) {
                note(out, out->result, &event);
            }
            REQUIRE(out->result < 0 || consumed <= len - used);
            used += consumed;
            while (out->result == CAM_H1_EVENT_BODY &&
                   cam_h1_stream_more_body(&stream, piece + used, len - used, &consumed,
                                           &event.text)) {
                note(out, CAM_H1_EVENT_BODY, &event);
                used += consumed;
            }
            used += out->result == CAM_H1_EVENT_BODY ? consumed : 0;
        } while (out->result > 0);
        REQUIRE(out->result < 0 || used == len);
        at += len;
    }
    if (out->result < 0) {
        size_t consumed;
        cam_h1_event event;
        REQUIRE(cam_h1_stream_next(&stream, input, size, &consumed, &event) == out->result);
    }
    cam_h1_stream_fini(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static events whole;
    static events other;
    static const cam_h1_stream_limits small = {
        .max_line = 40, .max_headers = 3, .max_head_bytes = 90, .max_extension_bytes = 8};
    if (size < 4 || size > INPUT_LIMIT) {
        return 0;
    }
    bool response = input[0] & 1;
    const cam_h1_stream_limits *limits = input[0] & 2 ? &small : NULL;
    uint32_t lenient = (uint32_t)input[1] << 8 | input[2];
    const char *bytes = (const char *)input + 3;
    size_t len = size - 3;
    parse(&whole, bytes, len, len, 1, response, lenient, limits);

    size_t chosen = fuzz_cut(input, size, 64 * len);
    size_t last = fuzz_thorough ? len : chosen / 64 + 1;
    for (size_t cut = fuzz_thorough ? 1 : last; cut <= last; cut++) {
        size_t step = chosen % 64 == 0 || cut == 1 ? (size_t)(input[0] >> 2) + 1 : len;
        parse(&other, bytes, len, cut, step, response, lenient, limits);
        REQUIRE(whole.result == other.result);
        REQUIRE(whole.result < 0 ? whole.len <= other.len : whole.len == other.len);
        REQUIRE(memcmp(whole.trace, other.trace, whole.len) == 0);
    }
    return 0;
}
