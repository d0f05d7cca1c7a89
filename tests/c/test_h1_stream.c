/* SPDX-License-Identifier: MIT */
/*
 * Streams of requests and responses: the events each row gives, and that cutting does not matter.
 *
 * Every row is fed whole, byte by byte, and cut in two at every place, each piece in an allocation
 * of just its size. What a run was like is written down as one line of text, pieces of a target, a
 * reason or a body put together:
 *
 *   <           a message begins        T(..) R(..)  target, reason
 *   name=value; a field                 +(..)        more of the value before
 *   |ku         the head is complete; k: keep-alive, u: upgrade
 *   [ ]         a chunk begins, ends    B(..)        body
 *   >           the message is complete ^            another protocol follows
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failmalloc.h"
#include "http/h1_stream.h"

typedef struct outcome {
    int result; /* the last: CAM_H1_EVENT_MORE or an error */
    size_t len;
    int open;  /* the kind of the piece that can go on, or -1 */
    bool bare; /* neither chunks nor the beginning and end of messages are written down */
    char text[1 << 16];
} outcome;

static void add(outcome *out, const char *text, size_t len) {
    if (len > sizeof(out->text) - 1 - out->len) {
        abort();
    }
    memcpy(out->text + out->len, text, len);
    out->len += len;
    out->text[out->len] = '\0';
}

static void add_text(outcome *out, const char *text) {
    add(out, text, strlen(text));
}

static void note_piece(outcome *out, int kind, const char *prefix, cam_slice text) {
    CHECK(text.len > 0, "an empty piece of kind %d", kind);
    if (out->open == kind) {
        out->len--; /* the bracket */
    } else {
        add_text(out, prefix);
    }
    add(out, text.ptr, text.len);
    add_text(out, ")");
    out->open = kind;
}

static void note(outcome *out, const cam_h1_stream *stream, int kind, const cam_h1_event *event) {
    static const char *const signs[] = {
        [CAM_H1_EVENT_BEGIN] = "<", [CAM_H1_EVENT_CHUNK] = "[",   [CAM_H1_EVENT_CHUNK_END] = "]",
        [CAM_H1_EVENT_END] = ">",   [CAM_H1_EVENT_UPGRADE] = "^",
    };
    bool chunk = kind == CAM_H1_EVENT_CHUNK || kind == CAM_H1_EVENT_CHUNK_END;
    if (out->bare && (chunk || kind == CAM_H1_EVENT_BEGIN || kind == CAM_H1_EVENT_END)) {
        return;
    }
    switch (kind) {
    case CAM_H1_EVENT_TARGET:
        note_piece(out, kind, "T(", event->text);
        return;
    case CAM_H1_EVENT_REASON:
        note_piece(out, kind, "R(", event->text);
        return;
    case CAM_H1_EVENT_BODY:
        note_piece(out, kind, "B(", event->text);
        return;
    case CAM_H1_EVENT_FOLDED:
        add_text(out, "+(");
        add(out, event->text.ptr, event->text.len);
        add_text(out, ")");
        break;
    case CAM_H1_EVENT_FIELD:
        CHECK(event->name_id == cam_h1_name_find(event->name.ptr, event->name.len), "%u",
              event->name_id);
        add(out, event->name.ptr, event->name.len);
        add_text(out, "=");
        add(out, event->text.ptr, event->text.len);
        add_text(out, ";");
        break;
    case CAM_H1_EVENT_HEAD:
        add_text(out, stream->keep_alive ? "|k" : "|");
        add_text(out, stream->upgrade ? "u" : "");
        break;
    default:
        add_text(out, signs[kind]);
    }
    out->open = -1;
}

