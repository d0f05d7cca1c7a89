/* SPDX-License-Identifier: MIT */
/*
 * Request heads from anywhere.
 *
 * The first byte of an input chooses the limits and how long pieces are, the rest are the bytes of
 * a connection. Beyond what the sanitizers see, an input fails when the outcome depends on the cuts
 * or on a memo, or when a head that is accepted breaks a promise of h1.h.
 */
#include <stdbool.h>

#include "fuzz.h"
#include "http/authority.h"
#include "http/chars.h"
#include "http/h1.h"

#define CAPACITY 32

static const cam_h1_limits limits_of[] = {
    {16384, 16384, 128, 65536},
    {30, 40, 3, 100},
    {1000, 1000, 20, 300},
    {65536, 65536, 32, 200},
};

typedef struct parsed {
    cam_h1_header headers[CAPACITY];
    cam_h1_request request;
    int result;
} parsed;

/* One call with a request that knows of no other call. */
static void parse(parsed *out, const char *data, size_t len, cam_h1_scan *scan,
                  const cam_h1_limits *limits, const cam_h1_memo *memo) {
    memset(&out->request, 0x5a, sizeof(out->request));
    out->request.headers = out->headers;
    out->request.header_capacity = CAPACITY;
    out->result = cam_h1_parse_request(&out->request, data, len, scan, limits, memo);
}

static void check_inside(cam_slice slice, const char *data, size_t len) {
    REQUIRE(slice.len <= len);
    REQUIRE(slice.len == 0 || (slice.ptr >= data && slice.ptr + slice.len <= data + len));
}

static void check_promises(const parsed *out, const char *data, size_t len,
                           const cam_h1_limits *limits) {
    const cam_h1_request *request = &out->request;
    size_t head = (size_t)out->result;
    REQUIRE(head <= len && head <= limits->max_head_bytes);
    REQUIRE(head >= 4 && memcmp(data + head - 4, "\r\n\r\n", 4) == 0);
    REQUIRE(request->header_count <= CAPACITY && request->header_count <= limits->max_headers);
    check_inside(request->method, data, head);
    check_inside(request->target, data, head);
    check_inside(request->query, data, head);
    check_inside(request->host, data, head);
    check_inside(request->header_block, data, head);
    REQUIRE(request->header_block.ptr + request->header_block.len == data + head);
    REQUIRE(request->method.len > 0 && request->target.len > 0);
    REQUIRE(request->minor_version <= 1);
    REQUIRE((request->path.len == 0) == (request->target_form == CAM_H1_TARGET_AUTHORITY));
    REQUIRE(request->content_length >= -1);
    REQUIRE(!(request->flags & CAM_H1_CHUNKED) || request->content_length == -1);
    REQUIRE(!(request->flags & CAM_H1_EXPECT_CONTINUE) || !cam_h1_has_no_body(request));
    cam_authority authority;
    REQUIRE(request->host.len == 0 ||
            cam_authority_parse(&authority, request->host.ptr, request->host.len));
    for (size_t i = 0; i < request->header_count; i++) {
        cam_h1_header header = request->headers[i];
        check_inside(header.name, data, head);
        check_inside(header.value, data, head);
        REQUIRE(header.name.len > 0);
        REQUIRE(cam_char_span(header.name.ptr, header.name.len, CAM_CHAR_TOKEN) == header.name.len);
        REQUIRE(cam_char_span(header.value.ptr, header.value.len, CAM_CHAR_FIELD) ==
                header.value.len);
        REQUIRE(header.name_id == cam_h1_name_find(header.name.ptr, header.name.len));
    }
}

static bool same_slice(cam_slice a, cam_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Two parses of the same bytes, wherever they lie. */
static void check_same(const parsed *a, const parsed *b) {
    REQUIRE(a->result == b->result);
    if (a->result <= 0) {
        return;
    }
    const cam_h1_request *x = &a->request;
    const cam_h1_request *y = &b->request;
    REQUIRE(same_slice(x->method, y->method) && same_slice(x->target, y->target));
    REQUIRE(same_slice(x->path, y->path) && same_slice(x->query, y->query));
    REQUIRE(same_slice(x->host, y->host) && same_slice(x->header_block, y->header_block));
    REQUIRE(x->header_count == y->header_count && x->content_length == y->content_length);
    REQUIRE(x->flags == y->flags && x->target_form == y->target_form);
    REQUIRE(x->minor_version == y->minor_version);
    for (size_t i = 0; i < x->header_count && !x->from_memo && !y->from_memo; i++) {
        REQUIRE(same_slice(x->headers[i].name, y->headers[i].name));
        REQUIRE(same_slice(x->headers[i].value, y->headers[i].value));
    }
}

/* Feeds growing beginnings of the bytes: up to `cut`, then `step` more each time. */
static void parse_in_pieces(parsed *out, const char *data, size_t len, size_t cut, size_t step,
                            const cam_h1_limits *limits) {
    cam_h1_scan scan = {0};
    for (size_t part = cut;; part = len - part > step ? part + step : len) {
        parse(out, fuzz_guard(data, part), part, &scan, limits, NULL);
        if (out->result != CAM_H1_MORE || part == len) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static parsed whole;
    static parsed other;
    if (size == 0) {
        return 0;
    }
    const cam_h1_limits *limits = &limits_of[input[0] & 3];
    const char *data = (const char *)input + 1;
    size_t len = size - 1;

    cam_h1_scan scan = {0};
    parse(&whole, data, len, &scan, limits, NULL);
    if (whole.result > 0) {
        check_promises(&whole, data, len, limits);
    } else {
        REQUIRE(whole.result == CAM_H1_MORE || whole.result >= -CAM_H1_ERROR_COUNT);
    }
    size_t chosen = fuzz_cut(input, size, 64 * (len + 1));
    size_t last = fuzz_thorough ? len : chosen / 64;
    for (size_t cut = fuzz_thorough ? 0 : last; cut <= last; cut++) {
        /* In two, or now and then in many. */
        size_t step = chosen % 64 == 0 || cut == 0 ? (size_t)(input[0] >> 2) + 1 : len;
        parse_in_pieces(&other, data, len, cut, step, limits);
        check_same(&whole, &other);
    }

    if (whole.result > 0) {
        /* Its own memo, and then the next request of the connection with it. */
        cam_h1_memo memo = {whole.request.header_block, whole.request.fields};
        scan = (cam_h1_scan){0};
        parse(&other, data, len, &scan, limits, &memo);
        REQUIRE(other.request.from_memo != (whole.request.target_form == CAM_H1_TARGET_ABSOLUTE));
        check_same(&whole, &other);

        const char *next = data + whole.result;
        size_t left = len - (size_t)whole.result;
        static parsed plain;
        scan = (cam_h1_scan){0};
        parse(&plain, next, left, &scan, limits, NULL);
        scan = (cam_h1_scan){0};
        parse(&other, next, left, &scan, limits, &memo);
        check_same(&plain, &other);
    }
    return 0;
}
