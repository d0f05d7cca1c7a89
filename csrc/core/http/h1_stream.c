/* SPDX-License-Identifier: MIT */
/*
 * Lines are the unit: one is judged when its end is there, and a start line also before, as far as
 * it has come. What is kept of a line that is split over calls are its bytes; a line that is whole
 * is read where it lies.
 */
#include "http/h1_stream.h"

#include <string.h>

#include "base/alloc.h"
#include "http/chars.h"
#include "http/h1_stream_private.h"
#include "http/scan.h"

const cam_h1_stream_limits cam_h1_stream_default_limits = {
    .max_line = 16 * 1024,
    .max_headers = 128,
    .max_head_bytes = 64 * 1024,
    .max_extension_bytes = 4096,
};

enum state {
    IDLE, /* before a message */
    START_LINE,
    FIELDS,
    LENGTH_BODY,
    CLOSE_BODY,
    CHUNKED_BODY,
    TRAILERS,
    COMPLETE,
    UPGRADED,
    CLOSED, /* after the last message */
    FAILED,
};

void cam_h1_stream_init(cam_h1_stream *stream, bool response, const cam_h1_stream_limits *limits) {
    *stream = (cam_h1_stream){
        .limits = limits != NULL ? *limits : cam_h1_stream_default_limits,
        .response = response,
        .state = IDLE,
    };
}

void cam_h1_stream_fini(cam_h1_stream *stream) {
    cam_free(stream->kept);
    stream->kept = NULL;
    stream->kept_len = stream->kept_capacity = 0;
}

bool cam_h1_stream_in_field(const cam_h1_stream *stream) {
    return (stream->state == FIELDS || stream->state == TRAILERS) && stream->kept_len > 0 &&
           cam_char_is(stream->kept[0], CAM_CHAR_TOKEN);
}

static int fail(cam_h1_stream *stream, int error) {
    cam_h1_stream_fini(stream);
    stream->split = false;
    stream->state = FAILED;
    stream->error = (int16_t)error;
    return error;
}

/* Keeps bytes of a line whose end is not there. 0 or CAM_H1_STREAM_NO_MEMORY. */
static int keep(cam_h1_stream *stream, const char *buf, size_t len) {
    stream->split = true;
    if (len == 0) {
        return 0;
    }
    if (stream->kept == NULL || len > stream->kept_capacity - stream->kept_len) {
        /* Within twice what the limits let a line have. */
        size_t capacity = 2 * (stream->kept_len + len);
        capacity = capacity < 128 ? 128 : capacity;
        char *kept = cam_realloc(stream->kept, capacity);
        if (kept == NULL) {
            return CAM_H1_STREAM_NO_MEMORY;
        }
        stream->kept = kept;
        stream->kept_capacity = capacity;
    }
    memcpy(stream->kept + stream->kept_len, buf, len);
    stream->kept_len += len;
    return 0;
}

static size_t room(size_t limit, size_t used) {
    return used < limit ? limit - used : 0;
}

static int length_error(const cam_h1_stream *stream, bool of_line) {
    switch ((enum state)stream->state) {
    case START_LINE:
        return stream->response ? CAM_H1_E_HEAD_LENGTH : CAM_H1_E_TARGET_LENGTH;
    case TRAILERS:
        return CAM_H1_E_TRAILER_LENGTH;
    default:
        return of_line ? CAM_H1_E_FIELD_LENGTH : CAM_H1_E_HEAD_LENGTH;
    }
}

/* The end of the line, a CR or LF in buf[0 .. stop), or stop, or a byte that no line may hold. */
static size_t find_end(const cam_h1_stream *stream, const char *buf, size_t stop) {
    size_t at = cam_scan_control(buf, 0, stop);
    if (stream->lenient & CAM_H1_LENIENT_VALUE && stream->state != START_LINE) {
        while (at < stop && buf[at] != '\r' && buf[at] != '\n' && buf[at] != '\0') {
            at = cam_scan_control(buf, at + 1, stop);
        }
    }
    return at;
}

