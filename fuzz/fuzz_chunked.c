/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies from anywhere.
 *
 * The first byte of an input chooses the limits and how long pieces are. Beyond what the sanitizers
 * see, an input fails when the outcome depends on the cuts or on which of the two functions
 * decodes, or when a body that is accepted is not one by a second, plain reading of the grammar.
 */
#include <stdbool.h>

#include "fuzz.h"
#include "http/chars.h"
#include "http/chunked.h"

static const cam_chunked_limits limits_of[] = {{4096, 8192}, {8, 16}};

typedef struct decoded {
    int result;
    size_t used;
    size_t len;
    char data[1 << 16];
} decoded;

/* Takes a piece of `cut` bytes, then others of `step`, by gather or by decode. */
static void decode(decoded *out, const char *input, size_t size, size_t cut, size_t step,
                   bool gather, const cam_chunked_limits *limits) {
    cam_chunked decoder;
    cam_chunked_init(&decoder, limits);
    out->result = CAM_CHUNKED_MORE;
    out->used = out->len = 0;
    size_t len = cut;
    for (size_t at = 0; out->result == CAM_CHUNKED_MORE; len = step) {
        len = size - at < len ? size - at : len;
        char *piece = fuzz_guard(input + at, len);
        size_t used = 0;
        if (gather) {
            size_t written;
            out->result = cam_chunked_gather(&decoder, piece, len, &used, &written);
            REQUIRE(written <= used && used <= len);
            memcpy(out->data + out->len, piece, written);
            out->len += written;
        } else {
            size_t consumed;
            cam_slice data;
            do {
                out->result =
                    cam_chunked_decode(&decoder, piece + used, len - used, &consumed, &data);
                REQUIRE(consumed <= len - used);
                REQUIRE((out->result == CAM_CHUNKED_DATA) == (data.len > 0));
                if (data.len > 0) {
                    REQUIRE(data.ptr >= piece + used &&
                            data.ptr + data.len == piece + used + consumed);
                    memcpy(out->data + out->len, data.ptr, data.len);
                    out->len += data.len;
                }
                used += consumed;
            } while (out->result == CAM_CHUNKED_DATA);
        }
        REQUIRE(out->result != CAM_CHUNKED_MORE || used == len);
        out->used += used;
        at += used;
        if (at == size) {
            return;
        }
    }
}

/* Reads an accepted body again, line by line, and compares its data. */
static void check_body(const decoded *out, const char *input) {
    const char *at = input;
    const char *end = input + out->used;
    size_t len = 0;
    for (;;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        REQUIRE(line_end != NULL && line_end > at && line_end[-1] == '\r');
        size_t size = 0;
        REQUIRE(cam_char_is(at[0], CAM_CHAR_HEX));
        for (const char *digit = at; cam_char_is(*digit, CAM_CHAR_HEX); digit++) {
            REQUIRE(size <= SIZE_MAX >> 4);
            size = size << 4 | cam_char_hex(*digit);
        }
        at = line_end + 1;
        if (size == 0) {
            break;
        }
        REQUIRE(size <= (size_t)(end - at) && size <= out->len - len);
        REQUIRE(memcmp(out->data + len, at, size) == 0);
        len += size;
        at += size;
        REQUIRE(end - at > 2 && at[0] == '\r' && at[1] == '\n');
        at += 2;
    }
    REQUIRE(len == out->len);
    while (at[0] != '\r') { /* trailer lines */
        static const char *const forbidden[] = {"content-length:", "transfer-encoding:", "host:"};
        for (size_t i = 0; i < 3; i++) {
            REQUIRE(strncasecmp(at, forbidden[i], strlen(forbidden[i])) != 0);
        }
        at = memchr(at, '\n', (size_t)(end - at));
        REQUIRE(at != NULL && at[-1] == '\r' && ++at < end);
    }
    REQUIRE(end - at == 2 && at[1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static decoded whole;
    static decoded other;
    if (size == 0 || size > sizeof(whole.data)) {
        return 0;
    }
    const cam_chunked_limits *limits = &limits_of[input[0] & 1];
    const char *bytes = (const char *)input + 1;
    size_t len = size - 1;
    decode(&whole, bytes, len, len, 1, false, limits);

    /* In two, or now and then in many; by each of the two functions, or by one of them. */
    size_t chosen = fuzz_cut(input, size, 64 * (len + 1));
    size_t last = fuzz_thorough ? len : chosen / 64;
    for (size_t cut = fuzz_thorough ? 0 : last; cut <= last; cut++) {
        size_t step = chosen % 64 == 0 || cut == 0 ? (size_t)(input[0] >> 1) + 1 : len;
        for (int way = 0; way < 2; way++) {
            if (fuzz_thorough || way == (int)(chosen & 1)) {
                decode(&other, bytes, len, cut, step, way > 0, limits);
                REQUIRE(whole.result == other.result && whole.len == other.len);
                REQUIRE(whole.result < 0 || whole.used == other.used);
                REQUIRE(memcmp(whole.data, other.data, whole.len) == 0);
            }
        }
    }
    if (whole.result == CAM_CHUNKED_DONE) {
        check_body(&whole, bytes);
    }
    return 0;
}
