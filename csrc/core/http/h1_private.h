/* SPDX-License-Identifier: MIT */
/* What the files of the head parser share with each other and nobody else. */
#ifndef CAM_HTTP_H1_PRIVATE_H
#define CAM_HTTP_H1_PRIVATE_H

#include "http/h1.h"

/* cam_h1_fields.seen: what the header lines hold. Each line is judged by itself when it is read,
 * what they mean together when the head is complete, so that the verdict does not depend on how
 * the head arrived. */
enum {
    CAM__SEEN_HOST = 1 << 0,
    CAM__SEEN_HOST_AGAIN = 1 << 1,
    CAM__SEEN_LENGTH = 1 << 2,
    CAM__SEEN_LENGTH_AGAIN = 1 << 3,
    CAM__SEEN_TRANSFER = 1 << 4,
    CAM__SEEN_CHUNKED = 1 << 5,       /* the coding "chunked" */
    CAM__SEEN_AFTER_CHUNKED = 1 << 6, /* any coding after it, itself included */
    CAM__SEEN_OTHER_CODING = 1 << 7,
    CAM__SEEN_CLOSE = 1 << 8, /* options of Connection */
    CAM__SEEN_KEEP_ALIVE = 1 << 9,
    CAM__SEEN_CONNECTION_UPGRADE = 1 << 10,
    CAM__SEEN_UPGRADE = 1 << 11,
    CAM__SEEN_EXPECT_CONTINUE = 1 << 12,
};

/* Reads a request line without its CRLF: method, target and its parts, version. 0 or an error.
 * request->host is set for the forms that hold a host, and empty otherwise. */
int cam__h1_read_request_line(cam_h1_request *request, const char *line, size_t len);

/* Reads a header line without its CRLF, which holds no control character but HTAB, into *header
 * and adds to *fields what it means. 0 or an error. block is where the header block begins. */
int cam__h1_read_field(cam_h1_header *header, cam_h1_fields *fields, const char *line, size_t len,
                       const char *block);

/* What the transfer codings of a request come to (RFC 9112 sections 6.1 and 6.3), from
 * cam_h1_fields.seen. 0 or an error. */
int cam__h1_judge_transfer(uint32_t seen, int minor_version);

#endif