/*
 * Looks for the rest of the line up to its line end, or to the first wrong byte: at *at, with *next
 * behind the line end. 1, CAM_H1_EVENT_MORE, or an error.
 *
 * As in h1.c every decision is taken at the first byte that allows it and limits are compared with
 * places, so that the answer does not depend on how much has arrived.
 */
static int find_line(cam_h1_stream *stream, const char *buf, size_t len, size_t *at, size_t *next) {
    *at = 0;
    size_t cr = 0;
    if (!stream->carriage_return) {
        size_t line_end = room(stream->limits.max_line, stream->kept_len) + 1;
        size_t head_end =
            room(stream->limits.max_head_bytes, stream->head_bytes + stream->kept_len);
        size_t bound = line_end < head_end ? line_end : head_end;
        size_t stop = len < bound ? len : bound;
        *at = find_end(stream, buf, stop);
        if (*at == bound) {
            return length_error(stream, line_end < head_end);
        }
        if (*at == len) {
            return CAM_H1_EVENT_MORE;
        }
        if (buf[*at] == '\n' && stream->lenient & CAM_H1_LENIENT_CR) {
            *next = *at + 1;
            return 1;
        }
        if (buf[*at] != '\r') {
            return buf[*at] == '\n' ? CAM_H1_E_BARE_LF : CAM_H1_E_CONTROL;
        }
        cr = 1;
    }
    if (stream->head_bytes + stream->kept_len + *at + 2 > stream->limits.max_head_bytes) {
        return length_error(stream, false);
    }
    if (*at + cr == len) {
        stream->carriage_return = true;
        return CAM_H1_EVENT_MORE;
    }
    if (buf[*at + cr] != '\n' && !(stream->lenient & CAM_H1_LENIENT_LF)) {
        return CAM_H1_E_BARE_CR;
    }
    *next = *at + cr + (buf[*at + cr] == '\n');
    return 1;
}

/*
 * Takes the rest of the present line: 1 with *line the whole of it, without line end, and *used the
 * bytes of buf it took; CAM_H1_EVENT_MORE with all of buf kept; or an error, with what came before
 * the wrong byte kept if that was in a start line.
 */
static int take_line(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                     cam_slice *line) {
    size_t at = 0;
    size_t next = 0;
    int result = find_line(stream, buf, len, &at, &next);
    bool judge = result < 0 && stream->state == START_LINE;
    if ((result == CAM_H1_EVENT_MORE || judge || stream->split) && keep(stream, buf, at) < 0) {
        return CAM_H1_STREAM_NO_MEMORY;
    }
    if (result <= 0) {
        *used = len;
        return result;
    }
    bool kept = stream->kept != NULL && stream->kept_len > 0;
    *line = kept ? (cam_slice){stream->kept, stream->kept_len} : (cam_slice){buf, at};
    *used = next;
    stream->head_bytes += line->len + 2;
    stream->carriage_return = false;
    stream->split = false; /* the bytes kept are given back when the next event is asked for */
    return 1;
}

static void begin_message(cam_h1_stream *stream) {
    stream->state = START_LINE;
    stream->method = CAM_H1_METHOD_UNKNOWN;
    stream->status = 0;
    stream->keep_alive = stream->upgrade = false;
    stream->fields = (cam_h1_fields){.content_length = -1};
    stream->last_name = CAM_H1_NAME_UNKNOWN;
    stream->headers = stream->head_bytes = stream->told = 0;
    stream->empty_lines = 0;
}

