/* SPDX-License-Identifier: MIT */
/*
 * A stream of HTTP/1.1 messages, requests or responses, as events: each is told as soon as its
 * bytes are there (RFC 9112).
 *
 * For whoever wants to be called back while a head is still coming in, as httptools does. Our own
 * server does not: it pulls whole heads (h1.h). Both read lines by the same functions, so what one
 * refuses the other refuses too. The events and the outcome for given bytes do not depend on how
 * they were split over calls, but for pieces: targets, reasons and bodies are handed out as they
 * come.
 *
 * A pull parser: no input, no output, no callbacks, no user code; belongs to whichever thread calls
 * it. It allocates only to keep a line that is not complete yet, within the limits.
 */
#ifndef CAM_HTTP_H1_STREAM_H
#define CAM_HTTP_H1_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/chunked.h"
#include "http/h1.h"
#include "http/h1_methods.h"

/* What cam_h1_stream_next found; an error is a negative CAM_H1_E_* or CAM_H1_STREAM_NO_MEMORY. */
typedef enum cam_h1_event_kind {
    CAM_H1_EVENT_MORE = 0, /* all bytes are used up */
    CAM_H1_EVENT_BEGIN,    /* the first byte of a message is there; nothing used up */
    CAM_H1_EVENT_TARGET,   /* text: the next piece of the request target; never empty */
    CAM_H1_EVENT_REASON,   /* text: the next piece of the reason phrase; never empty */
    CAM_H1_EVENT_FIELD,    /* name, text (the value) and name_id: a header or trailer line */
    CAM_H1_EVENT_FOLDED,   /* text: more of the value before, with the white space it begins with */
    CAM_H1_EVENT_HEAD,     /* the head is complete; what the stream says of it is valid */
    CAM_H1_EVENT_CHUNK,    /* a chunk begins, the last one included; see chunks_untold */
    CAM_H1_EVENT_BODY,     /* text: the next piece of the body; never empty */
    CAM_H1_EVENT_CHUNK_END, /* a chunk is complete; of the last one, the trailer section too */
    CAM_H1_EVENT_END,       /* the message is complete */
    /* What follows is of another protocol: after CAM_H1_EVENT_END, instead of the next message.
     * A caller that goes on all the same begins a new message. */
    CAM_H1_EVENT_UPGRADE,
} cam_h1_event_kind;

/* There is no memory for the line that is not complete. */
#define CAM_H1_STREAM_NO_MEMORY (-1000)

/* The slices are good until the next call. */
typedef struct cam_h1_event {
    cam_slice name; /* as sent */
    cam_slice text;
    uint16_t name_id; /* cam_h1_name */
} cam_h1_event;

/*
 * What a stream lets pass although the grammar forbids it. Each lets two parsers on the way
 * disagree about where a message ends or what it says, which is what smuggling lives on: for
 * peers that are known and cannot be mended. Sections are RFC 9112's where no other is named.
 */
enum {
    /* Values with control characters but CR, LF and NUL (RFC 9110 section 5.5), and folded over
     * lines (section 5.2), but for those that frame the message. */
    CAM_H1_LENIENT_VALUE = 1 << 0,
    /* Content-Length beside Transfer-Encoding, which then counts (section 6.3, item 3). */
    CAM_H1_LENIENT_LENGTH = 1 << 1,
    /* A message after one that was to be the last (section 9.6). */
    CAM_H1_LENIENT_KEEP_ALIVE = 1 << 2,
    /* A request whose last transfer coding is not "chunked": its body ends with the connection
     * (section 6.3, item 4); and other codings before "chunked" (section 6.1). */
    CAM_H1_LENIENT_CODING = 1 << 3,
    /* Versions other than 1.x, read as 1.1 (section 2.3). */
    CAM_H1_LENIENT_VERSION = 1 << 4,
    /* Bytes after the last message, which are dropped (section 9.6). */
    CAM_H1_LENIENT_AFTER_CLOSE = 1 << 5,
    /* A line that ends in CR alone (section 2.2). */
    CAM_H1_LENIENT_LF = 1 << 6,
    /* A line that ends in LF alone (section 2.2). */
    CAM_H1_LENIENT_CR = 1 << 7,
    /* Chunk data with no CRLF behind (section 7.1). */
    CAM_H1_LENIENT_CHUNK_END = 1 << 8,
    /* White space behind a chunk's size (section 7.1). */
    CAM_H1_LENIENT_CHUNK_SPACE = 1 << 9,
    /* A request in HTTP/1.1 without Host, with several, or with a wrong one (section 3.2). */
    CAM_H1_LENIENT_HOST = 1 << 10,
};

