/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1.1 request: request line and header lines (RFC 9112 sections 2 to 6).
 *
 * A pull parser without input or output: the caller shows it the bytes received so far, it
 * either asks for more or fills in a cam_h1_request whose slices point into those bytes. It
 * allocates nothing, holds nothing between calls but the few numbers of a cam_h1_scan, runs no
 * user code, and belongs to whichever thread calls it.
 *
 * It is strict, because what two parsers read differently can be used to smuggle requests: lines
 * end in CRLF alone, nothing is folded, trimmed or guessed, and a head that is wrong is wrong at
 * the first wrong line whichever way the network cut the bytes up. The outcome for given bytes
 * never depends on how they were split over calls.
 */
#ifndef CAM_HTTP_H1_H
#define CAM_HTTP_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/h1_error.h"
#include "http/h1_names.h"

/* Returned by cam_h1_parse_request when the head is not complete yet. */
#define CAM_H1_MORE 0

/* Empty lines ignored before a request line (RFC 9112 section 2.2 asks for at least one). */
#define CAM_H1_MAX_EMPTY_LINES 2

/* Bounds on what a peer can make us hold; sizes in bytes. What passes one is answered with 414 in
 * the request line (501 when that is all method; RFC 9112 section 3) and with 431 behind it
 * (RFC 6585 section 5). Those of a chunked body are in chunked.h. */
typedef struct cam_h1_limits {
    size_t max_request_line; /* the request line, without its CRLF */
    size_t max_header_line;  /* each header line, without its CRLF */
    size_t max_headers;      /* header lines */
    size_t max_head_bytes;   /* the whole head, all line ends included; at most INT_MAX */
} cam_h1_limits;

/* 16 KiB a line, 128 headers, 64 KiB in all. */
extern const cam_h1_limits cam_h1_default_limits;

/* One header line. The name is as sent: lower-casing is left to the caller, and needless when
 * name_id is not CAM_H1_NAME_UNKNOWN. The value has no white space at its ends. */
typedef struct cam_h1_header {
    cam_slice name;
    cam_slice value;
    uint16_t name_id; /* cam_h1_name */
} cam_h1_header;

/* The four forms of a request target (RFC 9112 section 3.2). */
typedef enum cam_h1_target_form {
    CAM_H1_TARGET_ORIGIN,    /* /path?query */
    CAM_H1_TARGET_ABSOLUTE,  /* http://host/path?query or https:// */
    CAM_H1_TARGET_ASTERISK,  /* *, with OPTIONS only */
    CAM_H1_TARGET_AUTHORITY, /* host:port, with CONNECT only */
} cam_h1_target_form;

/* Flags of a request. */
enum {
    CAM_H1_KEEP_ALIVE = 1 << 0, /* the client lets the connection be used again */
    CAM_H1_CHUNKED = 1 << 1,    /* a body in the chunked coding follows; see chunked.h */
    /* The client waits for "100 Continue" before it sends its body. Never set without a body or
     * in HTTP/1.0 (RFC 9110 section 10.1.1). */
    CAM_H1_EXPECT_CONTINUE = 1 << 2,
    /* There is an Upgrade header that Connection names, in HTTP/1.1 (RFC 9110 section 7.8). A
     * server that does not upgrade answers as if it was not there; the body is framed as ever. */
    CAM_H1_UPGRADE = 1 << 3,
};

/*
 * What the header lines alone say, whatever the request line was. Opaque but for reading: kept
 * apart so that a memo of it can be used for another request of the same client.
 */
typedef struct cam_h1_fields {
    int64_t content_length; /* -1 when there is no Content-Length */
    uint32_t host_offset;   /* the value of Host, counted from the start of the header block */
    uint32_t host_len;
    uint32_t count; /* header lines */
    uint32_t seen;  /* private to h1.c */
} cam_h1_fields;

/*
 * A header block read before. Clients send the same one again and again: when the bytes after
 * the request line are exactly these, they are compared instead of parsed. To be used only with
 * the limits it was made under. Never used for an absolute-form, whose authority takes the place
 * of Host in what is made of the headers.
 */
typedef struct cam_h1_memo {
    cam_slice block;      /* a copy of cam_h1_request.header_block, owned by the caller */
    cam_h1_fields fields; /* the cam_h1_request.fields that came with it */
} cam_h1_memo;

typedef struct cam_h1_request {
    /* Set by the caller before each call: room for the header lines. The number of headers is
     * bounded by header_capacity as well as by cam_h1_limits.max_headers. */
    cam_h1_header *headers;
    size_t header_capacity;

    /* Set by the parser when the head is complete, and undefined until then. */
    size_t header_count; /* with from_memo set, headers[] itself is not filled in */
    cam_slice method;    /* a token, case-sensitive */
    cam_slice target;    /* as sent */
    /* The path, still percent-encoded, never empty but in authority form: "*" in asterisk form,
     * and a constant "/" (not in the buffer) where an absolute form has none. */
    cam_slice path;
    cam_slice query; /* after the first '?', without it; empty when there is none */
    /* host[:port]: of the target if it has one, else the value of Host. Empty when HTTP/1.0
     * has none or a client sends an empty Host (RFC 9112 section 3.3 lets the server choose). */
    cam_slice host;
    cam_slice header_block; /* from the end of the request line to the end of the head */
    cam_h1_fields fields;
    int64_t content_length; /* bytes of body that follow, -1 without Content-Length */
    uint32_t flags;         /* CAM_H1_KEEP_ALIVE and the others above */
    cam_h1_target_form target_form;
    uint8_t minor_version; /* 0 or 1; 1 also for HTTP/1.2 to 1.9, see h1_request_line.c */
    bool from_memo;        /* the header block was the memo's; reuse what was made of it */
} cam_h1_request;

/*
 * How far the search for the end of a head has come. Set to zero for each new head, that is at
 * the start and after each return but CAM_H1_MORE; private otherwise. Counts from buf, so the
 * buffer may move between calls but must still begin with the same bytes.
 */
typedef struct cam_h1_scan {
    size_t line;          /* where the line not yet complete begins */
    size_t offset;        /* how far it was searched for its end */
    uint32_t empty_lines; /* read before the request line */
    uint32_t headers;     /* header lines read */
    bool in_headers;      /* the request line has been read */
} cam_h1_scan;

/*
 * Parses the head that buf[0 .. len) begins with.
 *
 * Returns the number of bytes of the head, with *request filled in: the body, or the next
 * request, begins there. CAM_H1_MORE when the bytes are a good beginning: call again with the
 * same bytes and more. One of CAM_H1_E_* when no continuation could be a request; limits and
 * wrong lines are reported as soon as the bytes that show them are there. The time over all
 * calls for one head is linear in its bytes.
 *
 * memo may be NULL. The slices borrow from buf.
 */
int cam_h1_parse_request(cam_h1_request *request, const char *buf, size_t len, cam_h1_scan *scan,
                         const cam_h1_limits *limits, const cam_h1_memo *memo);

/* No body follows this head: no Transfer-Encoding, no Content-Length or one of 0. */
static inline bool cam_h1_has_no_body(const cam_h1_request *request) {
    return !(request->flags & CAM_H1_CHUNKED) && request->content_length <= 0;
}

#endif
