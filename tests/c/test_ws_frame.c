/* SPDX-License-Identifier: MIT */
/*
 * Frames: what each row of bytes says, and that how it arrives does not matter.
 *
 * A row is decoded whole, byte by byte, and cut in two at every place, each piece in an allocation
 * of just its size, as it stands (its masks are zeros, to be legible) and masked with other keys.
 * What came of it is written down as text.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/frame.h"
#include "ws/mask.h"

typedef struct transcript {
    char text[4096];
    size_t len;
    char message[1 << 17];
    size_t message_len;
    bool in_message;
    uint64_t frame_left; /* by the last piece; 0 between frames */
    size_t used;
    int result;
} transcript;

__attribute__((format(printf, 2, 3))) static void say(transcript *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out->text + out->len, sizeof(out->text) - out->len, format, args);
    va_end(args);
    out->len += (size_t)len;
    if (out->len >= sizeof(out->text)) {
        abort();
    }
}

/* Bytes as they are if they can be shown, a long run of them by its length. */
static void say_bytes(transcript *out, const char *bytes, size_t len) {
    if (len > 130) {
        say(out, "%zu bytes", len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        say(out, bytes[i] >= ' ' && bytes[i] <= '~' ? "%c" : "\\%02x", (uint8_t)bytes[i]);
    }
}

static const char *name_of(int opcode) {
    switch (opcode) {
    case CAM_WS_TEXT:
        return "text";
    case CAM_WS_BINARY:
        return "binary";
    case CAM_WS_CLOSE:
        return "close";
    case CAM_WS_PING:
        return "ping";
    case CAM_WS_PONG:
        return "pong";
    default:
        return "?";
    }
}

static void add_piece(transcript *out, const cam_ws_piece *piece) {
    CHECK(piece->begins == !out->in_message, "begins: %d", piece->begins);
    CHECK(piece->ends_frame == (piece->rest == 0), "ends with %d to come", (int)piece->rest);
    CHECK(out->frame_left == 0 || out->frame_left == piece->rest + piece->payload.len,
          "%d to come, then %zu and %d", (int)out->frame_left, piece->payload.len,
          (int)piece->rest);
    CHECK(piece->payload.len > 0 || (piece->ends_frame && out->frame_left == 0), "an empty piece");
    out->frame_left = piece->rest;
    if (piece->begins) {
        out->message_len = 0;
        say(out, "%s%s ", name_of(piece->opcode), piece->compressed ? " deflated" : "");
    }
    out->in_message = !piece->ends;
    if (piece->payload.len > sizeof(out->message) - out->message_len) {
        abort();
    }
    memcpy(out->message + out->message_len, piece->payload.ptr, piece->payload.len);
    out->message_len += piece->payload.len;
    if (piece->ends_frame) {
        say(out, "[");
        say_bytes(out, out->message, out->message_len);
        say(out, "]%s", piece->ends ? "\n" : "..");
        out->message_len = 0;
    }
}

static void add_control(transcript *out, const cam_ws_piece *piece) {
    CHECK(piece->begins && piece->ends_frame && piece->ends && !piece->compressed &&
              piece->rest == 0,
          "a control frame is whole");
    CHECK(out->frame_left == 0, "a control frame within another");
    say(out, "%s (", name_of(piece->opcode));
    say_bytes(out, piece->payload.ptr, piece->payload.len);
    say(out, ")%s", out->in_message ? ".." : "\n");
}

/* One read of the network. */
static void feed(transcript *out, cam_ws_decoder *decoder, const char *bytes, size_t len) {
    if (out->result < 0) {
        return;
    }
    char *piece_bytes = malloc(len > 0 ? len : 1);
    if (piece_bytes == NULL) {
        abort();
    }
    memcpy(piece_bytes, bytes, len);
    size_t used = 0;
    do {
        size_t consumed;
        cam_ws_piece piece;
        out->result = cam_ws_decode(decoder, piece_bytes + used, len - used, &consumed, &piece);
        CHECK(consumed <= len - used, "%zu of %zu bytes", consumed, len - used);
        CHECK(memcmp(piece_bytes + used + consumed, bytes + used + consumed,
                     len - used - consumed) == 0,
              "what was not consumed has changed");
        used += consumed;
        if (out->result == CAM_WS_DATA) {
            add_piece(out, &piece);
            CHECK(cam_ws_in_message(decoder) == !piece.ends, "in a message");
        } else if (out->result == CAM_WS_CONTROL) {
            add_control(out, &piece);
        }
    } while (out->result > 0);
    CHECK(out->result < 0 || used == len, "%zu of %zu bytes", used, len);
    out->used += used;
    free(piece_bytes);
    if (out->result < 0) { /* what it once said it says for ever */
        char more[] = "\x81\x80\0\0\0\0";
        cam_ws_piece piece;
        int again = cam_ws_decode(decoder, more, 6, &used, &piece);
        CHECK(again == out->result && used == 0, "%d after %d", again, out->result);
    }
}

static void start(transcript *out, cam_ws_decoder *decoder, uint64_t limit, unsigned flags) {
    cam_ws_decoder_init(decoder, limit, flags);
    memset(out, 0, sizeof(*out));
}

static void finish(transcript *out) {
    if (out->message_len > 0) {
        say(out, "[");
        say_bytes(out, out->message, out->message_len);
        say(out, "..");
    }
    if (out->result < 0) {
        say(out, "!%d %s", cam_ws_error_code(out->result), cam_ws_error_text(out->result));
    }
    while (out->len > 0 && out->text[out->len - 1] == '\n') {
        out->text[--out->len] = '\0';
    }
}

static void check_same(const transcript *out, const char *expected, const char *how, size_t cut) {
    CHECK(strcmp(out->text, expected) == 0, "%s (%zu):\n%s\ninstead of:\n%s", how, cut, out->text,
          expected);
}

static void check_all_ways(const char *bytes, size_t len, uint64_t limit, unsigned flags,
                           const char *expected) {
    static transcript out;
    cam_ws_decoder decoder;
    start(&out, &decoder, limit, flags);
    feed(&out, &decoder, bytes, len);
    finish(&out);
    check_same(&out, expected, "whole", 0);

    start(&out, &decoder, limit, flags);
    for (size_t i = 0; i < len; i++) {
        feed(&out, &decoder, bytes + i, 1);
        feed(&out, &decoder, bytes + i, 0);
    }
    finish(&out);
    check_same(&out, expected, "byte by byte", 0);

    for (size_t cut = 0; cut <= len; cut += len < 1000 || cut < 20 ? 1 : 997) {
        start(&out, &decoder, limit, flags);
        feed(&out, &decoder, bytes, cut);
        feed(&out, &decoder, bytes + cut, len - cut);
        finish(&out);
        check_same(&out, expected, "cut", cut);
    }
}

/* Puts another key into each frame, as long as the bytes are whole frames from a client. */
static void mask_frames(char *bytes, size_t len, uint8_t seed) {
    size_t at = 0;
    while (len - at >= 6) {
        uint64_t payload = (uint8_t)bytes[at + 1] & 0x7f;
        size_t head = payload < 126 ? 2 : payload == 126 ? 4 : 10;
        if (!(bytes[at + 1] & 0x80) || len - at < head + 4) {
            return;
        }
        if (head > 2) {
            payload = 0;
            for (size_t i = 2; i < head; i++) {
                payload = payload << 8 | (uint8_t)bytes[at + i];
            }
        }
        uint8_t key[4];
        for (int i = 0; i < 4; i++) {
            key[i] = seed = (uint8_t)(seed * 13 + 101);
        }
        size_t body = at + head + 4;
        size_t there = payload < len - body ? (size_t)payload : len - body;
        uint8_t old[4];
        memcpy(old, bytes + at + head, 4);
        memcpy(bytes + at + head, key, 4);
        at = body;
        cam_ws_mask(bytes + at, there, old, 0);
        cam_ws_mask(bytes + at, there, key, 0);
        at += there;
    }
}

static void check_row(const char *bytes, size_t len, uint64_t limit, unsigned flags,
                      const char *expected) {
    check_all_ways(bytes, len, limit, flags, expected);
    if (flags & CAM_WS_CLIENT) {
        return;
    }
    for (int seed = 1; seed < 4; seed++) {
        char *masked = malloc(len + 1);
        if (masked == NULL) {
            abort();
        }
        memcpy(masked, bytes, len);
        mask_frames(masked, len, (uint8_t)seed);
        check_all_ways(masked, len, limit, flags, expected);
        free(masked);
    }
}

#define KEY "\0\0\0\0"
#define LIMIT 100000

#define E_RSV "!1002 a reserved bit is set without an extension that gives it a meaning"
#define E_OPCODE "!1002 the opcode is a reserved one"
#define E_FRAGMENTED "!1002 a control frame is fragmented"
#define E_CONTROL_LENGTH "!1002 a control frame is longer than 125 bytes"
#define E_CONTINUATION "!1002 a continuation frame has no message to continue"
#define E_INTERRUPTED "!1002 a new message begins within a fragmented one"
#define E_NOT_MASKED "!1002 a frame from a client is not masked"
#define E_MASKED "!1002 a frame from a server is masked"
#define E_RANGE "!1002 the length of a frame has its highest bit set"
#define E_FORM "!1002 the length of a frame does not have its shortest form"
#define E_LONG "!1009 the message is too long"

static const struct row {
    const char *bytes;
    size_t len;
    const char *expected;
    unsigned flags;
    uint64_t limit; /* 0 for LIMIT */
} rows[] = {
#define ROW(bytes, expected) {bytes, sizeof(bytes) - 1, expected, 0, 0}
#define CLIENT(bytes, expected) {bytes, sizeof(bytes) - 1, expected, CAM_WS_CLIENT, 0}
#define DEFLATE(bytes, expected) {bytes, sizeof(bytes) - 1, expected, CAM_WS_DEFLATE, 0}
#define LIMITED(limit, bytes, expected) {bytes, sizeof(bytes) - 1, expected, 0, limit}
    /* The examples of RFC 6455 section 5.7. */
    CLIENT("\x81\x05Hello", "text [Hello]"),
    {"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "text [Hello]", 0, 0},
    CLIENT("\x01\x03Hel\x80\x02lo", "text [Hel]..[lo]"),
    CLIENT("\x89\x05Hello", "ping (Hello)"),
    {"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "pong (Hello)", 0, 0},

    /* Messages. */
    ROW("", ""),
    ROW("\x81\x80" KEY, "text []"),
    ROW("\x82\x80" KEY, "binary []"),
    ROW("\x82\x83" KEY "abc\x81\x81" KEY "z", "binary [abc]\ntext [z]"),
    ROW("\x01\x83" KEY "abc\x00\x80" KEY "\x00\x81" KEY "d\x80\x82" KEY "ef",
        "text [abc]..[]..[d]..[ef]"),
    ROW("\x02\x80" KEY "\x80\x80" KEY, "binary []..[]"),
    ROW("\x01\x80" KEY "\x80\x81" KEY "x\x82\x81" KEY "y", "text []..[x]\nbinary [y]"),

    /* Control frames, also within a message (section 5.4), also with 125 bytes. */
    ROW("\x89\x80" KEY "\x8a\x80" KEY, "ping ()\npong ()"),
    ROW("\x01\x82" KEY "ab\x89\x83" KEY "you\x8a\x81" KEY "z\x80\x81" KEY "c",
        "text [ab]..ping (you)..pong (z)..[c]"),
    ROW("\x89\xfd" KEY "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234",
        "ping (0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234)"),

    /* After a close frame nothing counts (section 5.5.1). */
    ROW("\x88\x80" KEY, "close ()"),
    ROW("\x88\x82" KEY "\x03\xe8", "close (\\03\\e8)"),
    ROW("\x88\x85" KEY "\x03\xe8"
        "bye\x81\x81" KEY "x\xff\xff",
        "close (\\03\\e8bye)"),
    ROW("\x01\x81" KEY "x\x88\x80" KEY "\x80\x81" KEY "y", "text [x]..close ().."),

    /* Not all there. */
    ROW("\x81", ""),
    ROW("\x81\x85", ""),
    ROW("\x81\x85\0\0\0", ""),
    ROW("\x81\x85" KEY, ""),
    ROW("\x81\x85" KEY "He", "text [He.."),
    ROW("\x82\xfe\x01", ""),
    ROW("\x82\xff\0\0\0\0\0\1\0", ""),
    ROW("\x82\xff\0\0\0\0\0\1\0\0\0\0\0", ""),
    ROW("\x82\xff\0\0\0\0\0\1\0\0\0\0\0\0ab", "binary [ab.."),
    ROW("\x89\x85" KEY "He", ""),
    ROW("\x01\x81" KEY "x", "text [x].."),

    /* Reserved bits (section 5.2): each alone, on each kind of frame. */
    ROW("\xc1\x80" KEY, E_RSV),
    ROW("\xa1\x80" KEY, E_RSV),
    ROW("\x91\x80" KEY, E_RSV),
    ROW("\xf2\x80" KEY, E_RSV),
    ROW("\xc9\x80" KEY, E_RSV),
    ROW("\x98\x80" KEY, E_RSV),
    ROW("\x01\x81" KEY "a\xc0\x80" KEY, "text [a].." E_RSV),
    ROW("\x81\x81" KEY "a\x40", "text [a]\n" E_RSV),

    /* Reserved opcodes (section 5.2). */
    ROW("\x83\x80" KEY, E_OPCODE),
    ROW("\x04\x80" KEY, E_OPCODE),
    ROW("\x85\x80" KEY, E_OPCODE),
    ROW("\x86\x80" KEY, E_OPCODE),
    ROW("\x87", E_OPCODE),
    ROW("\x8b\x80" KEY, E_OPCODE),
    ROW("\x0c\x80" KEY, E_OPCODE),
    ROW("\x8d\x80" KEY, E_OPCODE),
    ROW("\x8e\x80" KEY, E_OPCODE),
    ROW("\x8f", E_OPCODE),

    /* Control frames (section 5.5). */
    ROW("\x08\x80" KEY, E_FRAGMENTED),
    ROW("\x09\x80" KEY, E_FRAGMENTED),
    ROW("\x0a", E_FRAGMENTED),
    ROW("\x89\xfe", E_CONTROL_LENGTH),
    ROW("\x88\xff\0\0", E_CONTROL_LENGTH),
    ROW("\x81\x82" KEY "ok\x8a\xfe\x00\x7e" KEY, "text [ok]\n" E_CONTROL_LENGTH),

    /* Fragments (section 5.4). */
    ROW("\x80\x80" KEY, E_CONTINUATION),
    ROW("\x00\x81" KEY "x", E_CONTINUATION),
    ROW("\x81\x81" KEY "x\x80\x81" KEY "y", "text [x]\n" E_CONTINUATION),
    ROW("\x01\x81" KEY "x\x81\x81" KEY "y", "text [x].." E_INTERRUPTED),
    ROW("\x02\x81" KEY "x\x89\x80" KEY "\x01", "binary [x]..ping ().." E_INTERRUPTED),

    /* Masks (section 5.1). */
    ROW("\x81\x05Hello", E_NOT_MASKED),
    ROW("\x89\x00", E_NOT_MASKED),
    ROW("\x88\x7f", E_NOT_MASKED),
    CLIENT("\x81\x85" KEY "Hello", E_MASKED),
    CLIENT("\x88\x80" KEY, E_MASKED),

    /* Lengths (section 5.2). */
    ROW("\x81\xfe\x00\x7d" KEY, E_FORM),
    ROW("\x82\xfe\x00\x00" KEY, E_FORM),
    ROW("\x82\xff\0\0\0\0\0\0\xff\xff" KEY, E_FORM),
    ROW("\x82\xff\0\0\0\0\0\0\0\0", E_FORM),
    ROW("\x82\xff\x80\0\0\0\0\0\0\0" KEY, E_RANGE),
    ROW("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", E_RANGE),
    ROW("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", E_LONG),

    /* The bound on messages, told before anything of them is there. */
    LIMITED(5, "\x81\x85" KEY "Hello", "text [Hello]"),
    LIMITED(5, "\x81\x86", E_LONG),
    LIMITED(5, "\x01\x83" KEY "Hel\x80\x82" KEY "lo\x81\x85" KEY "again",
            "text [Hel]..[lo]\ntext [again]"),
    LIMITED(5, "\x01\x83" KEY "Hel\x80\x83", "text [Hel].." E_LONG),
    LIMITED(5, "\x01\x85" KEY "Hello\x00\x80" KEY "\x80\x81", "text [Hello]..[].." E_LONG),
    LIMITED(5, "\x01\x83" KEY "Hel\x89\x87" KEY "control\x80\x82" KEY "lo",
            "text [Hel]..ping (control)..[lo]"),
    LIMITED(5, "\x82\xfe\x01\x00", E_LONG),
    LIMITED(UINT64_MAX, "\x02\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY "x", "binary [x.."),

    /* RSV1 with permessage-deflate (RFC 7692 section 6). */
    DEFLATE("\xc1\x83" KEY "abc\x81\x81" KEY "d\xc2\x81" KEY "e",
            "text deflated [abc]\ntext [d]\nbinary deflated [e]"),
    DEFLATE("\x41\x83" KEY "abc\x89\x80" KEY "\x00\x80" KEY "\x80\x81" KEY "d",
            "text deflated [abc]..ping ()..[]..[d]"),
    DEFLATE("\x41\x83" KEY "abc\xc0\x80" KEY, "text deflated [abc].." E_RSV),
    DEFLATE("\xc9\x80" KEY, E_RSV),
    DEFLATE("\xc8\x80" KEY, E_RSV),
    DEFLATE("\xe1\x80" KEY, E_RSV),
    DEFLATE("\xd1\x80" KEY, E_RSV),
    DEFLATE("\xc3\x80" KEY, E_OPCODE),
    DEFLATE("\xcb\x80" KEY, E_RSV),
    {"\xc2\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY "x", 15, "binary deflated [x..", CAM_WS_DEFLATE,
     UINT64_MAX},
    /* A limit of 80: what is not compressed has 80 bytes, what is has 80 + 80/8 + 64. */
    {"\xc2\xfe\x00\x9a" KEY "x", 9, "binary deflated [x..", CAM_WS_DEFLATE, 80},
    {"\xc2\xfe\x00\x9b" KEY "x", 9, E_LONG, CAM_WS_DEFLATE, 80},
    {"\x82\xd0" KEY "x", 7, "binary [x..", CAM_WS_DEFLATE, 80},
    {"\x82\xd1" KEY "x", 7, E_LONG, CAM_WS_DEFLATE, 80},
    {"\x42\x81" KEY "x\x80\xfe\x00\x99" KEY "y", 16, "binary deflated [x]..[y..", CAM_WS_DEFLATE,
     80},
    {"\x42\x81" KEY "x\x80\xfe\x00\x9a" KEY "y", 16, "binary deflated [x].." E_LONG, CAM_WS_DEFLATE,
     80},
    {"\x02\x81" KEY "x\x80\xd0" KEY "y", 14, "binary [x].." E_LONG, CAM_WS_DEFLATE, 80},
};

static void test_rows(void) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        check_row(row->bytes, row->len, row->limit > 0 ? row->limit : LIMIT, row->flags,
                  row->expected);
    }
}

/* What cam_ws_write_head writes is what the decoder reads, at every length where its form changes.
 */
static void test_lengths(void) {
    static const size_t lengths[] = {0, 1, 124, 125, 126, 127, 128, 65535, 65536, 65537, LIMIT};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t len = lengths[i];
        for (int client = 0; client < 2; client++) {
            static const uint8_t key[4] = {0x12, 0x34, 0x56, 0x78};
            char *bytes = malloc(CAM_WS_MAX_HEAD + len);
            if (bytes == NULL) {
                abort();
            }
            size_t head =
                cam_ws_write_head(bytes, CAM_WS_FIN | CAM_WS_BINARY, len, client ? key : NULL);
            size_t form = len < 126 ? 2 : len < 65536 ? 4 : 10;
            CHECK(head == form + (client ? 4 : 0), "%zu bytes of head for %zu", head, len);
            memset(bytes + head, 'a', len);
            if (client) {
                cam_ws_mask(bytes + head, len, key, 0);
            }
            char expected[300];
            if (len > 130) {
                snprintf(expected, sizeof(expected), "binary [%zu bytes]", len);
            } else {
                snprintf(
                    expected, sizeof(expected), "binary [%.*s]", (int)len,
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
            }
            check_all_ways(bytes, head + len, LIMIT, client ? 0 : CAM_WS_CLIENT, expected);
            if (len == LIMIT) {
                check_all_ways(bytes, head + len, LIMIT - 1, client ? 0 : CAM_WS_CLIENT, E_LONG);
            }
            free(bytes);
        }
    }
}

/* The heads themselves. */
static void test_heads(void) {
    static const struct {
        unsigned first;
        uint64_t len;
        const char *head;
        size_t head_len;
    } heads[] = {
        {CAM_WS_FIN | CAM_WS_TEXT, 0, "\x81\x00", 2},
        {CAM_WS_FIN | CAM_WS_RSV1 | CAM_WS_TEXT, 125, "\xc1\x7d", 2},
        {CAM_WS_BINARY, 126, "\x02\x7e\x00\x7e", 4},
        {CAM_WS_CONTINUATION, 0xffff, "\x00\x7e\xff\xff", 4},
        {CAM_WS_FIN, 0x10000, "\x80\x7f\0\0\0\0\0\1\0\0", 10},
        {CAM_WS_FIN | CAM_WS_CLOSE, 2, "\x88\x02", 2},
        {CAM_WS_FIN | CAM_WS_BINARY, 0x123456789abcdef0, "\x82\x7f\x12\x34\x56\x78\x9a\xbc\xde\xf0",
         10},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        char head[CAM_WS_MAX_HEAD];
        size_t len = cam_ws_write_head(head, heads[i].first, heads[i].len, NULL);
        CHECK(len == heads[i].head_len && memcmp(head, heads[i].head, len) == 0, "row %zu", i);
    }
}

/* Everything that the first two bytes can be, by the rules once more, in the plainest way. */
static void test_first_bytes(void) {
    for (int both = 0; both < 65536; both++) {
        for (int flags = 0; flags < 4; flags++) {
            for (int inside = 0; inside < 2; inside++) {
                cam_ws_decoder decoder;
                cam_ws_piece piece;
                size_t used;
                cam_ws_decoder_init(&decoder, UINT64_MAX, (unsigned)flags);
                if (inside) {
                    char begin[] = "\x01\x80\0\0\0\0";
                    begin[1] = flags & CAM_WS_CLIENT ? '\0' : begin[1];
                    cam_ws_decode(&decoder, begin, flags & CAM_WS_CLIENT ? 2 : 6, &used, &piece);
                }
                char bytes[2] = {(char)(both >> 8), (char)both};
                int result = cam_ws_decode(&decoder, bytes, 2, &used, &piece);
                int first = both >> 8, opcode = first & 15, len = both & 127;
                bool masked = both & 128;
                bool control = opcode >= 8;
                bool good = !(first & 0x30) && (opcode <= 2 || (opcode >= 8 && opcode <= 10)) &&
                            masked == !(flags & CAM_WS_CLIENT);
                good = good && (!(first & 0x40) ||
                                (flags & CAM_WS_DEFLATE && (opcode == 1 || opcode == 2)));
                good = good && (control ? len <= 125 && first & 0x80 : (opcode == 0) == inside);
                CHECK((result >= 0) == good, "%04x, flags %d, inside %d: %d", both, flags, inside,
                      result);
                CHECK(result < 0 || used == 2, "%04x: %zu", both, used);
            }
        }
    }
}

static void test_errors(void) {
    for (int error = -CAM_WS_ERROR_COUNT - 2; error < 2; error++) {
        int code = cam_ws_error_code(error);
        CHECK(code == 1002 || code == 1007 || code == 1009, "%d has the code %d", error, code);
        CHECK(strlen(cam_ws_error_text(error)) <= CAM_WS_MAX_REASON, "%d", error);
        CHECK((error < 0 && error >= -CAM_WS_ERROR_COUNT) !=
                  (strcmp(cam_ws_error_text(error), "the frame is malformed") == 0),
              "%d", error);
    }
    CHECK(cam_ws_error_code(CAM_WS_E_RSV) == 1002 && cam_ws_error_code(CAM_WS_E_UTF8) == 1007 &&
              cam_ws_error_code(CAM_WS_E_INFLATE) == 1007 &&
              cam_ws_error_code(CAM_WS_E_MESSAGE_LENGTH) == 1009,
          "codes");
}

int main(void) {
    test_rows();
    test_lengths();
    test_heads();
    test_first_bytes();
    test_errors();
    return check_result();
}
