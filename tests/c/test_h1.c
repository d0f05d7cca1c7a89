/* SPDX-License-Identifier: MIT */
/*
 * Request heads: what each gives, and that how it arrives does not matter.
 *
 * What a request means is in tests/cases/http1; here are every byte in every place, limits, memos
 * and broken words. Heads are parsed whole, with other bytes after them, byte by byte, and cut in
 * two at every place; each time in a fresh allocation of just their size, so that a sanitizer sees
 * any read beyond it, and into a request full of rubbish, so that nothing is carried over in it.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/h1.h"

#define CAPACITY 128

/* What the parser made of some bytes. */
typedef struct outcome {
    int result;
    char text[4096];
} outcome;

static const cam_h1_limits *const defaults = &cam_h1_default_limits;

static void append(outcome *out, const char *format, ...) {
    size_t used = strlen(out->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->text + used, sizeof(out->text) - used, format, arguments);
    va_end(arguments);
}

static void append_slice(outcome *out, cam_slice slice) {
    append(out, "%.*s", (int)slice.len, slice.len > 0 ? slice.ptr : "");
}

/* "method form version path?query @host body flags", without the headers. */
static void describe(outcome *out, const cam_h1_request *request) {
    static const char *const forms[] = {"origin", "absolute", "asterisk", "authority"};
    append_slice(out, request->method);
    append(out, " %s 1.%d ", forms[request->target_form], request->minor_version);
    append_slice(out, request->path);
    append(out, "?");
    append_slice(out, request->query);
    append(out, " @");
    append_slice(out, request->host);
    append(out, " %lld ", (long long)request->content_length);
    append(out, "%s%s%s%s", request->flags & CAM_H1_KEEP_ALIVE ? "K" : "",
           request->flags & CAM_H1_CHUNKED ? "C" : "",
           request->flags & CAM_H1_EXPECT_CONTINUE ? "E" : "",
           request->flags & CAM_H1_UPGRADE ? "U" : "");
}

static void describe_headers(outcome *out, const cam_h1_request *request) {
    for (size_t i = 0; i < request->header_count && !request->from_memo; i++) {
        append(out, "\n%u ", request->headers[i].name_id);
        append_slice(out, request->headers[i].name);
        append(out, "=");
        append_slice(out, request->headers[i].value);
    }
}

/* One call with a buffer and a request that know of no other call. */
static void call(outcome *out, const char *text, size_t len, cam_h1_scan *scan,
                 const cam_h1_limits *limits, const cam_h1_memo *memo, bool headers) {
    static cam_h1_header room[CAPACITY];
    char *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, text, len);
    cam_h1_request request;
    memset(&request, 0xa5, sizeof(request));
    memset(room, 0xa5, sizeof(room[0]) * 8);
    request.headers = room;
    request.header_capacity = CAPACITY;
    out->result = cam_h1_parse_request(&request, copy, len, scan, limits, memo);
    out->text[0] = '\0';
    if (out->result > 0) {
        describe(out, &request);
        if (headers) {
            describe_headers(out, &request);
        }
    }
    free(copy);
}

static void parse_whole(outcome *out, const char *text, size_t len, const cam_h1_limits *limits) {
    cam_h1_scan scan = {0};
    call(out, text, len, &scan, limits, NULL, true);
}

/* Cut in two at `cut`; the second call is left out when the first one decides. */
static void parse_cut(outcome *out, const char *text, size_t len, size_t cut,
                      const cam_h1_limits *limits) {
    cam_h1_scan scan = {0};
    call(out, text, cut, &scan, limits, NULL, true);
    if (out->result == CAM_H1_MORE) {
        call(out, text, len, &scan, limits, NULL, true);
    }
}

static void parse_bytes(outcome *out, const char *text, size_t len, const cam_h1_limits *limits) {
    cam_h1_scan scan = {0};
    out->result = CAM_H1_MORE;
    for (size_t part = 0; part <= len && out->result == CAM_H1_MORE; part++) {
        call(out, text, part, &scan, limits, NULL, true);
        /* All but a CR at the very end is behind us: the work is linear in the bytes. */
        CHECK(out->result != CAM_H1_MORE || part - scan.offset <= 1, "searched %zu of %zu",
              scan.offset, part);
    }
}