/* Passes over empty lines (RFC 9112 section 2.2): CAM_H1_EVENT_MORE, _BEGIN or an error. */
static int idle(cam_h1_stream *stream, const char *buf, size_t len, size_t *used) {
    *used = 0;
    while (*used < len) {
        char c = buf[*used];
        if (stream->carriage_return) {
            stream->carriage_return = false;
            if (c == '\n') {
                ++*used;
            } else if (!(stream->lenient & CAM_H1_LENIENT_LF)) {
                return CAM_H1_E_BARE_CR;
            }
        } else if (c == '\r') {
            ++*used;
            stream->carriage_return = true;
            continue;
        } else if (c == '\n') {
            if (!(stream->lenient & CAM_H1_LENIENT_CR)) {
                return CAM_H1_E_BARE_LF;
            }
            ++*used;
        } else {
            begin_message(stream);
            return CAM_H1_EVENT_BEGIN;
        }
        if (++stream->empty_lines > CAM_H1_MAX_EMPTY_LINES) {
            return CAM_H1_E_EMPTY_LINES;
        }
    }
    return CAM_H1_EVENT_MORE;
}

/* Judges as much of the start line as is there. Gives the next piece of target or reason, if there
 * is one. An event or an error; CAM_H1_EVENT_MORE without a piece. */
static int tell_piece(cam_h1_stream *stream, cam_slice line, cam_h1_event *event) {
    cam_slice whole;
    int error = stream->response ? cam__h1_begin_response(stream, line.ptr, line.len, &whole)
                                 : cam__h1_begin_request(stream, line.ptr, line.len, &whole);
    if (error < 0) {
        return error;
    }
    if (whole.len <= stream->told) {
        return CAM_H1_EVENT_MORE;
    }
    event->text = (cam_slice){whole.ptr + stream->told, whole.len - stream->told};
    stream->told = whole.len;
    return stream->response ? CAM_H1_EVENT_REASON : CAM_H1_EVENT_TARGET;
}

static int start_line(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                      cam_h1_event *event) {
    cam_slice line;
    int result = take_line(stream, buf, len, used, &line);
    if (result == CAM_H1_STREAM_NO_MEMORY) {
        return result;
    }
    if (result <= 0) {
        /* What was wrong before counts, so that it does so however the line was split. */
        const char *kept = stream->kept != NULL ? stream->kept : ""; /* the first byte was wrong */
        int piece = tell_piece(stream, (cam_slice){kept, stream->kept_len}, event);
        return result < 0 && piece >= 0 ? result : piece;
    }
    if (!stream->response && stream->told == 0 && cam__h1_whole_request(stream, line, event)) {
        stream->state = FIELDS;
        return CAM_H1_EVENT_TARGET;
    }
    int piece = tell_piece(stream, line, event);
    if (piece < 0) {
        return piece;
    }
    int error = stream->response ? cam__h1_end_response(stream, line.ptr, line.len)
                                 : cam__h1_end_request(stream, line.ptr, line.len);
    stream->state = FIELDS;
    return error < 0 ? error : piece;
}

/* Fields that frame the message or make out whether it is the last: what they say must not hang on
 * who folds lines and who does not. */
static bool is_framing(unsigned name) {
    return name == CAM_H1_NAME_CONTENT_LENGTH || name == CAM_H1_NAME_TRANSFER_ENCODING ||
           name == CAM_H1_NAME_CONNECTION || name == CAM_H1_NAME_UPGRADE ||
           name == CAM_H1_NAME_HOST;
}

/* Fields that a trailer section must not hold, as they tell how to read the message, whom it is
 * for or who sends it (RFC 9110 section 6.5.1): refused where they frame or route it, else dropped,
 * since callers put trailers and headers into one list. */
