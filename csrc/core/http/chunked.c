/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include <stdbool.h>
#include <string.h>

#include "http/chars.h"

const cam_chunked_limits cam_chunked_default_limits = {
    .max_extension_bytes = 4096,
    .max_trailer_bytes = 8192,
};

#define LENIENT                                                                                    \
    (CAM_CHUNKED_LENIENT_CR | CAM_CHUNKED_LENIENT_LF | CAM_CHUNKED_LENIENT_DATA_END |              \
     CAM_CHUNKED_LENIENT_SIZE_END)

/* Digits of a chunk size that cost nothing: what 64 bits hold. */
#define FREE_SIZE_DIGITS 16

/* What frames a request (Content-Length, Transfer-Encoding) or routes it (Host) counts in the head
 * alone: nobody may send it in a trailer (RFC 9110 section 6.5.1), and who merges it all the same
 * would see another request than we do. Their first letters tell them apart. */
static const cam_slice forbidden_trailers[] = {
    {"content-length", 14},
    {"transfer-encoding", 17},
    {"host", 4},
};
enum { FORBIDDEN_TRAILERS = sizeof(forbidden_trailers) / sizeof(forbidden_trailers[0]) };

/*
 * One state for each place in the grammar of RFC 9112 section 7.1:
 *
 *   chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
 *   chunk-ext      = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
 *   last-chunk     = 1*("0") [ chunk-ext ] CRLF
 *   trailer-section = *( field-line CRLF )
 */
enum state {
    SIZE_START,      /* the first digit */
    SIZE,            /* more digits, or what may follow them */
    EXTENSION_SPACE, /* white space before a ';' */
    EXTENSION_NAME_START,
    EXTENSION_NAME,
    EXTENSION_NAME_SPACE, /* white space after a name: '=' or ';' */
    EXTENSION_VALUE_START,
    EXTENSION_TOKEN,
    EXTENSION_QUOTED,
    EXTENSION_QUOTED_PAIR, /* after a backslash */
    EXTENSION_QUOTED_END,  /* after the closing quote */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START, /* the first byte of a trailer line, or of the end */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
    FAILED,
};

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

void cam_chunked_init(cam_chunked *decoder, const cam_chunked_limits *limits) {
    if (limits == NULL) {
        limits = &cam_chunked_default_limits;
    }
    *decoder = (cam_chunked){
        .state = SIZE_START,
        .extension_room = limits->max_extension_bytes,
        .trailer_room = limits->max_trailer_bytes,
    };
}

/* The next digit of a chunk size; 0 or an error. Leading zeros are valid in any number (RFC 9112
 * section 7.1), so many of them cost what extensions cost. A chunk must fit an off_t. */
static int take_size_digit(cam_chunked *decoder, char c) {
    if (decoder->remaining > INT64_MAX >> 4) {
        return CAM_H1_E_BODY_LENGTH;
    }
    decoder->remaining = decoder->remaining << 4 | cam_char_hex(c);
    if (decoder->digits < FREE_SIZE_DIGITS) {
        decoder->digits++;
    } else if (decoder->extension_room > 0) {
        decoder->extension_room--;
    } else {
        return CAM_H1_E_CHUNK_EXTENSION_LENGTH;
    }
    return 0;
}

/* What may come where a chunk size or an extension is complete: a space if the state allows one,
 * another extension or the end of the line. Gives the next state, or an error. */
static int after_extension(char c, int error) {
    switch (c) {
    case ' ':
    case '\t':
        return EXTENSION_SPACE;
    case ';':
        return EXTENSION_NAME_START;
    case '\r':
        return SIZE_LF;
    default:
        return error;
    }
}