static bool same(const outcome *a, const outcome *b) {
    return a->result == b->result && strcmp(a->text, b->text) == 0;
}

/* A printable form of a row, for messages. */
static const char *quote(const char *text, size_t len) {
    static char out[256];
    size_t used = 0;
    for (size_t i = 0; i < len && used < sizeof(out) - 8; i++) {
        unsigned char c = (unsigned char)text[i];
        used += (size_t)(c >= ' ' && c <= '~' ? sprintf(out + used, "%c", c)
                                              : sprintf(out + used, "\\x%02x", c));
    }
    out[used] = '\0';
    return out;
}

/* Parses in all ways, and gives the outcome when they agree. */
static void parse_all_ways(outcome *whole, const char *text, size_t len,
                           const cam_h1_limits *limits) {
    outcome other;
    parse_whole(whole, text, len, limits);
    parse_bytes(&other, text, len, limits);
    CHECK(same(whole, &other), "byte by byte: %d for %d: %s", other.result, whole->result,
          quote(text, len));
    for (size_t cut = 0; cut < len; cut++) {
        parse_cut(&other, text, len, cut, limits);
        CHECK(same(whole, &other), "cut at %zu: %d for %d: %s", cut, other.result, whole->result,
              quote(text, len));
    }
    if (whole->result > 0) {
        static const char after[] = "\r\nGET \x01\x02 nonsense after the head";
        char *longer = malloc(len + sizeof(after));
        if (longer == NULL) {
            abort();
        }
        memcpy(longer, text, len);
        memcpy(longer + len, after, sizeof(after));
        parse_whole(&other, longer, len + sizeof(after), limits);
        CHECK(same(whole, &other), "bytes after the head count: %s", quote(text, len));
        free(longer);
    }
}

/* A head with one Host, and the lines given. */
#define HEAD(lines) "GET / HTTP/1.1\r\nHost: a\r\n" lines "\r\n"

/* Every byte in every place of a head where it is either allowed or not. */
static void test_bytes(void) {
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        char text[64];
        outcome out;
        bool control = (c < ' ' && c != '\t') || c == 0x7f;
        int of_control = c == '\n'   ? CAM_H1_E_BARE_LF
                         : c == '\r' ? CAM_H1_E_BARE_CR
                                     : CAM_H1_E_CONTROL;
        bool is_token = c != 0 && strchr(token, c) != NULL;

        int len = sprintf(text, "G%cT / HTTP/1.1\r\nHost: a\r\n\r\n", '?');
        text[1] = (char)c;
        parse_all_ways(&out, text, (size_t)len, defaults);
        int expected = control    ? of_control
                       : is_token ? len
                       : c == ' ' ? CAM_H1_E_VERSION /* of "T", the version is "/ HTTP/1.1" */
                                  : CAM_H1_E_METHOD;
        CHECK(out.result == expected, "byte 0x%02x in a method: %d", c, out.result);

        len = sprintf(text, "GET /?b HTTP/1.1\r\nHost: a\r\n\r\n");
        text[6] = (char)c;
        parse_all_ways(&out, text, (size_t)len, defaults);
        expected = control                           ? of_control
                   : c > ' ' && c <= '~' && c != '#' ? len
                   : c == ' '                        ? CAM_H1_E_VERSION
                                                     : CAM_H1_E_TARGET;
        CHECK(out.result == expected, "byte 0x%02x in a target: %d", c, out.result);

        len = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX?y: b\r\n\r\n");
        text[26] = (char)c;
        parse_all_ways(&out, text, (size_t)len, defaults);
        expected = control ? of_control : is_token || c == ':' ? len : CAM_H1_E_FIELD_NAME;
        CHECK(out.result == expected, "byte 0x%02x in a name: %d", c, out.result);

        text[26] = 'x';
        text[30] = (char)c;
        text[31] = 'z';
        len = sprintf(text + 32, "\r\n\r\n") + 32;
        parse_all_ways(&out, text, (size_t)len, defaults);
        expected = control ? of_control : len;
        CHECK(out.result == expected, "byte 0x%02x in a value: %d", c, out.result);

        len = sprintf(text, "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n");
        text[23] = (char)c;
        parse_all_ways(&out, text, (size_t)len, defaults);
        bool host = is_token && c != '#' && c != '%' && c != '^' && c != '`' && c != '|';
        host = host || (c != 0 && strchr("(),;=", c) != NULL);
        expected = control ? of_control : host ? len : CAM_H1_E_HOST; /* "a:b" has no port */
        CHECK(out.result == expected, "byte 0x%02x in a host: %d", c, out.result);
    }
}

