/* SPDX-License-Identifier: MIT */
/* The head of a request as it comes in: its line byte by byte, and what frames its body. */
#include <string.h>

#include "http/chars.h"
#include "http/h1_stream_private.h"

/* Whether text may go on to be a target that is neither a path nor "*" (RFC 9112 section 3.2.2). */
static bool begins_absolute(const char *text, size_t len) {
    static const char http[] = "http://", https[] = "https://";
    return cam_char_equal(text, http, len < sizeof(http) - 1 ? len : sizeof(http) - 1) ||
           cam_char_equal(text, https, len < sizeof(https) - 1 ? len : sizeof(https) - 1);
}

/* The method of the line, whose length is given back; 0 with *error set when there is none yet. */
static size_t begin_method(cam_h1_stream *stream, const char *line, size_t len, int *error) {
    size_t method = cam_char_span(line, len, CAM_CHAR_TOKEN);
    if (method < len && line[method] == ' ') {
        stream->method = cam_h1_method_find(line, method);
        *error = stream->method == CAM_H1_METHOD_UNKNOWN ? CAM_H1_E_METHOD_UNKNOWN : 0;
    } else if (!cam_h1_method_begins(line, method)) {
        *error = CAM_H1_E_METHOD_UNKNOWN; /* also of a longer line, which this is the start of */
    } else {
        *error = method < len ? CAM_H1_E_METHOD : 0;
        return 0;
    }
    if (method == 0) {
        *error = CAM_H1_E_METHOD;
    }
    return *error < 0 ? 0 : method;
}

int cam__h1_begin_request(cam_h1_stream *stream, const char *line, size_t len, cam_slice *target) {
    *target = (cam_slice){NULL, 0};
    int error = 0;
    size_t method = begin_method(stream, line, len, &error);
    if (method == 0) {
        return error;
    }
    const char *text = line + method + 1;
    size_t left = len - method - 1;
    /* What was handed out is known to be good. */
    size_t length =
        stream->told + cam_char_span(text + stream->told, left - stream->told, CAM_CHAR_TARGET);
    if (length < left && text[length] != ' ') {
        return CAM_H1_E_TARGET;
    }
    if (length == 0) {
        return left > 0 ? CAM_H1_E_REQUEST_LINE : 0;
    }
    if (stream->method != CAM_H1_METHOD_CONNECT && text[0] != '/' &&
        !(text[0] == '*' && length == 1) && !begins_absolute(text, length)) {
        return CAM_H1_E_TARGET;
    }
    *target = (cam_slice){text, length};
    return 0;
}

int cam__h1_end_request(cam_h1_stream *stream, const char *line, size_t len) {
    cam_h1_request request;
    int error = cam__h1_read_request_line(&request, line, len);
    if (error == CAM_H1_E_VERSION_UNSUPPORTED && stream->lenient & CAM_H1_LENIENT_VERSION) {
        error = 0; /* it is well-formed all the same */
    }
    if (error == 0) {
        stream->major_version = (uint8_t)(line[len - 3] - '0');
        stream->minor_version = (uint8_t)(line[len - 1] - '0');
    }
    return error;
}

bool cam__h1_whole_request(cam_h1_stream *stream, cam_slice line, cam_h1_event *event) {
    cam_h1_request request;
    if (cam__h1_read_request_line(&request, line.ptr, line.len) < 0) {
        return false;
    }
    cam_h1_method method = cam_h1_method_find(request.method.ptr, request.method.len);
    if (method == CAM_H1_METHOD_UNKNOWN) {
        return false;
    }
    stream->method = method;
    stream->major_version = (uint8_t)(line.ptr[line.len - 3] - '0');
    stream->minor_version = (uint8_t)(line.ptr[line.len - 1] - '0');
    stream->told = request.target.len;
    event->text = request.target;
    return true;
}

/* RFC 9112 section 6.3, as far as it is about requests: a cam__h1_framing or an error. */
static int frame_request(const cam_h1_stream *stream, bool persistent) {
    uint32_t seen = stream->fields.seen;
    if (seen & CAM__SEEN_TRANSFER) {
        if (stream->lenient & CAM_H1_LENIENT_LENGTH) {
            seen &= ~(uint32_t)CAM__SEEN_LENGTH;
        }
        int error = cam__h1_judge_transfer(seen, persistent ? 1 : 0);
        if (stream->lenient & CAM_H1_LENIENT_CODING) {
            if (error == CAM_H1_E_TRANSFER_ENCODING) {
                return CAM__FRAMING_CLOSE;
            }
            error = error == CAM_H1_E_TRANSFER_CODING ? 0 : error;
        }
        return error < 0 ? error : CAM__FRAMING_CHUNKED;
    }
    return stream->fields.content_length > 0 ? CAM__FRAMING_LENGTH : CAM__FRAMING_NONE;
}

int cam__h1_judge_request(cam_h1_stream *stream) {
    uint32_t seen = stream->fields.seen;
    bool persistent = stream->major_version > 1 || stream->minor_version > 0; /* by default */
    if (!(stream->lenient & CAM_H1_LENIENT_HOST)) {
        if (seen & CAM__SEEN_HOST_AGAIN) {
            return CAM_H1_E_HOST_REPEATED;
        }
        if (!(seen & CAM__SEEN_HOST) && persistent) {
            return CAM_H1_E_HOST_MISSING;
        }
    }
    if (seen & CAM__SEEN_LENGTH_AGAIN) {
        return CAM_H1_E_CONTENT_LENGTH_REPEATED;
    }
    int framing = frame_request(stream, persistent);
    if (framing < 0) {
        return framing;
    }
    bool connect = stream->method == CAM_H1_METHOD_CONNECT;
    if (connect) {
        framing = CAM__FRAMING_NONE; /* RFC 9110 section 9.3.6: the tunnel begins at once */
    }
    stream->keep_alive = (persistent || seen & CAM__SEEN_KEEP_ALIVE) && !(seen & CAM__SEEN_CLOSE) &&
                         framing != CAM__FRAMING_CLOSE;
    /* RFC 9110 section 7.8: not in HTTP/1.0, and only when Connection names it. */
    stream->upgrade =
        connect || (persistent && seen & CAM__SEEN_UPGRADE && seen & CAM__SEEN_CONNECTION_UPGRADE);
    return framing;
}
