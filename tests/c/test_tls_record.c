/* SPDX-License-Identifier: MIT */
/* net/tls_record: records whole, byte by byte and cut at every place; and what is no TLS. */
#include <string.h>

#include "check.h"
#include "net/tls_record.h"

enum { STREAM = 5 + 0 + 5 + 1 + 5 + 300 + 5 + CAM_TLS_RECORD_BODY };

static char stream[STREAM];
static size_t ends[8]; /* where records end */
static int end_count;

static size_t add_record(size_t at, int type, size_t body) {
    stream[at] = (char)type;
    stream[at + 1] = 3;
    stream[at + 2] = 3;
    stream[at + 3] = (char)(body >> 8);
    stream[at + 4] = (char)(body & 255);
    /* The bodies look like headers, which must not be taken for some. */
    memset(stream + at + CAM_TLS_HEADER, 23, body);
    ends[end_count++] = at + CAM_TLS_HEADER + body;
    return at + CAM_TLS_HEADER + body;
}

/* Records that end at or before `at`. */
static size_t expected_whole(size_t at) {
    size_t count = 0;
    for (int i = 0; i < end_count; i++) {
        count += ends[i] <= at;
    }
    return count;
}

/* Bytes behind the last record that ends at or before `at`. */
static size_t expected_partial(size_t at) {
    size_t last = 0;
    for (int i = 0; i < end_count; i++) {
        if (ends[i] <= at) {
            last = ends[i];
        }
    }
    return at - last;
}

static void test_whole(void) {
    cam_tls_records records = {0};
    cam_tls_records_feed(&records, stream, STREAM);
    CHECK(records.partial == 0, "%zu", records.partial);
    CHECK(records.whole == (size_t)end_count, "%zu", records.whole);
    CHECK(!records.foreign, "taken for no TLS");
}

static void test_byte_by_byte(void) {
    cam_tls_records records = {0};
    for (size_t at = 0; at < STREAM; at++) {
        cam_tls_records_feed(&records, stream + at, 1);
        CHECK(records.partial == expected_partial(at + 1), "at %zu: %zu", at, records.partial);
        CHECK(records.whole == expected_whole(at + 1), "at %zu: %zu", at, records.whole);
    }
}

static void test_cut_at_every_place(void) {
    for (size_t at = 0; at <= STREAM; at++) {
        cam_tls_records records = {0};
        cam_tls_records_feed(&records, stream, at);
        CHECK(records.partial == expected_partial(at), "at %zu: %zu", at, records.partial);
        cam_tls_records_feed(&records, stream + at, STREAM - at);
        CHECK(records.partial == 0, "cut at %zu: %zu", at, records.partial);
        CHECK(records.whole == (size_t)end_count, "cut at %zu: %zu", at, records.whole);
        CHECK(!records.foreign, "cut at %zu", at);
    }
}

static void test_foreign(void) {
    static const struct {
        unsigned char head[CAM_TLS_HEADER];
    } rows[] = {
        {{'H', 'T', 'T', 'P', '/'}},                     /* another protocol */
        {{19, 3, 3, 0, 1}},                              /* no such type */
        {{25, 3, 3, 0, 1}},          {{23, 2, 3, 0, 1}}, /* no such version */
        {{23, 3, 3, 0x48, 1}},                           /* longer than any record */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cam_tls_records records = {0};
        cam_tls_records_feed(&records, (const char *)rows[i].head, CAM_TLS_HEADER - 1);
        CHECK(!records.foreign && records.partial == CAM_TLS_HEADER - 1, "row %zu, too early", i);
        cam_tls_records_feed(&records, (const char *)rows[i].head + CAM_TLS_HEADER - 1, 1);
        CHECK(records.foreign && records.partial == 0, "row %zu", i);
        cam_tls_records_feed(&records, stream, STREAM);
        CHECK(records.foreign && records.partial == 0, "row %zu, and what follows", i);
    }
}

int main(void) {
    size_t at = add_record(0, 22, 0);
    at = add_record(at, 21, 1);
    at = add_record(at, 20, 300);
    at = add_record(at, 23, CAM_TLS_RECORD_BODY);
    CHECK(at == STREAM, "%zu", at);
    test_whole();
    test_byte_by_byte();
    test_cut_at_every_place();
    test_foreign();
    return check_result();
}
