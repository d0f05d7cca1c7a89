/* SPDX-License-Identifier: MIT */
/* The head of a response: its status line (RFC 9112 section 4) and what frames it (section 6.3). */
#include <string.h>

#include "http/chars.h"
#include "http/h1_stream_private.h"

/* "HTTP/1.1 200", whose length is always the same; the reason comes after one more space. */
static const char pattern[] = "HTTP/#.# ###";
enum { PATTERN_LEN = sizeof(pattern) - 1, MAJOR_AT = 5, MINOR_AT = 7, STATUS_AT = 9 };

int cam__h1_begin_response(cam_h1_stream *stream, const char *line, size_t len, cam_slice *reason) {
    *reason = (cam_slice){NULL, 0};
    for (size_t i = 0; i < PATTERN_LEN && i < len; i++) {
        bool fits =
            pattern[i] == '#' ? cam_char_is(line[i], CAM_CHAR_DIGIT) : line[i] == pattern[i];
        if (!fits) {
            return i < MAJOR_AT    ? CAM_H1_E_STATUS_LINE
                   : i < STATUS_AT ? CAM_H1_E_VERSION
                                   : CAM_H1_E_STATUS;
        }
        if (i == MAJOR_AT && line[i] != '1' && !(stream->lenient & CAM_H1_LENIENT_VERSION)) {
            return CAM_H1_E_VERSION_UNSUPPORTED;
        }
        /* Below 100 there is no class to treat it as one of (RFC 9110 section 15). */
        if (i == STATUS_AT && line[i] == '0') {
            return CAM_H1_E_STATUS;
        }
    }
    if (len <= PATTERN_LEN) {
        return 0; /* the space may be missing where the reason is: many servers leave it out */
    }
    if (line[PATTERN_LEN] != ' ') {
        return CAM_H1_E_STATUS;
    }
    *reason = (cam_slice){line + PATTERN_LEN + 1, len - PATTERN_LEN - 1};
    return 0;
}

int cam__h1_end_response(cam_h1_stream *stream, const char *line, size_t len) {
    if (len < PATTERN_LEN) {
        return len < MAJOR_AT    ? CAM_H1_E_STATUS_LINE
               : len < STATUS_AT ? CAM_H1_E_VERSION
                                 : CAM_H1_E_STATUS;
    }
    stream->major_version = (uint8_t)(line[MAJOR_AT] - '0');
    stream->minor_version = (uint8_t)(line[MINOR_AT] - '0');
    stream->status = (uint16_t)((line[STATUS_AT] - '0') * 100 + (line[STATUS_AT + 1] - '0') * 10 +
                                (line[STATUS_AT + 2] - '0'));
    return 0;
}

/*
 * RFC 9112 section 6.3, but for what a response cannot know: that it answers a HEAD or a CONNECT.
 * A client that reads such a response tells by other means that no body follows.
 */
static int frame_response(const cam_h1_stream *stream) {
    uint32_t seen = stream->fields.seen;
    /* Item 1. 101 as well: what follows it is of another protocol. */
    if (stream->status / 100 == 1 || stream->status == 204 || stream->status == 304) {
        return CAM__FRAMING_NONE;
    }
    if (seen & CAM__SEEN_TRANSFER) {
        /* Item 3: an attempt at response splitting, to be treated as an error. */
        if (seen & CAM__SEEN_LENGTH && !(stream->lenient & CAM_H1_LENIENT_LENGTH)) {
            return CAM_H1_E_TRANSFER_AND_LENGTH;
        }
        /* Section 6.1: faulty framing. */
        if (stream->major_version == 1 && stream->minor_version == 0) {
            return CAM_H1_E_TRANSFER_VERSION;
        }
        /* "chunked" once, as section 6.1 demands, and last; else item 4. */
        if (seen & CAM__SEEN_CHUNKED && seen & CAM__SEEN_AFTER_CHUNKED &&
            !(stream->lenient & CAM_H1_LENIENT_CODING)) {
            return CAM_H1_E_TRANSFER_ENCODING;
        }
        return seen & CAM__SEEN_CHUNKED && !(seen & CAM__SEEN_AFTER_CHUNKED) ? CAM__FRAMING_CHUNKED
                                                                             : CAM__FRAMING_CLOSE;
    }
    /* Items 5, 6 and 8. */
    if (!(seen & CAM__SEEN_LENGTH)) {
        return CAM__FRAMING_CLOSE;
    }
    return stream->fields.content_length > 0 ? CAM__FRAMING_LENGTH : CAM__FRAMING_NONE;
}

int cam__h1_judge_response(cam_h1_stream *stream) {
    uint32_t seen = stream->fields.seen;
    if (seen & CAM__SEEN_LENGTH_AGAIN) {
        return CAM_H1_E_CONTENT_LENGTH_REPEATED;
    }
    int framing = frame_response(stream);
    if (framing < 0) {
        return framing;
    }
    /* RFC 9112 section 9.3. */
    bool persistent =
        stream->major_version > 1 || stream->minor_version > 0 || seen & CAM__SEEN_KEEP_ALIVE;
    stream->keep_alive = persistent && !(seen & CAM__SEEN_CLOSE) && framing != CAM__FRAMING_CLOSE;
    /* With any other status Upgrade only says what could be (RFC 9110 section 7.8). */
    stream->upgrade = stream->status == 101;
    return framing;
}