/* Where each limit lies: one byte or one line less is a head, one more is an error. */
static void test_limits(void) {
    static const char text[] = "GET /path HTTP/1.1\r\nHost: a\r\nX: 1234567890123456\r\n\r\n";
    const size_t len = sizeof(text) - 1;
    struct {
        cam_h1_limits limits;
        int expected;
    } cases[] = {
        {{18, 19, 2, len}, (int)len},
        {{18, 19, 2, 4096}, (int)len},
        {{18, 18, 2, len}, CAM_H1_E_FIELD_LENGTH},
        {{17, 19, 2, len}, CAM_H1_E_TARGET_LENGTH},
        {{4, 19, 2, len}, CAM_H1_E_TARGET_LENGTH},
        {{3, 19, 2, len}, CAM_H1_E_TARGET_LENGTH},
        {{2, 19, 2, len}, CAM_H1_E_METHOD_LENGTH},
        {{0, 19, 2, len}, CAM_H1_E_METHOD_LENGTH},
        {{19, 19, 1, len}, CAM_H1_E_FIELD_COUNT},
        {{19, 19, 0, len}, CAM_H1_E_FIELD_COUNT},
        {{19, 19, 2, len - 1}, CAM_H1_E_HEAD_LENGTH},
        {{19, 19, 2, len - 2}, CAM_H1_E_HEAD_LENGTH},
        {{19, 19, 2, len - 3}, CAM_H1_E_HEAD_LENGTH},
        {{19, 19, 2, 21}, CAM_H1_E_HEAD_LENGTH},
        {{19, 19, 2, 20}, CAM_H1_E_HEAD_LENGTH},
        {{19, 19, 2, 19}, CAM_H1_E_TARGET_LENGTH},
        {{19, 19, 2, 18}, CAM_H1_E_TARGET_LENGTH},
        {{19, 19, 2, 4}, CAM_H1_E_TARGET_LENGTH},
        {{19, 19, 2, 3}, CAM_H1_E_METHOD_LENGTH},
        {{19, 19, 2, 1}, CAM_H1_E_METHOD_LENGTH},
        {{19, 19, 2, 0}, CAM_H1_E_TARGET_LENGTH},
        {{SIZE_MAX, SIZE_MAX, SIZE_MAX, len}, (int)len},
        {{SIZE_MAX - 1, SIZE_MAX - 1, 2, len}, (int)len},
    };
    outcome out;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse_all_ways(&out, text, len, &cases[i].limits);
        CHECK(out.result == cases[i].expected, "case %zu: %d for %d", i, out.result,
              cases[i].expected);
    }
    /* Every combination keeps its verdict however the bytes arrive. */
    for (size_t line = 0; line < 22; line++) {
        for (size_t head = 0; head <= len; head += 3) {
            cam_h1_limits limits = {line, line, 2, head};
            parse_all_ways(&out, text, len, &limits);
        }
    }
}