/* One byte within the extensions; the next state, or an error. */
static int extension_step(enum state state, char c) {
    bool token = cam_char_is(c, CAM_CHAR_TOKEN);
    switch (state) {
    case EXTENSION_SPACE:
        if (is_space(c)) {
            return EXTENSION_SPACE;
        }
        return c == ';' ? EXTENSION_NAME_START : CAM_H1_E_CHUNK_EXTENSION;
    case EXTENSION_NAME_START:
        if (is_space(c)) {
            return EXTENSION_NAME_START;
        }
        return token ? EXTENSION_NAME : CAM_H1_E_CHUNK_EXTENSION;
    case EXTENSION_NAME:
        if (token) {
            return EXTENSION_NAME;
        }
        if (c == '=') {
            return EXTENSION_VALUE_START;
        }
        if (is_space(c)) {
            return EXTENSION_NAME_SPACE;
        }
        return after_extension(c, CAM_H1_E_CHUNK_EXTENSION);
    case EXTENSION_NAME_SPACE:
        if (is_space(c)) {
            return EXTENSION_NAME_SPACE;
        }
        if (c == '=') {
            return EXTENSION_VALUE_START;
        }
        return c == ';' ? EXTENSION_NAME_START : CAM_H1_E_CHUNK_EXTENSION;
    case EXTENSION_VALUE_START:
        if (is_space(c)) {
            return EXTENSION_VALUE_START;
        }
        if (c == '"') {
            return EXTENSION_QUOTED;
        }
        return token ? EXTENSION_TOKEN : CAM_H1_E_CHUNK_EXTENSION;
    case EXTENSION_TOKEN:
        return token ? EXTENSION_TOKEN : after_extension(c, CAM_H1_E_CHUNK_EXTENSION);
    case EXTENSION_QUOTED:
        if (c == '"') {
            return EXTENSION_QUOTED_END;
        }
        if (c == '\\') {
            return EXTENSION_QUOTED_PAIR;
        }
        return cam_char_is(c, CAM_CHAR_QUOTED) ? EXTENSION_QUOTED : CAM_H1_E_CHUNK_EXTENSION;
    case EXTENSION_QUOTED_PAIR:
        return cam_char_is(c, CAM_CHAR_FIELD) ? EXTENSION_QUOTED : CAM_H1_E_CHUNK_EXTENSION;
    default: /* EXTENSION_QUOTED_END */
        return after_extension(c, CAM_H1_E_CHUNK_EXTENSION);
    }
}

/* One byte of a trailer's name: goes on with the comparison with the forbidden name it may be. */
static void compare_name(cam_chunked *decoder, char c) {
    char lower = (char)cam_char_lower[(uint8_t)c];
    if (decoder->name_len == 0) {
        decoder->name = 0;
        while (decoder->name < FORBIDDEN_TRAILERS &&
               forbidden_trailers[decoder->name].ptr[0] != lower) {
            decoder->name++;
        }
    }
    if (decoder->name < FORBIDDEN_TRAILERS) {
        cam_slice name = forbidden_trailers[decoder->name];
        if (decoder->name_len < name.len && name.ptr[decoder->name_len] == lower) {
            decoder->name_len++;
            return;
        }
        decoder->name = FORBIDDEN_TRAILERS;
    }
    decoder->name_len = 1; /* of none of them, and not the first byte */
}

static bool is_forbidden(const cam_chunked *decoder) {
    return decoder->name < FORBIDDEN_TRAILERS &&
           decoder->name_len == forbidden_trailers[decoder->name].len;
}

/* One byte of the trailer section; the next state, or an error. */
static int trailer_step(cam_chunked *decoder, enum state state, char c) {
    switch (state) {
    case TRAILER_START:
        if (c == '\r') {
            return END_LF;
        }
        decoder->name_len = 0;
        break;
    case TRAILER_NAME:
        if (c == ':') {
            return is_forbidden(decoder) ? CAM_H1_E_TRAILER_FIELD : TRAILER_VALUE;
        }
        break;
    case TRAILER_VALUE:
        if (c == '\r') {
            return TRAILER_LF;
        }
        return cam_char_is(c, CAM_CHAR_FIELD) ? TRAILER_VALUE : CAM_H1_E_TRAILER;
    case TRAILER_LF:
        return c == '\n' ? TRAILER_START : CAM_H1_E_TRAILER;
    default: /* END_LF */
        return c == '\n' ? DONE : CAM_H1_E_TRAILER;
    }
    compare_name(decoder, c);
    return cam_char_is(c, CAM_CHAR_TOKEN) ? TRAILER_NAME : CAM_H1_E_TRAILER;
}