static bool is_dropped(unsigned name) {
    switch (name) {
    case CAM_H1_NAME_AUTHORIZATION:
    case CAM_H1_NAME_CACHE_CONTROL:
    case CAM_H1_NAME_CONNECTION:
    case CAM_H1_NAME_CONTENT_ENCODING:
    case CAM_H1_NAME_CONTENT_TYPE:
    case CAM_H1_NAME_COOKIE:
    case CAM_H1_NAME_EXPECT:
    case CAM_H1_NAME_FORWARDED:
    case CAM_H1_NAME_IF_MATCH:
    case CAM_H1_NAME_IF_MODIFIED_SINCE:
    case CAM_H1_NAME_IF_NONE_MATCH:
    case CAM_H1_NAME_IF_RANGE:
    case CAM_H1_NAME_IF_UNMODIFIED_SINCE:
    case CAM_H1_NAME_MAX_FORWARDS:
    case CAM_H1_NAME_PROXY_AUTHORIZATION:
    case CAM_H1_NAME_RANGE:
    case CAM_H1_NAME_TE:
    case CAM_H1_NAME_TRAILER:
    case CAM_H1_NAME_UPGRADE:
    case CAM_H1_NAME_X_FORWARDED_FOR:
    case CAM_H1_NAME_X_FORWARDED_HOST:
    case CAM_H1_NAME_X_FORWARDED_PORT:
    case CAM_H1_NAME_X_FORWARDED_PROTO:
        return true;
    default:
        return false;
    }
}

/* Reads the name and value of a trailer line, whose meaning is none of ours. 1 when it is to be
 * told, 0 when it is dropped, or an error. */
static int read_trailer(cam_h1_header *header, const char *line, size_t len) {
    cam_h1_fields nothing = {.content_length = -1};
    int error = cam__h1_read_field(header, &nothing, line, len, line);
    if (error == CAM_H1_E_FIELD_NAME || error == CAM_H1_E_FIELD_FOLDED) {
        return error;
    }
    if (header->name_id == CAM_H1_NAME_CONTENT_LENGTH ||
        header->name_id == CAM_H1_NAME_TRANSFER_ENCODING || header->name_id == CAM_H1_NAME_HOST) {
        return CAM_H1_E_TRAILER_FIELD;
    }
    return !is_dropped(header->name_id);
}

static int read_header(cam_h1_stream *stream, cam_h1_header *header, const char *line, size_t len) {
    int error = cam__h1_read_field(header, &stream->fields, line, len, line);
    if (error == CAM_H1_E_HOST && (stream->response || stream->lenient & CAM_H1_LENIENT_HOST)) {
        error = 0; /* a response has none: a field of that name means nothing there */
    }
    return error < 0 ? error : 1;
}

/* A line of the header or trailer section that is not empty: an event, CAM_H1_EVENT_MORE for one
 * that is dropped, or an error. */
static int field(cam_h1_stream *stream, cam_slice line, cam_h1_event *event) {
    bool folded = line.ptr[0] == ' ' || line.ptr[0] == '\t';
    if (folded && stream->headers > 0 && stream->lenient & CAM_H1_LENIENT_VALUE &&
        !is_framing(stream->last_name)) {
        event->text = line;
        return stream->state == TRAILERS && is_dropped(stream->last_name) ? CAM_H1_EVENT_MORE
                                                                          : CAM_H1_EVENT_FOLDED;
    }
    if (stream->headers == stream->limits.max_headers) {
        return CAM_H1_E_FIELD_COUNT;
    }
    stream->headers++;
    cam_h1_header header;
    int result = stream->state == TRAILERS ? read_trailer(&header, line.ptr, line.len)
                                           : read_header(stream, &header, line.ptr, line.len);
    if (result < 0) {
        return result;
    }
    stream->last_name = header.name_id;
    *event = (cam_h1_event){header.name, header.value, header.name_id};
    return result > 0 ? CAM_H1_EVENT_FIELD : CAM_H1_EVENT_MORE;
}