/* A limit is reported when it is passed, not when the head is complete. */
static void test_limits_before_the_end(void) {
    outcome out;
    char *text = malloc(70000);
    if (text == NULL) {
        abort();
    }
    const cam_h1_limits limits = {1000, 1000, 10, 4000};
    memset(text, 'A', 70000);
    text[4] = ' ';
    parse_whole(&out, text, 1000, &limits);
    CHECK(out.result == CAM_H1_MORE, "%d", out.result);
    parse_whole(&out, text, 1001, &limits);
    CHECK(out.result == CAM_H1_E_TARGET_LENGTH, "%d", out.result);
    parse_bytes(&out, text, 70000, &limits);
    CHECK(out.result == CAM_H1_E_TARGET_LENGTH, "%d", out.result);

    size_t line = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
    text[line] = 'A';
    parse_whole(&out, text, line + 1000, &limits);
    CHECK(out.result == CAM_H1_MORE, "%d", out.result);
    parse_whole(&out, text, line + 1001, &limits);
    CHECK(out.result == CAM_H1_E_FIELD_LENGTH, "%d", out.result);

    /* Ten headers are within the limit, an eleventh is not, and its end is enough to know. */
    size_t at = line;
    for (int i = 0; i < 11; i++) {
        at += (size_t)sprintf(text + at, "X: y\r\n");
    }
    parse_whole(&out, text, at - 6, &limits);
    CHECK(out.result == CAM_H1_MORE, "%d", out.result);
    parse_whole(&out, text, at, &limits);
    CHECK(out.result == CAM_H1_E_FIELD_COUNT, "%d", out.result);

    /* A head that fills its limit without an end cannot become one. */
    memset(text, 'A', 4001);
    memcpy(text, "GET / HTTP/1.1\r\n", line);
    for (at = line + 900; at < 4000; at += 900) {
        memcpy(text + at - 2, "\r\nX:", 4);
    }
    memcpy(text + line, "X:", 2);
    parse_whole(&out, text, 3999, &limits);
    CHECK(out.result == CAM_H1_MORE, "%d", out.result);
    parse_whole(&out, text, 4000, &limits);
    CHECK(out.result == CAM_H1_E_HEAD_LENGTH, "%d", out.result);
    parse_bytes(&out, text, 4001, &limits);
    CHECK(out.result == CAM_H1_E_HEAD_LENGTH, "%d", out.result);
    free(text);
}

/* Fewer bytes or tighter limits than in the call before break the rules of h1.h; the sanitizer sees
 * that nothing outside the buffer is read all the same. */
static void test_broken_word(void) {
    outcome out;
    static const char text[] = HEAD("A: b\r\nC: d\r\n");
    for (size_t first = 0; first < sizeof(text) - 1; first++) {
        for (size_t second = 0; second < first; second++) {
            cam_h1_scan scan = {0};
            call(&out, text, first, &scan, defaults, NULL, true);
            call(&out, text, second, &scan, defaults, NULL, true);
            const cam_h1_limits tight = {second, second, 2, second};
            scan = (cam_h1_scan){0};
            call(&out, text, first, &scan, defaults, NULL, true);
            call(&out, text, first, &scan, &tight, NULL, true);
            CHECK(out.result <= 0, "%d", out.result);
        }
    }
}

/* No more headers than the caller has room for, whatever the limit. */
static void test_capacity(void) {
    cam_h1_header room[2];
    cam_h1_request request = {.headers = room, .header_capacity = 2};
    cam_h1_scan scan = {0};
    static const char two[] = HEAD("A: b\r\n");
    int result = cam_h1_parse_request(&request, two, sizeof(two) - 1, &scan, defaults, NULL);
    CHECK(result == (int)sizeof(two) - 1 && request.header_count == 2, "%d", result);
    static const char three[] = HEAD("A: b\r\nC: d\r\n");
    scan = (cam_h1_scan){0};
    result = cam_h1_parse_request(&request, three, sizeof(three) - 1, &scan, defaults, NULL);
    CHECK(result == CAM_H1_E_FIELD_COUNT, "%d", result);
}