/* One byte of anything but chunk data; the next state, or an error. */
static int step(cam_chunked *decoder, char c) {
    enum state state = (enum state)decoder->state;
    int error;
    switch (state) {
    case SIZE_START:
    case SIZE:
        if (cam_char_is(c, CAM_CHAR_HEX)) {
            error = take_size_digit(decoder, c);
            return error < 0 ? error : SIZE;
        }
        return state == SIZE ? after_extension(c, CAM_H1_E_CHUNK_SIZE) : CAM_H1_E_CHUNK_SIZE;
    case SIZE_LF:
        if (c != '\n') {
            return CAM_H1_E_CHUNK_LINE;
        }
        decoder->digits = 0;
        return decoder->remaining > 0 ? DATA : TRAILER_START;
    case DATA_CR:
        return c == '\r' ? DATA_LF : CAM_H1_E_CHUNK_DATA;
    case DATA_LF:
        return c == '\n' ? SIZE_START : CAM_H1_E_CHUNK_DATA;
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
    case END_LF:
        if (decoder->trailer_room == 0) {
            return CAM_H1_E_TRAILER_LENGTH;
        }
        decoder->trailer_room--;
        return trailer_step(decoder, state, c);
    default:
        return extension_step(state, c);
    }
}

/* Bytes between a chunk size and its line end count against the extensions. */
static bool in_extension(int state) {
    return state >= EXTENSION_SPACE && state <= EXTENSION_QUOTED_END;
}

/* The byte that a lenient decoder takes to stand before c, where one is missing; else 0. */
static char missing(const cam_chunked *decoder, char c) {
    unsigned options = decoder->options;
    bool data_end = (options & CAM_CHUNKED_LENIENT_DATA_END) != 0;
    bool line_feed = c == '\n' && (options & CAM_CHUNKED_LENIENT_CR);
    switch ((enum state)decoder->state) {
    case SIZE:
    case EXTENSION_SPACE:
    case EXTENSION_NAME:
    case EXTENSION_NAME_SPACE:
    case EXTENSION_TOKEN:
    case EXTENSION_QUOTED_END:
        return line_feed ? '\r' : 0;
    case DATA_CR:
        return line_feed || (data_end && c != '\r') ? '\r' : 0;
    case SIZE_LF:
        return c != '\n' && options & CAM_CHUNKED_LENIENT_LF ? '\n' : 0;
    case DATA_LF:
        return c != '\n' && (data_end || options & CAM_CHUNKED_LENIENT_LF) ? '\n' : 0;
    default:
        return 0;
    }
}

/* step() under options; *used becomes 0 when the byte is still to be looked at. */
static int optional_step(cam_chunked *decoder, char c, size_t *used) {
    char inserted = missing(decoder, c);
    if (inserted) {
        *used = 0;
        c = inserted;
    }
    if (decoder->state == EXTENSION_SPACE && c == '\r' &&
        decoder->options & CAM_CHUNKED_LENIENT_SIZE_END) {
        return SIZE_LF;
    }
    return step(decoder, c);
}

/* What to tell a caller that asked for it, once a state is left for the next. */
static int boundary(const cam_chunked *decoder, enum state left) {
    unsigned asked = decoder->options & (CAM_CHUNKED_STEPS | CAM_CHUNKED_TRAILERS);
    if (left == SIZE_LF && (asked & CAM_CHUNKED_STEPS || (asked && decoder->remaining == 0))) {
        return CAM_CHUNKED_SIZE;
    }
    return left == DATA_LF && asked & CAM_CHUNKED_STEPS ? CAM_CHUNKED_END : CAM_CHUNKED_MORE;
}