/* Feeds one piece, of which a copy of just its size is shown. False after an error. */
static bool feed(outcome *out, cam_h1_stream *stream, const char *text, size_t len) {
    char *piece = malloc(len > 0 ? len : 1);
    if (piece == NULL) {
        abort();
    }
    memcpy(piece, text, len);
    size_t at = 0;
    for (;;) {
        cam_h1_event event = {0};
        size_t consumed;
        int kind = cam_h1_stream_next(stream, piece + at, len - at, &consumed, &event);
        if (kind <= 0) {
            out->result = kind;
            CHECK(kind < 0 || at + consumed == len, "%zu of %zu", at + consumed, len);
            break;
        }
        CHECK(consumed <= len - at, "%zu of %zu", consumed, len - at);
        at += consumed;
        note(out, stream, kind, &event);
        cam_slice more;
        while (kind == CAM_H1_EVENT_BODY &&
               cam_h1_stream_more_body(stream, piece + at, len - at, &consumed, &more)) {
            CHECK(consumed <= len - at, "%zu of %zu", consumed, len - at);
            at += consumed;
            note_piece(out, kind, "B(", more);
        }
        at += kind == CAM_H1_EVENT_BODY ? consumed : 0;
    }
    free(piece);
    if (out->result < 0) {
        size_t consumed;
        cam_h1_event event;
        int again = cam_h1_stream_next(stream, "GET / HTTP/1.1\r\n", 16, &consumed, &event);
        CHECK(again == out->result, "%d after %d", again, out->result);
    }
    return out->result == 0;
}

typedef struct setting {
    bool response;
    uint16_t untold;
    bool chunks_untold;
    bool bare;
    uint32_t lenient;
    const cam_h1_stream_limits *limits;
} setting;

/* Feeds text in pieces of `step` bytes, or in two cut at `cut` with a step of 0. */
static void run(outcome *out, const setting *with, const char *text, size_t len, size_t step,
                size_t cut) {
    out->len = 0;
    out->open = -1;
    out->bare = with->bare;
    out->text[0] = '\0';
    cam_h1_stream stream;
    cam_h1_stream_init(&stream, with->response, with->limits);
    stream.lenient = with->lenient;
    stream.untold = with->untold;
    stream.chunks_untold = with->chunks_untold;
    if (step == 0) {
        if (feed(out, &stream, text, cut)) {
            feed(out, &stream, text + cut, len - cut);
        }
    } else {
        for (size_t at = 0; at < len; at += step) {
            if (!feed(out, &stream, text + at, len - at < step ? len - at : step)) {
                break;
            }
        }
    }
    cam_h1_stream_fini(&stream);
    CHECK(failmalloc_held() == 0, "%ld blocks held", failmalloc_held());
}

static outcome whole, part;

/* After an error what was told before it may differ by pieces of the start line, so there only the
 * error itself has to be the same. */
static void compare(const char *text, const char *how, size_t where) {
    CHECK(part.result == whole.result, "%s %zu: %d, not %d: %.200s", how, where, part.result,
          whole.result, text);
    if (whole.result >= 0) {
        CHECK(strcmp(part.text, whole.text) == 0, "%s %zu: %s\nnot %s", how, where, part.text,
              whole.text);
    }
}

static void cut_everywhere(const setting *with, const char *text, size_t len) {
    run(&part, with, text, len, 1, 0);
    compare(text, "byte by byte", 1);
    for (size_t cut = 0; cut <= len; cut++) {
        run(&part, with, text, len, 0, cut);
        compare(text, "cut at", cut);
    }
}

static void row(setting with, const char *text, size_t len, int result, const char *told) {
    run(&whole, &with, text, len, len > 0 ? len : 1, 0);
    CHECK(whole.result == result, "%d, not %d (%s): %.200s", whole.result, result,
          cam_h1_error_text(whole.result), text);
    if (told != NULL) {
        CHECK(strcmp(whole.text, told) == 0, "%s\nnot %s", whole.text, told);
    }
    cut_everywhere(&with, text, len);
    /* Nothing else is missing where those are not told. */
    with.bare = true;
    run(&whole, &with, text, len, len > 0 ? len : 1, 0);
    with.untold = 1 << CAM_H1_EVENT_BEGIN | 1 << CAM_H1_EVENT_END;
    with.chunks_untold = true;
    cut_everywhere(&with, text, len);
}

