/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies: what each gives, and that how it arrives does not matter.
 *
 * Every row is decoded whole, byte by byte, and cut in two at every place, by each of the two
 * functions, each piece in an allocation of just its size.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/chunked.h"

typedef struct outcome {
    int result;
    size_t used; /* bytes of the body, when it is complete */
    size_t data_len;
    char data[1 << 17];
} outcome;

typedef int feed_function(cam_chunked *decoder, char *piece, size_t len, size_t *used,
                          outcome *out);

static void add_data(outcome *out, const char *data, size_t len) {
    if (len > sizeof(out->data) - out->data_len) {
        abort();
    }
    memcpy(out->data + out->data_len, data, len);
    out->data_len += len;
}

static int feed_decode(cam_chunked *decoder, char *piece, size_t len, size_t *used, outcome *out) {
    *used = 0;
    for (;;) {
        size_t consumed;
        cam_slice data;
        int result = cam_chunked_decode(decoder, piece + *used, len - *used, &consumed, &data);
        CHECK(consumed <= len - *used, "%zu of %zu bytes", consumed, len - *used);
        *used += consumed;
        CHECK((result == CAM_CHUNKED_DATA) == (data.len > 0), "%d with %zu", result, data.len);
        add_data(out, data.len > 0 ? data.ptr : "", data.len);
        if (result != CAM_CHUNKED_DATA) {
            return result;
        }
    }
}

static int feed_gather(cam_chunked *decoder, char *piece, size_t len, size_t *used, outcome *out) {
    size_t written;
    int result = cam_chunked_gather(decoder, piece, len, used, &written);
    CHECK(written <= *used && *used <= len, "%zu, %zu of %zu", written, *used, len);
    add_data(out, piece, written);
    return result;
}

/* One piece; returns whether the body goes on after it. */
static bool feed(outcome *out, cam_chunked *decoder, const char *text, size_t len,
                 feed_function *function) {
    char *piece = malloc(len > 0 ? len : 1);
    if (piece == NULL) {
        abort();
    }
    memcpy(piece, text, len);
    size_t used;
    out->result = function(decoder, piece, len, &used, out);
    out->used += used;
    CHECK(out->result != CAM_CHUNKED_MORE || used == len, "%zu of %zu bytes used", used, len);
    free(piece);
    if (out->result == CAM_CHUNKED_MORE) {
        return true;
    }
    /* What it once said it says for ever. */
    cam_slice data;
    char more[] = "5\r\nhello\r\n";
    int again = cam_chunked_decode(decoder, more, sizeof(more) - 1, &used, &data);
    CHECK(again == out->result && used == 0 && data.len == 0, "%d after %d", again, out->result);
    return false;
}

static void start(outcome *out, cam_chunked *decoder, const cam_chunked_limits *limits) {
    cam_chunked_init(decoder, limits);
    out->result = CAM_CHUNKED_MORE;
    out->used = out->data_len = 0;
}

static bool same(const outcome *a, const outcome *b) {
    return a->result == b->result && a->data_len == b->data_len &&
           (a->result < 0 || a->used == b->used) && memcmp(a->data, b->data, a->data_len) == 0;
}

/* Decodes in all ways, and gives the outcome when they agree. */
static void decode_all_ways(outcome *whole, const char *text, size_t len,
                            const cam_chunked_limits *limits) {
    static outcome other;
    static feed_function *const functions[] = {feed_decode, feed_gather};
    cam_chunked decoder;
    start(whole, &decoder, limits);
    feed(whole, &decoder, text, len, feed_decode);
    for (int f = 0; f < 2; f++) {
        start(&other, &decoder, limits);
        feed(&other, &decoder, text, len, functions[f]);
        CHECK(same(whole, &other), "whole, function %d: %.60s", f, text);

        start(&other, &decoder, limits);
        for (size_t i = 0; i < len && feed(&other, &decoder, text + i, 1, functions[f]); i++) {
        }
        CHECK(same(whole, &other), "byte by byte, function %d: %d for %d: %.60s", f, other.result,
              whole->result, text);

        for (size_t cut = 0; cut <= len && len < 1000; cut++) {
            start(&other, &decoder, limits);
            if (feed(&other, &decoder, text, cut, functions[f])) {
                feed(&other, &decoder, text + cut, len - cut, functions[f]);
            }
            CHECK(same(whole, &other), "cut at %zu, function %d: %d for %d: %.60s", cut, f,
                  other.result, whole->result, text);
        }
    }
}

#define END "0\r\n\r\n"

static outcome out;

/* What comes after a body is left alone, by every cut of body and rest. */
static void test_pipelined(void) {
    static const char text[] = "5\r\nhello\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n";
    const size_t body = sizeof("5\r\nhello\r\n0\r\nA: b\r\n\r\n") - 1;
    decode_all_ways(&out, text, sizeof(text) - 1, NULL);
    CHECK(out.result == CAM_CHUNKED_DONE && out.used == body, "%zu bytes used", out.used);

    char copy[sizeof(text)];
    memcpy(copy, text, sizeof(text));
    cam_chunked decoder;
    cam_chunked_init(&decoder, NULL);
    size_t used;
    size_t written;
    int result = cam_chunked_gather(&decoder, copy, sizeof(text) - 1, &used, &written);
    CHECK(result == CAM_CHUNKED_DONE && used == body && written == 5, "%d", result);
    CHECK(memcmp(copy, "hello", 5) == 0, "the data come first");
    CHECK(strcmp(copy + body, text + body) == 0, "the rest is untouched");
}