static void test_headers(void) {
    static const char text[] = HEAD("x-One:1\r\nUSER-agent:\t a b \t\r\nEmpty:\r\nBlank:  \t\r\n"
                                    "Colons: a:b::c\r\nx-One: 2\r\nObs: \x80\xff\r\n");
    cam_h1_header room[8];
    cam_h1_request request = {.headers = room, .header_capacity = 8};
    cam_h1_scan scan = {0};
    int result = cam_h1_parse_request(&request, text, sizeof(text) - 1, &scan, defaults, NULL);
    CHECK(result == (int)sizeof(text) - 1, "%d", result);
    static const struct {
        const char *name, *value;
        unsigned id;
    } expected[] = {
        {"Host", "a", CAM_H1_NAME_HOST},
        {"x-One", "1", CAM_H1_NAME_UNKNOWN},
        {"USER-agent", "a b", CAM_H1_NAME_USER_AGENT},
        {"Empty", "", CAM_H1_NAME_UNKNOWN},
        {"Blank", "", CAM_H1_NAME_UNKNOWN},
        {"Colons", "a:b::c", CAM_H1_NAME_UNKNOWN},
        {"x-One", "2", CAM_H1_NAME_UNKNOWN},
        {"Obs", "\x80\xff", CAM_H1_NAME_UNKNOWN},
    };
    CHECK(request.header_count == 8, "%zu", request.header_count);
    for (size_t i = 0; result > 0 && i < 8; i++) {
        const cam_h1_header *header = &request.headers[i];
        CHECK(header->name.len == strlen(expected[i].name) &&
                  memcmp(header->name.ptr, expected[i].name, header->name.len) == 0,
              "name %zu", i);
        CHECK(header->value.len == strlen(expected[i].value) &&
                  memcmp(header->value.ptr, expected[i].value, header->value.len) == 0,
              "value %zu", i);
        CHECK(header->name_id == expected[i].id, "number %zu", i);
    }
    CHECK(request.header_block.ptr == text + 16, "the block begins after the request line");
    CHECK(request.header_block.ptr + request.header_block.len == text + sizeof(text) - 1,
          "the block ends with the head");
    CHECK(request.target.ptr == text + 4 && request.target.len == 1, "the target as sent");
}