/* The end of the head: what follows it. An event or an error. */
static int end_head(cam_h1_stream *stream) {
    int framing = stream->response ? cam__h1_judge_response(stream) : cam__h1_judge_request(stream);
    switch (framing) {
    case CAM__FRAMING_NONE:
        stream->state = COMPLETE;
        return CAM_H1_EVENT_HEAD;
    case CAM__FRAMING_LENGTH:
        stream->state = LENGTH_BODY;
        stream->remaining = (uint64_t)stream->fields.content_length;
        return CAM_H1_EVENT_HEAD;
    case CAM__FRAMING_CHUNKED: {
        cam_chunked_limits limits = {.max_extension_bytes = stream->limits.max_extension_bytes};
        cam_chunked_init(&stream->chunked, &limits);
        stream->state = CHUNKED_BODY;
        return CAM_H1_EVENT_HEAD;
    }
    case CAM__FRAMING_CLOSE:
        stream->state = CLOSE_BODY;
        return CAM_H1_EVENT_HEAD;
    default:
        return framing;
    }
}

/* The next line of the header or trailer section; as start_line(). */
static int fields(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                  cam_h1_event *event) {
    *used = 0;
    for (;;) {
        cam_slice line;
        size_t taken = 0;
        int result = take_line(stream, buf + *used, len - *used, &taken, &line);
        *used += taken;
        if (result <= 0) {
            return result;
        }
        if (line.len == 0 && stream->state == FIELDS) {
            return end_head(stream);
        }
        if (line.len == 0) {
            stream->state = COMPLETE;
            return CAM_H1_EVENT_CHUNK_END;
        }
        result = field(stream, line, event);
        if (result != CAM_H1_EVENT_MORE) {
            return result;
        }
        stream->kept_len = 0; /* dropped */
    }
}

static int body(cam_slice data, size_t *used, cam_h1_event *event) {
    *used = data.len;
    event->text = data;
    return data.len > 0 ? CAM_H1_EVENT_BODY : CAM_H1_EVENT_MORE;
}

static int length_body(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                       cam_h1_event *event) {
    size_t size = len < stream->remaining ? len : (size_t)stream->remaining;
    stream->remaining -= size;
    if (stream->remaining == 0) {
        stream->state = COMPLETE;
    }
    return body((cam_slice){buf, size}, used, event);
}

static uint8_t chunked_options(const cam_h1_stream *stream) {
    uint32_t lenient = stream->lenient;
    unsigned options = CAM_CHUNKED_TRAILERS | (stream->chunks_untold ? 0 : CAM_CHUNKED_STEPS);
    if (lenient == 0) {
        return (uint8_t)options;
    }
    options |= lenient & CAM_H1_LENIENT_CR ? CAM_CHUNKED_LENIENT_CR : 0;
    options |= lenient & CAM_H1_LENIENT_LF ? CAM_CHUNKED_LENIENT_LF : 0;
    options |= lenient & CAM_H1_LENIENT_CHUNK_END ? CAM_CHUNKED_LENIENT_DATA_END : 0;
    options |= lenient & CAM_H1_LENIENT_CHUNK_SPACE ? CAM_CHUNKED_LENIENT_SIZE_END : 0;
    return (uint8_t)options;
}

static int chunked_body(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                        cam_slice *text) {
    stream->chunked.options = chunked_options(stream);
    int result = cam_chunked_decode(&stream->chunked, buf, len, used, text);
    switch (result) {
    case CAM_CHUNKED_SIZE:
        if (stream->chunked.remaining == 0) {
            stream->state = TRAILERS;
            stream->headers = stream->head_bytes = 0;
        }
        return stream->chunks_untold ? CAM_H1_EVENT_MORE : CAM_H1_EVENT_CHUNK;
    case CAM_CHUNKED_DATA:
        return CAM_H1_EVENT_BODY;
    case CAM_CHUNKED_END:
        return CAM_H1_EVENT_CHUNK_END;
    default: /* more bytes are wanted, or an error */
        return result;
    }
}

static int complete(cam_h1_stream *stream, size_t *used) {
    *used = 0;
    stream->empty_lines = 0;
    if (stream->upgrade) {
        stream->state = UPGRADED;
    } else {
        bool another = stream->keep_alive || stream->lenient & CAM_H1_LENIENT_KEEP_ALIVE;
        stream->state = another ? IDLE : CLOSED;
    }
    return CAM_H1_EVENT_END;
}