#define REQUEST(text, told) row((setting){0}, text, sizeof(text) - 1, 0, told)
#define RESPONSE(text, told) row((setting){.response = true}, text, sizeof(text) - 1, 0, told)
#define REFUSED(text, error) row((setting){0}, text, sizeof(text) - 1, CAM_H1_E_##error, NULL)
#define REFUSED_RESPONSE(text, error)                                                              \
    row((setting){.response = true}, text, sizeof(text) - 1, CAM_H1_E_##error, NULL)
#define LENIENT(flag, text, told)                                                                  \
    row((setting){.lenient = CAM_H1_LENIENT_##flag}, text, sizeof(text) - 1, 0, told)
#define LENIENT_RESPONSE(flag, text, told)                                                         \
    row((setting){.response = true, .lenient = CAM_H1_LENIENT_##flag}, text, sizeof(text) - 1, 0,  \
        told)
#define STILL_REFUSED(flag, text, error)                                                           \
    row((setting){.lenient = CAM_H1_LENIENT_##flag}, text, sizeof(text) - 1, CAM_H1_E_##error, NULL)

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void test_requests(void) {
    REQUEST("", "");
    REQUEST("\r\n", "");
    REQUEST("GE", "<");
    REQUEST(GET "\r\n", "<T(/)Host=a;|k>");
    REQUEST("\r\n\r\n" GET "\r\n", "<T(/)Host=a;|k>");
    REQUEST(GET "\r\n\r\n\r\n" GET "\r\n", "<T(/)Host=a;|k><T(/)Host=a;|k>");
    REQUEST("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "<T(*)Host=a;|k>");
    REQUEST("GET http://b/x?y HTTP/1.1\r\n" HOST "\r\n", "<T(http://b/x?y)Host=a;|k>");
    REQUEST("GET HTTPS://b HTTP/1.1\r\n" HOST "\r\n", "<T(HTTPS://b)Host=a;|k>");
    REQUEST(GET "Connection: close\r\n\r\n", "<T(/)Host=a;Connection=close;|>");
    REQUEST(GET "Connection: close\r\n\r\n\r\n\r\n", "<T(/)Host=a;Connection=close;|>");
    REQUEST("GET / HTTP/1.0\r\n\r\n", "<T(/)|>");
    REQUEST("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "<T(/)Connection=keep-alive;|k>");
    REQUEST(GET "X-Empty:\r\nX: \t\r\nY: a\tb \r\n\r\n", "<T(/)Host=a;X-Empty=;X=;Y=a\tb;|k>");
    REQUEST(POST "Content-Length: 5\r\n\r\nhelloGET", "<T(/)Host=a;Content-Length=5;|kB(hello)><");
    REQUEST(POST "Content-Length: 0\r\n\r\n", "<T(/)Host=a;Content-Length=0;|k>");
    REQUEST(POST CHUNKED "\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n" GET,
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[B(hello)][B(!)][]><T(/)Host=a;");
    REQUEST(POST CHUNKED "\r\n0\r\nVary: *\r\nX: y\r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[Vary=*;X=y;]>");
}

static void test_trailers(void) {
    /* Neither told nor refused. */
    REQUEST(POST CHUNKED "\r\n0\r\nCookie: a\r\nX: y\r\nAuthorization: b\r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[X=y;]>");
    REFUSED(POST CHUNKED "\r\n0\r\nContent-Length: 3\r\n\r\n", TRAILER_FIELD);
    REFUSED(POST CHUNKED "\r\n0\r\nHost: a\r\n\r\n", TRAILER_FIELD);
    REFUSED(POST CHUNKED "\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", TRAILER_FIELD);
    REFUSED(POST CHUNKED "\r\n0\r\nX y\r\n\r\n", FIELD_NAME);
    REFUSED(POST CHUNKED "\r\n0\r\n X: y\r\n\r\n", FIELD_FOLDED);
    LENIENT(VALUE, POST CHUNKED "\r\n0\r\nX: y\r\n z\r\nCookie: a\r\n b\r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[X=y;+( z)]>");
}

static void test_untold(void) {
    const setting untold = {.untold = 1 << CAM_H1_EVENT_END, .chunks_untold = true};
    const char text[] = POST CHUNKED "\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX: y\r\n\r\n" GET;
    run(&whole, &untold, text, sizeof(text) - 1, sizeof(text) - 1, 0);
    CHECK(strcmp(whole.text,
                 "<T(/)Host=a;Transfer-Encoding=chunked;|kB(hello!)X=y;]<T(/)Host=a;") == 0,
          "%s", whole.text);
    cut_everywhere(&untold, text, sizeof(text) - 1);
}

static void test_upgrades(void) {
    REQUEST(GET "Upgrade: x\r\nConnection: upgrade\r\n\r\nGE",
            "<T(/)Host=a;Upgrade=x;Connection=upgrade;|ku>^<");
    REQUEST(GET "Upgrade: x\r\n\r\n", "<T(/)Host=a;Upgrade=x;|k>");
    REQUEST("GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "<T(/)Upgrade=x;Connection=upgrade;|>");
    /* The body comes first: RFC 9110 section 7.8. */
    REQUEST(POST "Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nab",
            "<T(/)Host=a;Upgrade=x;Connection=upgrade;Content-Length=2;|kuB(ab)>^");
    REQUEST("CONNECT a:1 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n",
            "<T(a:1)Host=a;Content-Length=2;|ku>^");
    RESPONSE("HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
             "<R(Go)Upgrade=x;Connection=upgrade;|ku>^");
    RESPONSE("HTTP/1.1 200 OK\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
             "<R(OK)Upgrade=x;Connection=upgrade;Content-Length=0;|k>");
}

static void test_wrong_requests(void) {
    REFUSED("\n", BARE_LF);
    REFUSED("\rG", BARE_CR);
    REFUSED("\r\n\r\n\r\n", EMPTY_LINES);
    REFUSED("SPAM", METHOD_UNKNOWN);
    REFUSED("GETT / HTTP/1.1\r\n", METHOD_UNKNOWN);
    REFUSED("GE / HTTP/1.1\r\n", METHOD_UNKNOWN);
    REFUSED("GET@ / HTTP/1.1\r\n", METHOD);
    REFUSED("@", METHOD);
    REFUSED(" GET / HTTP/1.1\r\n", METHOD);
    REFUSED("\x01", CONTROL);
    REFUSED("GET\x01", CONTROL);
    REFUSED("GEX\x01", METHOD_UNKNOWN);
    REFUSED("GET\r\n", REQUEST_LINE);
    REFUSED("GET  / HTTP/1.1\r\n", REQUEST_LINE);
    REFUSED("GET /\r\n", REQUEST_LINE);
    REFUSED("POST HTTP/1.1", TARGET);
    REFUSED("GET *x HTTP/1.1\r\n", TARGET);
    REFUSED("GET /\x80 HTTP/1.1\r\n", TARGET);
    REFUSED("GET /a#b HTTP/1.1\r\n", TARGET);
    REFUSED("GET / HTTP/1.x\r\n", VERSION);
    REFUSED("GET / HTTP/2.0\r\n", VERSION_UNSUPPORTED);
    REFUSED("GET / HTTP/1.1\n", BARE_LF);
    REFUSED("GET / HTTP/1.1\rH", BARE_CR);
    REFUSED("GET / HTTP/1.1\r\n\r\n", HOST_MISSING);
    REFUSED(GET HOST "\r\n", HOST_REPEATED);
    REFUSED("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HOST);
    REFUSED(GET "X: a\x01\r\n", CONTROL);
    REFUSED(GET "X: a\r\n b\r\n\r\n", FIELD_FOLDED);
    REFUSED("GET / HTTP/1.1\r\n Host: a\r\n\r\n", FIELD_FOLDED);
    REFUSED(GET "X : a\r\n", FIELD_NAME);
    REFUSED(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", CONTENT_LENGTH_REPEATED);
    REFUSED(POST "Content-Length: +1\r\n\r\n", CONTENT_LENGTH);
    REFUSED(POST "Content-Length: 1\r\n" CHUNKED "\r\n", TRANSFER_AND_LENGTH);
    REFUSED(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", TRANSFER_CODING);
    REFUSED(POST "Transfer-Encoding: gzip\r\n\r\n", TRANSFER_ENCODING);
    REFUSED("POST / HTTP/1.0\r\n" CHUNKED "\r\n", TRANSFER_VERSION);
    REFUSED(POST CHUNKED "\r\n5\nhello", CHUNK_SIZE);
    REFUSED(POST CHUNKED "\r\n5 \r\n", CHUNK_EXTENSION);
    REFUSED(POST CHUNKED "\r\n5\rh", CHUNK_LINE);
    REFUSED(POST CHUNKED "\r\n5\r\nhello5", CHUNK_DATA);
    REFUSED(POST CHUNKED "\r\n5\r\nhello\r5", CHUNK_DATA);
    REFUSED(GET "Connection: close\r\n\r\nG", AFTER_CLOSE);
    REFUSED(GET "Connection: close\r\n\r\n\r\n\r\n\r\n", AFTER_CLOSE);
}

static void test_responses(void) {
    RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP",
             "<R(OK)Content-Length=2;|kB(ab)><");
    RESPONSE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "<Content-Length=0;|k>");
    RESPONSE("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "<Content-Length=0;|k>");
    RESPONSE("HTTP/1.1 999 a \x80 b\r\nContent-Length: 0\r\n\r\n",
             "<R(a \x80 b)Content-Length=0;|k>");
    RESPONSE("HTTP/1.1 200 OK\r\n\r\nbody", "<R(OK)|B(body)");
    RESPONSE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "<R(OK)Content-Length=0;|>");
    RESPONSE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
             "<R(OK)Connection=keep-alive;Content-Length=0;|k>");
    RESPONSE("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
             "<R(OK)Connection=close;Content-Length=0;|>");
    RESPONSE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
             "<R(Continue)|k><R(No Content)|k>");
    RESPONSE("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\nHTTP",
             "<R(Not Modified)Content-Length=10;|k><");
    RESPONSE("HTTP/1.1 200 OK\r\n" CHUNKED "\r\n1\r\na\r\n0\r\n\r\n",
             "<R(OK)Transfer-Encoding=chunked;|k[B(a)][]>");
    RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
             "<R(OK)Transfer-Encoding=gzip, chunked;|k[]>");
    RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
             "<R(OK)Transfer-Encoding=gzip;|B(ab)");
    RESPONSE("HTTP/1.1 200 OK\r\nHost: a b\r\nHost: c\r\nContent-Length: 0\r\n\r\n",
             "<R(OK)Host=a b;Host=c;Content-Length=0;|k>");
    REFUSED_RESPONSE("12123123", STATUS_LINE);
    REFUSED_RESPONSE("HTT\r\n", STATUS_LINE);
    REFUSED_RESPONSE("HTTP/1.\r\n", VERSION);
    REFUSED_RESPONSE("HTTP/x.1 200 OK\r\n", VERSION);
    REFUSED_RESPONSE("HTTP/1.1200 OK\r\n", VERSION);
    REFUSED_RESPONSE("HTTP/2.0 200 OK\r\n", VERSION_UNSUPPORTED);
    REFUSED_RESPONSE("HTTP/1.1 20\r\n", STATUS);
    REFUSED_RESPONSE("HTTP/1.1 1299 X\r\n", STATUS);
    REFUSED_RESPONSE("HTTP/1.1 2x0 X\r\n", STATUS);
    REFUSED_RESPONSE("HTTP/1.1 099 X\r\n", STATUS);
    REFUSED_RESPONSE("HTTP/1.1 200\tX\r\n", STATUS);
    REFUSED_RESPONSE("\x01", CONTROL);
    REFUSED_RESPONSE("HTTP/1.1 200 O\x01K\r\n", CONTROL);
    REFUSED_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                     CONTENT_LENGTH_REPEATED);
    REFUSED_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" CHUNKED "\r\n",
                     TRANSFER_AND_LENGTH);
    REFUSED_RESPONSE("HTTP/1.0 200 OK\r\n" CHUNKED "\r\n", TRANSFER_VERSION);
    REFUSED_RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
                     TRANSFER_ENCODING);
}

static void test_lenient(void) {
    LENIENT(VALUE,
            GET "X: a\x01"
                "b\r\n c\r\n\td\r\n\r\n",
            "<T(/)Host=a;X=a\x01"
            "b;+( c)+(\td)|k>");
    STILL_REFUSED(VALUE, GET "X: a\0b\r\n\r\n", CONTROL);
    STILL_REFUSED(VALUE, GET "X: a\x01\nb\r\n\r\n", BARE_LF);
    STILL_REFUSED(VALUE, "GET / HTTP/1.1\x01\r\n", CONTROL);
    STILL_REFUSED(VALUE, GET " X: a\r\n\r\n", FIELD_FOLDED);
    STILL_REFUSED(VALUE, POST "Content-Length:\r\n 5\r\n\r\n", CONTENT_LENGTH);
    STILL_REFUSED(VALUE, POST "Transfer-Encoding: chunked\r\n , x\r\n\r\n", FIELD_FOLDED);
    STILL_REFUSED(VALUE, POST "Connection: a\r\n , close\r\n\r\n", FIELD_FOLDED);
    STILL_REFUSED(VALUE, POST "Upgrade: a\r\n b\r\n\r\n", FIELD_FOLDED);
    STILL_REFUSED(VALUE, POST "Content-Length: 5\r\n 5\r\n\r\n", FIELD_FOLDED);
    LENIENT(LENGTH, POST "Content-Length: 9\r\n" CHUNKED "\r\n0\r\n\r\n",
            "<T(/)Host=a;Content-Length=9;Transfer-Encoding=chunked;|k[]>");
    LENIENT_RESPONSE(LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" CHUNKED "\r\n0\r\n\r\n",
                     "<R(OK)Content-Length=9;Transfer-Encoding=chunked;|k[]>");
    LENIENT(KEEP_ALIVE, GET "Connection: close\r\n\r\nGE", "<T(/)Host=a;Connection=close;|><");
    LENIENT(CODING, POST "Transfer-Encoding: gzip\r\n\r\nab",
            "<T(/)Host=a;Transfer-Encoding=gzip;|B(ab)");
    LENIENT(CODING, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=gzip, chunked;|k[]>");
    STILL_REFUSED(CODING, POST "Content-Length: 1\r\n" CHUNKED "\r\n", TRANSFER_AND_LENGTH);
    LENIENT_RESPONSE(CODING, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\nab",
                     "<R(OK)Transfer-Encoding=chunked, chunked;|B(ab)");
    LENIENT(VERSION, "GET / HTTP/2.7\r\n" HOST "\r\n", "<T(/)Host=a;|k>");
    STILL_REFUSED(VERSION, "GET / HTTP/2.\r\n", VERSION);
    LENIENT_RESPONSE(VERSION, "HTTP/3.0 204 X\r\n\r\n", "<R(X)|k>");
    LENIENT_RESPONSE(VERSION, "HTTP/2.0 200 X\r\n" CHUNKED "\r\n0\r\n\r\n",
                     "<R(X)Transfer-Encoding=chunked;|k[]>");
    LENIENT(AFTER_CLOSE, GET "Connection: close\r\n\r\nwhatever",
            "<T(/)Host=a;Connection=close;|>");
    LENIENT(LF, "\rGET / HTTP/1.1\rHost: a\r\rGET", "<T(/)Host=a;|k><");
    LENIENT(LF, POST CHUNKED "\r\n5\rhello\r0\r\rG",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[B(hello)][]><");
    STILL_REFUSED(LF, GET "\n", BARE_LF);
    LENIENT(CR, "\nGET / HTTP/1.1\nHost: a\n\nGET", "<T(/)Host=a;|k><");
    LENIENT(CR, POST CHUNKED "\n5;a\nhello\n1;a=\"b\"\nx\n1;a=b\ny\n1;a ;b\nz\n0\n\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[B(hello)][B(x)][B(y)][B(z)][]>");
    STILL_REFUSED(CR, GET "X: a\rb", BARE_CR);
    LENIENT(CHUNK_END, POST CHUNKED "\r\n5\r\nhello1\r\n!\r\n1\r\n?\r0\r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[B(hello)][B(!)][B(?)][]>");
    LENIENT(CHUNK_SPACE, POST CHUNKED "\r\n5 \t\r\nhello\r\n0 \r\n\r\n",
            "<T(/)Host=a;Transfer-Encoding=chunked;|k[B(hello)][]>");
    STILL_REFUSED(CHUNK_SPACE, POST CHUNKED "\r\n5 x\r\n", CHUNK_EXTENSION);
    LENIENT(HOST, "GET / HTTP/1.1\r\n\r\n", "<T(/)|k>");
    LENIENT(HOST, "GET / HTTP/1.1\r\nHost: a b\r\nHost: c\r\n\r\n", "<T(/)Host=a b;Host=c;|k>");
}

static void test_limits(void) {
    static const cam_h1_stream_limits limits = {
        .max_line = 20, .max_headers = 2, .max_head_bytes = 50, .max_extension_bytes = 4};
    const setting with = {.limits = &limits};
    const setting answer = {.limits = &limits, .response = true};
#define LIMITED(text, result) row(with, text, sizeof(text) - 1, result, NULL)
    LIMITED("GET /56789 HTTP/1.1\r\n", 0);
    LIMITED("GET /5678901 HTTP/1.", 0);
    LIMITED("GET /5678901 HTTP/1.1", CAM_H1_E_TARGET_LENGTH);
    LIMITED("GET / HTTP/1.0\r\nX: 45678901234567890\r\n", 0);
    LIMITED("GET / HTTP/1.0\r\nX: 456789012345678901", CAM_H1_E_FIELD_LENGTH);
    LIMITED("GET / HTTP/1.0\r\na: \r\nb: \r\n\r\n", 0);
    LIMITED("GET / HTTP/1.0\r\na: \r\nb: \r\nc: \r\n", CAM_H1_E_FIELD_COUNT);
    LIMITED("GET / HTTP/1.0\r\na: 456789012345678\r\nb: 4567890\r\n\r\n", 0);
    LIMITED("GET / HTTP/1.0\r\na: 456789012345678\r\nb: 45678901\r\n\r\n", CAM_H1_E_HEAD_LENGTH);
    LIMITED("GET / HTTP/1.0\r\na: 456789012345678\r\nb: 45678901234567", CAM_H1_E_HEAD_LENGTH);
    row(answer, "HTTP/1.1 200 45678901", 21, CAM_H1_E_HEAD_LENGTH, NULL);
    static const cam_h1_stream_limits room = {
        .max_line = 60, .max_headers = 3, .max_head_bytes = 60, .max_extension_bytes = 4};
    const setting wide = {.limits = &room};
#define WIDE(text, result) row(wide, text, sizeof(text) - 1, result, NULL)
    WIDE(POST CHUNKED "\r\n1;ab\r\nx\r\n", 0);
    WIDE(POST CHUNKED "\r\n1;abcd\r\nx\r\n", CAM_H1_E_CHUNK_EXTENSION_LENGTH);
    WIDE(POST CHUNKED "\r\n0\r\na: \r\nb: \r\nc: \r\n\r\n", 0);
    WIDE(POST CHUNKED "\r\n0\r\na: \r\nb: \r\nc: \r\nd: \r\n", CAM_H1_E_FIELD_COUNT);
    WIDE(POST CHUNKED "\r\n0\r\na: 4567890123456789012345678901234567890123456789012345678901234",
         CAM_H1_E_TRAILER_LENGTH);
}

/* A caller that sets a flag between two messages, and one that asks whether a field has begun. */
static void test_questions(void) {
    cam_h1_stream stream;
    cam_h1_stream_init(&stream, false, NULL);
    outcome *out = &whole;
    out->len = 0;
    out->open = -1;
    CHECK(feed(out, &stream, GET "X", sizeof(GET)), "%d", out->result);
    CHECK(cam_h1_stream_in_field(&stream), "a name has begun");
    CHECK(feed(out, &stream, ": y\r\n", 5), "%d", out->result);
    CHECK(!cam_h1_stream_in_field(&stream), "a line has ended");
    CHECK(feed(out, &stream, " ", 1), "%d", out->result);
    CHECK(!cam_h1_stream_in_field(&stream), "no name begins with a space");
    cam_h1_stream_fini(&stream);
    cam_h1_stream_init(&stream, false, NULL);
    CHECK(feed(out, &stream, GET "\r", sizeof(GET)), "%d", out->result);
    CHECK(!cam_h1_stream_in_field(&stream), "an empty line has begun");
    CHECK(feed(out, &stream, "\n", 1), "%d", out->result);
    CHECK(stream.method == CAM_H1_METHOD_GET && stream.major_version == 1 &&
              stream.minor_version == 1,
          "%d %d.%d", stream.method, stream.major_version, stream.minor_version);
    CHECK(!cam_h1_stream_in_field(&stream), "no head");
    CHECK(feed(out, &stream, POST CHUNKED "\r\n0\r\nX", sizeof(POST CHUNKED) + 5), "%d",
          out->result);
    CHECK(cam_h1_stream_in_field(&stream), "a trailer has begun");
    cam_h1_stream_fini(&stream);
}

/* Passing a block that was told: the same as having it told again, but for its fields. */
static void test_told_blocks(void) {
    static const char line[] = "GET / HTTP/1.1\r\n";
    static const char block[] = HOST "Connection: close\r\n\r\n";
    cam_h1_stream stream;
    outcome *out = &whole;
    for (int limited = 0; limited < 3; limited++) {
        cam_h1_stream_init(&stream, false, NULL);
        stream.lenient = CAM_H1_LENIENT_KEEP_ALIVE;
        out->len = 0;
        out->open = -1;
        out->bare = false;
        CHECK(!cam_h1_stream_at_block(&stream), "before a message");
        CHECK(feed(out, &stream, line, sizeof(line) - 1), "%d", out->result);
        CHECK(cam_h1_stream_at_block(&stream), "behind the start line");
        CHECK(feed(out, &stream, "H", 1), "%d", out->result);
        CHECK(!cam_h1_stream_at_block(&stream), "inside of a line");
        CHECK(feed(out, &stream, block + 1, sizeof(block) - 2), "%d", out->result);
        cam_h1_told_block told = cam_h1_stream_told_block(&stream, sizeof(block) - 1);
        CHECK(feed(out, &stream, line, sizeof(line) - 1), "%d", out->result);
        if (limited == 1) {
            stream.limits.max_head_bytes = sizeof(line) + sizeof(block) - 3;
        } else if (limited == 2) {
            told.fields.seen = 0; /* no Host */
        }
        int result = cam_h1_stream_pass_block(&stream, &told);
        if (limited == 0) {
            CHECK(result == CAM_H1_EVENT_HEAD && !stream.keep_alive, "%d", result);
            CHECK(feed(out, &stream, "GE", 2), "%d", out->result);
            CHECK(strcmp(out->text, "<T(/)Host=a;Connection=close;|><T(/)><") == 0, "%s",
                  out->text);
        } else {
            int error = limited == 1 ? CAM_H1_E_HEAD_LENGTH : CAM_H1_E_HOST_MISSING;
            CHECK(result == error, "%d", result);
            CHECK(!feed(out, &stream, "GE", 2) && out->result == error, "%d", out->result);
        }
        cam_h1_stream_fini(&stream);
    }
    cam_h1_stream_init(&stream, false, NULL);
    out->len = 0;
    CHECK(feed(out, &stream, "GET / HTTP/1.1\r\n\r", 17), "%d", out->result);
    CHECK(!cam_h1_stream_at_block(&stream), "in the middle of an empty line");
    CHECK(!feed(out, &stream, "\n", 1), "%d", out->result);
    cam_h1_stream_init(&stream, false, NULL);
    CHECK(feed(out, &stream, GET, sizeof(GET) - 1), "%d", out->result);
    CHECK(!cam_h1_stream_at_block(&stream), "behind a field");
    cam_h1_stream_fini(&stream);
}

static void test_methods(void) {
    for (unsigned id = 1; id < CAM_H1_METHOD_COUNT; id++) {
        cam_slice text = cam_h1_method_text(id);
        CHECK(text.len > 0 && cam_h1_method_find(text.ptr, text.len) == id, "%.*s", (int)text.len,
              text.ptr);
        for (size_t len = 0; len <= text.len; len++) {
            CHECK(cam_h1_method_begins(text.ptr, len), "%.*s", (int)len, text.ptr);
        }
    }
    CHECK(cam_h1_method_text(0).len == 0 && cam_h1_method_text(CAM_H1_METHOD_COUNT).len == 0,
          "none");
    CHECK(cam_h1_method_find("get", 3) == CAM_H1_METHOD_UNKNOWN, "methods are case-sensitive");
    CHECK(!cam_h1_method_begins("GETT", 4), "GETT");
}

static void test_no_memory(void) {
    /* One line longer than what is kept at first. */
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
    static const char text[] = GET "X: " FIFTY FIFTY FIFTY "\r\n\r\n";
    const setting with = {0};
    run(&whole, &with, text, sizeof(text) - 1, sizeof(text) - 1, 0);
    for (long successes = 0;; successes++) {
        failmalloc_arm(successes);
        run(&part, &with, text, sizeof(text) - 1, 1, 0);
        if (!failmalloc_disarm()) {
            CHECK(successes > 2, "%ld allocations", successes);
            break;
        }
        CHECK(part.result == CAM_H1_STREAM_NO_MEMORY, "%d", part.result);
    }
    CHECK(part.result == 0 && strcmp(part.text, whole.text) == 0, "%s", part.text);
}

int main(void) {
    failmalloc_install();
    test_requests();
    test_trailers();
    test_untold();
    test_upgrades();
    test_wrong_requests();
    test_responses();
    test_lenient();
    test_limits();
    test_questions();
    test_told_blocks();
    test_methods();
    test_no_memory();
    return check_result();
}