/* A memo gives what parsing would have, for each request line and each header block. */
static void test_memo(void) {
    static const struct {
        const char *text;
        size_t len;
        bool good;
    } rows[] = {
#define GOOD(text) {text, sizeof(text) - 1, true}
#define BAD(text) {text, sizeof(text) - 1, false}
        GOOD(HEAD("")),
        GOOD(HEAD("A: b\r\n")),
        GOOD(HEAD("A: b\r\nA: c\r\n")),
        GOOD(HEAD("Content-Length: 5\r\n")),
        GOOD(HEAD("Content-Length: 5\r\nExpect: 100-continue\r\n")),
        GOOD(HEAD("Transfer-Encoding: chunked\r\n")),
        GOOD(HEAD("Connection: close\r\n")),
        GOOD(HEAD("Connection: keep-alive\r\n")),
        GOOD(HEAD("Connection: upgrade\r\nUpgrade: h2c\r\n")),
        GOOD("GET / HTTP/1.0\r\n\r\n"),
        GOOD("GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
        GOOD("GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n"),
        GOOD("\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"),
        GOOD("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n"),
        GOOD("GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n"),
        BAD("GET / HTTP/1.1\r\n\r\n"),
        BAD("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"),
        BAD("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        BAD("GET / HTTP/1.1\r\nHost: a"),
#undef GOOD
#undef BAD
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    for (size_t i = 0; i < ROWS; i++) {
        if (!rows[i].good) {
            continue;
        }
        cam_h1_header room[CAPACITY];
        cam_h1_request request = {.headers = room, .header_capacity = CAPACITY};
        cam_h1_scan scan = {0};
        cam_h1_parse_request(&request, rows[i].text, rows[i].len, &scan, defaults, NULL);
        cam_h1_memo memo = {request.header_block, request.fields};
        size_t block = (size_t)(request.header_block.ptr - rows[i].text);
        outcome plain;
        outcome with;
        for (size_t j = 0; j < ROWS; j++) {
            scan = (cam_h1_scan){0};
            call(&plain, rows[j].text, rows[j].len, &scan, defaults, NULL, false);
            scan = (cam_h1_scan){0};
            call(&with, rows[j].text, rows[j].len, &scan, defaults, &memo, false);
            CHECK(same(&plain, &with), "memo of row %zu changes row %zu: %d for %d", i, j,
                  with.result, plain.result);
        }
        /* The same block once more is recognised, in pieces as well as whole; but behind an
         * absolute-form, whose host takes the place of the block's, never. */
        bool absolute = request.target_form == CAM_H1_TARGET_ABSOLUTE;
        scan = (cam_h1_scan){0};
        int result =
            cam_h1_parse_request(&request, rows[i].text, rows[i].len, &scan, defaults, &memo);
        CHECK(result == (int)rows[i].len && request.from_memo != absolute, "row %zu", i);
        scan = (cam_h1_scan){0};
        result = cam_h1_parse_request(&request, rows[i].text, block, &scan, defaults, &memo);
        CHECK(result == CAM_H1_MORE, "row %zu", i);
        result = cam_h1_parse_request(&request, rows[i].text, rows[i].len, &scan, defaults, &memo);
        CHECK(result == (int)rows[i].len && request.from_memo != absolute, "row %zu", i);
    }

    /* The same header lines mean something else in another version. */
    static const char one[] = "GET / HTTP/1.0\r\nA: b\r\n\r\n";
    static const char two[] = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
    cam_h1_header room[2];
    cam_h1_request request = {.headers = room, .header_capacity = 2};
    cam_h1_scan scan = {0};
    cam_h1_parse_request(&request, one, sizeof(one) - 1, &scan, defaults, NULL);
    cam_h1_memo memo = {request.header_block, request.fields};
    scan = (cam_h1_scan){0};
    int result = cam_h1_parse_request(&request, two, sizeof(two) - 1, &scan, defaults, &memo);
    CHECK(result == CAM_H1_E_HOST_MISSING, "%d", result);
    /* And a memo is no way round the limits. */
    const cam_h1_limits tight = {100, 100, 100, sizeof(one) - 2};
    scan = (cam_h1_scan){0};
    result = cam_h1_parse_request(&request, one, sizeof(one) - 1, &scan, &tight, &memo);
    CHECK(result == CAM_H1_E_HEAD_LENGTH, "%d", result);
    /* One that nothing was kept in yet is as good as none. */
    const cam_h1_memo empty = {0};
    scan = (cam_h1_scan){0};
    result = cam_h1_parse_request(&request, one, sizeof(one) - 1, &scan, defaults, &empty);
    CHECK(result == (int)sizeof(one) - 1 && !request.from_memo, "%d", result);
    const cam_h1_limits none = {100, 100, 0, 100};
    scan = (cam_h1_scan){0};
    result = cam_h1_parse_request(&request, one, sizeof(one) - 1, &scan, &none, &memo);
    CHECK(result == CAM_H1_E_FIELD_COUNT, "%d", result);
}

static void test_errors(void) {
    static const int statuses[] = {400, 413, 414, 431, 501, 505};
    for (int error = -1; error >= -CAM_H1_ERROR_COUNT; error--) {
        bool known = false;
        for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
            known = known || cam_h1_error_status(error) == statuses[i];
        }
        CHECK(known, "error %d has status %d", error, cam_h1_error_status(error));
        const char *text = cam_h1_error_text(error);
        CHECK(strlen(text) > 10 && strchr(text, '\n') == NULL, "error %d", error);
    }
    CHECK(cam_h1_error_status(0) == 400 && cam_h1_error_status(1) == 400, "not errors");
    CHECK(cam_h1_error_status(-CAM_H1_ERROR_COUNT - 1) == 400, "not an error");
    CHECK(cam_h1_error_text(7)[0] != '\0', "a text for anything");
    CHECK(cam_h1_error_status(CAM_H1_E_TARGET_LENGTH) == 414, "414");
    CHECK(cam_h1_error_status(CAM_H1_E_FIELD_COUNT) == 431, "431");
    CHECK(cam_h1_error_status(CAM_H1_E_TRANSFER_CODING) == 501, "501");
    CHECK(cam_h1_error_status(CAM_H1_E_VERSION_UNSUPPORTED) == 505, "505");
    CHECK(cam_h1_error_status(CAM_H1_E_BODY_LENGTH) == 413, "413");
}

int main(void) {
    test_bytes();
    test_limits();
    test_limits_before_the_end();
    test_broken_word();
    test_capacity();
    test_headers();
    test_memo();
    test_errors();
    return check_result();
}