/* Extensions and trailers are bounded over the whole body, just at their limit. */
static void test_limits(void) {
    const cam_chunked_limits limits = {.max_extension_bytes = 6, .max_trailer_bytes = 8};
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"1;a=bcd\r\nx\r\n" END, CAM_CHUNKED_DONE},
        {"1;a=bcde\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"1;ab\r\nx\r\n1;cd\r\nx\r\n" END, CAM_CHUNKED_DONE},
        {"1;ab\r\nx\r\n1;cde\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"1;a\r\nx\r\n1;b\r\nx\r\n1;c\r\nx\r\n1;d\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"1      ;a\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"1;a=\"b\"\r\nx\r\n" END, CAM_CHUNKED_DONE},
        {"1;a=\"bc\"\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"1;a=\"bcde\"\r\nx\r\n" END, CAM_H1_E_CHUNK_EXTENSION_LENGTH},
        {"0\r\nA: b\r\n\r\n", CAM_CHUNKED_DONE},
        {"0\r\nA: bc\r\n\r\n", CAM_H1_E_TRAILER_LENGTH},
        {"0\r\nA:\r\nB:\r\n\r\n", CAM_H1_E_TRAILER_LENGTH},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        decode_all_ways(&out, cases[i].text, strlen(cases[i].text), &limits);
        CHECK(out.result == cases[i].result, "%d for %d: %s", out.result, cases[i].result,
              cases[i].text);
    }
    /* The default limits hold too, before the end of the line. */
    char *text = malloc(70000);
    if (text == NULL) {
        abort();
    }
    memset(text, 'a', 70000);
    memcpy(text, "5;", 2);
    decode_all_ways(&out, text, 4097, NULL);
    CHECK(out.result == CAM_CHUNKED_MORE, "%d", out.result);
    decode_all_ways(&out, text, 4098, NULL);
    CHECK(out.result == CAM_H1_E_CHUNK_EXTENSION_LENGTH, "%d", out.result);
    memcpy(text, "0\r\n", 3);
    decode_all_ways(&out, text, 3 + 8192, NULL);
    CHECK(out.result == CAM_CHUNKED_MORE, "%d", out.result);
    decode_all_ways(&out, text, 3 + 8193, NULL);
    CHECK(out.result == CAM_H1_E_TRAILER_LENGTH, "%d", out.result);
    free(text);
}

/* Many tiny chunks: every byte comes through, in one piece for each gather. */
static void test_tiny_chunks(void) {
    const size_t count = 10000;
    char *text = malloc(count * 6 + 6);
    if (text == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * 6, "1\r\n?\r\n", 6);
        text[i * 6 + 3] = (char)('a' + i % 26);
    }
    memcpy(text + count * 6, END, 6);
    decode_all_ways(&out, text, count * 6 + 5, NULL);
    CHECK(out.result == CAM_CHUNKED_DONE && out.data_len == count, "%zu bytes", out.data_len);
    for (size_t i = 0; i < out.data_len; i++) {
        CHECK(out.data[i] == (char)('a' + i % 26), "byte %zu", i);
    }
    free(text);
}

/* A long chunk is handed out as it comes, without copying. */
static void test_in_place(void) {
    cam_chunked decoder;
    cam_chunked_init(&decoder, NULL);
    char head[] = "10000\r\nabc";
    size_t used;
    cam_slice data;
    int result = cam_chunked_decode(&decoder, head, sizeof(head) - 1, &used, &data);
    CHECK(result == CAM_CHUNKED_DATA && used == sizeof(head) - 1, "%d", result);
    CHECK(data.ptr == head + 7 && data.len == 3, "%zu bytes", data.len);
    result = cam_chunked_decode(&decoder, head, 0, &used, &data);
    CHECK(result == CAM_CHUNKED_MORE && used == 0 && data.len == 0, "%d", result);
}

/* A leniency leaves the grammar's other rules as they are. */
static void test_one_leniency(void) {
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"5\rX", CAM_H1_E_CHUNK_LINE},
        {"1\r\nx\rX", CAM_H1_E_CHUNK_DATA},
        {"5 \r\n", CAM_H1_E_CHUNK_EXTENSION},
        {"1\nx\n0\n\r\n", CAM_CHUNKED_DONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cam_chunked decoder;
        cam_chunked_init(&decoder, NULL);
        decoder.options = CAM_CHUNKED_LENIENT_CR;
        size_t used = 0;
        size_t part;
        cam_slice data;
        int result;
        do {
            result = cam_chunked_decode(&decoder, cases[i].text + used,
                                        strlen(cases[i].text) - used, &part, &data);
            used += part;
        } while (result == CAM_CHUNKED_DATA);
        CHECK(result == cases[i].result, "%d for %d: %s", result, cases[i].result, cases[i].text);
    }
}

int main(void) {
    test_one_leniency();
    test_pipelined();
    test_limits();
    test_tiny_chunks();
    test_in_place();
    return check_result();
}