/* Most size lines are a few digits and a line end, and all of it is there: takes such a one at
 * once. Its length, or 0 for any other. */
static size_t take_plain_size(cam_chunked *decoder, const char *buf, size_t len) {
    enum { MOST_DIGITS = 7 };
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < len && digits < MOST_DIGITS && cam_char_is(buf[digits], CAM_CHAR_HEX)) {
        size = size << 4 | cam_char_hex(buf[digits]);
        digits++;
    }
    if (digits == 0 || len - digits < 2 || buf[digits] != '\r' || buf[digits + 1] != '\n') {
        return 0;
    }
    decoder->remaining = size;
    decoder->state = size > 0 ? DATA : TRAILER_START;
    return digits + 2;
}

int cam_chunked_decode(cam_chunked *decoder, const char *buf, size_t len, size_t *consumed,
                       cam_slice *data) {
    *consumed = 0;
    *data = (cam_slice){NULL, 0};
    if (decoder->state == FAILED) {
        return decoder->error;
    }
    bool steps = (decoder->options & CAM_CHUNKED_STEPS) != 0;
    bool lenient = (decoder->options & LENIENT) != 0;
    for (size_t i = 0; i < len && decoder->state != DONE;) {
        /* From the end of one chunk's data to the next one's in one go, if that is plain. */
        if (decoder->state == DATA_CR && len - i >= 2 && buf[i] == '\r' && buf[i + 1] == '\n') {
            decoder->state = SIZE_START;
            *consumed = i += 2;
            if (steps) {
                return CAM_CHUNKED_END;
            }
        }
        if (decoder->state == SIZE_START) {
            size_t line = take_plain_size(decoder, buf + i, len - i);
            *consumed = i += line;
            if (line > 0 && boundary(decoder, SIZE_LF) != CAM_CHUNKED_MORE) {
                return CAM_CHUNKED_SIZE;
            }
        }
        if (i == len) {
            break;
        }
        if (decoder->state == DATA) {
            size_t run = len - i;
            if (run > decoder->remaining) {
                run = (size_t)decoder->remaining;
            }
            decoder->remaining -= run;
            if (decoder->remaining == 0) {
                decoder->state = DATA_CR;
            }
            *data = (cam_slice){buf + i, run};
            *consumed = i + run;
            return CAM_CHUNKED_DATA;
        }
        size_t used = 1;
        enum state from = (enum state)decoder->state;
        int next = lenient ? optional_step(decoder, buf[i], &used) : step(decoder, buf[i]);
        if (next >= 0 && in_extension(next)) {
            if (decoder->extension_room == 0) {
                next = CAM_H1_E_CHUNK_EXTENSION_LENGTH;
            } else {
                decoder->extension_room--;
            }
        }
        if (next < 0) {
            decoder->state = FAILED;
            decoder->error = (int16_t)next;
            *consumed = 0;
            return next;
        }
        decoder->state = (uint8_t)next;
        *consumed = i += used;
        if (boundary(decoder, from) != CAM_CHUNKED_MORE) {
            return boundary(decoder, from);
        }
    }
    return decoder->state == DONE ? CAM_CHUNKED_DONE : CAM_CHUNKED_MORE;
}

int cam_chunked_gather(cam_chunked *decoder, char *buf, size_t len, size_t *consumed,
                       size_t *written) {
    *consumed = 0;
    *written = 0;
    for (;;) {
        size_t used;
        cam_slice data;
        int result = cam_chunked_decode(decoder, buf + *consumed, len - *consumed, &used, &data);
        *consumed += used;
        if (data.len == 0) { /* exactly when the result is not CAM_CHUNKED_DATA */
            return result;
        }
        if (data.ptr != buf + *written) {
            memmove(buf + *written, data.ptr, data.len);
        }
        *written += data.len;
    }
}