typedef struct cam_h1_stream_limits {
    size_t max_line;       /* start line, each header and trailer line, without line end; bytes */
    size_t max_headers;    /* header lines of a head; again, trailer lines */
    size_t max_head_bytes; /* a whole head, line ends included; again, a trailer section */
    uint32_t max_extension_bytes; /* all chunk extensions of a body together */
} cam_h1_stream_limits;

/* 16 KiB a line, 128 headers, 64 KiB in all, 4 KiB of chunk extensions. */
extern const cam_h1_stream_limits cam_h1_stream_default_limits;

typedef struct cam_h1_stream {
    /* What the last head said. Of the start line as soon as that is complete (the method as soon as
     * it is), of the rest from CAM_H1_EVENT_HEAD until the next message begins. */
    cam_h1_method method;
    uint16_t status; /* of a response */
    uint8_t major_version;
    uint8_t minor_version;
    bool keep_alive; /* another message may follow this one */
    bool upgrade;    /* CAM_H1_EVENT_UPGRADE will come at its end */

    /* Set by the caller at any time. */
    uint32_t lenient;
    /* What the caller has no use for is passed over: of CAM_H1_EVENT_BEGIN and _END, 1 << kind; and
     * of chunks all but the end of the last one. */
    uint16_t untold;
    bool chunks_untold;

    /* Private. */
    cam_h1_stream_limits limits;
    bool response;
    bool split;           /* the line being read began in an earlier call */
    bool carriage_return; /* its end has begun: a CR that the kept bytes do not hold */
    uint8_t state;
    int16_t error; /* once wrong, always wrong */
    uint16_t last_name;
    uint32_t empty_lines;
    cam_h1_fields fields;
    size_t headers;     /* lines of the present section */
    size_t head_bytes;  /* of the present section, in lines that are complete */
    size_t told;        /* bytes of the target or reason that are handed out */
    uint64_t remaining; /* bytes of a body with a length */
    cam_chunked chunked;
    char *kept; /* the present line's bytes of earlier calls, owned */
    size_t kept_len;
    size_t kept_capacity;
} cam_h1_stream;

/* Makes a stream of requests, or of responses. limits may be NULL for the default. */
void cam_h1_stream_init(cam_h1_stream *stream, bool response, const cam_h1_stream_limits *limits);

/* Frees what the stream holds. */
void cam_h1_stream_fini(cam_h1_stream *stream);

/*
 * Takes the next bytes and finds the next event: a cam_h1_event_kind or an error.
 *
 * *consumed becomes the number of bytes used up. After CAM_H1_EVENT_MORE that is all of them; after
 * an error, which every further call returns again, it means nothing. A response whose length
 * nothing tells goes on until the caller stops.
 */
int cam_h1_stream_next(cam_h1_stream *stream, const char *buf, size_t len, size_t *consumed,
                       cam_h1_event *event);

/*
 * After CAM_H1_EVENT_BODY: whether more of the body comes next, for callers that put pieces
 * together. True with the next piece in *text. Otherwise cam_h1_stream_next() is to be asked, with
 * what is behind *consumed, which is set in both cases. Only chunks, with chunks_untold, are looked
 * through for more.
 */
bool cam_h1_stream_more_body(cam_h1_stream *stream, const char *buf, size_t len, size_t *consumed,
                             cam_slice *text);

/* Whether the bytes so far hold the beginning of another field line, so that the one before it
 * cannot go on. To be asked after CAM_H1_EVENT_MORE. */
bool cam_h1_stream_in_field(const cam_h1_stream *stream);

/*
 * A header block that was told before. Clients send the same one again and again: a caller that
 * keeps its bytes, from the end of the start line to the end of the head, may compare them instead
 * of having them parsed. To be used only under the limits and leniencies it was made under.
 */
typedef struct cam_h1_told_block {
    cam_h1_fields fields;
    size_t len; /* bytes */
} cam_h1_told_block;

/* Whether the next byte is the first of a header block. */
bool cam_h1_stream_at_block(const cam_h1_stream *stream);

/* After CAM_H1_EVENT_HEAD: what to remember of a block of so many bytes. */
cam_h1_told_block cam_h1_stream_told_block(const cam_h1_stream *stream, size_t len);

/* At a block whose bytes are those remembered: goes behind it, as if its fields had been told.
 * CAM_H1_EVENT_HEAD, or an error. */
int cam_h1_stream_pass_block(cam_h1_stream *stream, const cam_h1_told_block *block);

#endif
