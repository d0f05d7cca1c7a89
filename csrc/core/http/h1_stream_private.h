/* SPDX-License-Identifier: MIT */
/* What the files of the event parser share with each other and nobody else. */
#ifndef CAM_HTTP_H1_STREAM_PRIVATE_H
#define CAM_HTTP_H1_STREAM_PRIVATE_H

#include "http/h1_private.h"
#include "http/h1_stream.h"

/* How the body of a message is framed (RFC 9112 section 6.3). */
typedef enum cam__h1_framing {
    CAM__FRAMING_NONE,
    CAM__FRAMING_LENGTH,
    CAM__FRAMING_CHUNKED,
    CAM__FRAMING_CLOSE, /* up to the end of the connection */
} cam__h1_framing;

/* Judges the beginning of a request line: 0 if it may go on to be one, or the error that it will
 * come to. *target becomes as much of the target as is there, with ptr NULL before it begins. */
int cam__h1_begin_request(cam_h1_stream *stream, const char *line, size_t len, cam_slice *target);

/* Reads a complete request line. 0 or an error. */
int cam__h1_end_request(cam_h1_stream *stream, const char *line, size_t len);

/* Does both, and gives the target as a piece, for a line that came whole and has nothing wrong;
 * false leaves the rest to the other two. */
bool cam__h1_whole_request(cam_h1_stream *stream, cam_slice line, cam_h1_event *event);

/* The same two for a status line; *reason as *target. */
int cam__h1_begin_response(cam_h1_stream *stream, const char *line, size_t len, cam_slice *reason);
int cam__h1_end_response(cam_h1_stream *stream, const char *line, size_t len);

/* What a complete head means: sets keep_alive and upgrade, gives a cam__h1_framing or an error. */
int cam__h1_judge_request(cam_h1_stream *stream);
int cam__h1_judge_response(cam_h1_stream *stream);

#endif