/* After the last message of a connection only empty lines may come, as some clients send them. */
static int closed(cam_h1_stream *stream, const char *buf, size_t len, size_t *used) {
    *used = len;
    if (stream->lenient & CAM_H1_LENIENT_AFTER_CLOSE) {
        return CAM_H1_EVENT_MORE;
    }
    for (size_t i = 0; i < len; i++) {
        if ((buf[i] != '\r' && buf[i] != '\n') ||
            ++stream->empty_lines > 2 * CAM_H1_MAX_EMPTY_LINES) {
            return CAM_H1_E_AFTER_CLOSE;
        }
    }
    return CAM_H1_EVENT_MORE;
}

static int next(cam_h1_stream *stream, const char *buf, size_t len, size_t *used,
                cam_h1_event *event) {
    switch ((enum state)stream->state) {
    case IDLE:
        return idle(stream, buf, len, used);
    case START_LINE:
        return start_line(stream, buf, len, used, event);
    case FIELDS:
    case TRAILERS:
        return fields(stream, buf, len, used, event);
    case LENGTH_BODY:
        return length_body(stream, buf, len, used, event);
    case CLOSE_BODY:
        return body((cam_slice){buf, len}, used, event);
    case CHUNKED_BODY:
        return chunked_body(stream, buf, len, used, &event->text);
    case COMPLETE:
        return complete(stream, used);
    case UPGRADED:
        *used = 0;
        stream->state = IDLE;
        return CAM_H1_EVENT_UPGRADE;
    case CLOSED:
        return closed(stream, buf, len, used);
    default: /* FAILED */
        return stream->error;
    }
}

bool cam_h1_stream_more_body(cam_h1_stream *stream, const char *buf, size_t len, size_t *consumed,
                             cam_slice *text) {
    *consumed = 0;
    if (stream->state != CHUNKED_BODY || !stream->chunks_untold) {
        return false;
    }
    int result = chunked_body(stream, buf, len, consumed, text);
    if (result < 0) {
        *consumed = 0;
        (void)fail(stream, result); /* which the next call says */
    }
    return result == CAM_H1_EVENT_BODY;
}

bool cam_h1_stream_at_block(const cam_h1_stream *stream) {
    return stream->state == FIELDS && stream->headers == 0 && stream->kept_len == 0 &&
           !stream->carriage_return;
}

cam_h1_told_block cam_h1_stream_told_block(const cam_h1_stream *stream, size_t len) {
    return (cam_h1_told_block){.fields = stream->fields, .len = len};
}

int cam_h1_stream_pass_block(cam_h1_stream *stream, const cam_h1_told_block *block) {
    /* Another start line may be before it than was then. */
    if (stream->head_bytes + block->len > stream->limits.max_head_bytes) {
        return fail(stream, CAM_H1_E_HEAD_LENGTH);
    }
    stream->split = false; /* if nothing came for it in an earlier call */
    stream->fields = block->fields;
    stream->head_bytes += block->len;
    int result = end_head(stream);
    return result < 0 ? fail(stream, result) : result;
}

int cam_h1_stream_next(cam_h1_stream *stream, const char *buf, size_t len, size_t *consumed,
                       cam_h1_event *event) {
    *consumed = 0;
    enum state state;
    int result;
    do {
        if (stream->kept != NULL && !stream->split) {
            cam_h1_stream_fini(stream); /* the line that it belonged to has been told */
        }
        /* A start line's end may be no event: the state tells that there is more to be seen. */
        size_t used = 0;
        state = (enum state)stream->state;
        result = next(stream, buf + *consumed, len - *consumed, &used, event);
        *consumed += used;
    } while ((result == CAM_H1_EVENT_MORE && state != (enum state)stream->state) ||
             (result > CAM_H1_EVENT_MORE && stream->untold >> result & 1));
    return result < 0 ? fail(stream, result) : result;
}
