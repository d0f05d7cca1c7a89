/* SPDX-License-Identifier: MIT */
/*
 * From bytes to lines, and from lines to a request.
 *
 * The bytes are gone through once, line by line, each line being judged as soon as its end is
 * there. When a head comes in several pieces its lines have been checked but the slices made
 * then are gone (the buffer may have moved), so once its end is found it is read again in whole:
 * at most twice the work, and no state to carry over.
 */
#include "http/h1.h"

#include <string.h>

#include "http/chars.h"
#include "http/h1_private.h"
#include "http/scan.h"

const cam_h1_limits cam_h1_default_limits = {
    .max_request_line = 16 * 1024,
    .max_header_line = 16 * 1024,
    .max_headers = 128,
    .max_head_bytes = 64 * 1024,
};

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Why the request line in buf[from .. to) is too long: RFC 9112 section 3 tells a method longer
 * than any (501) from a target longer than any (414). */
static int too_long(const char *buf, size_t from, size_t to) {
    bool method = to > from && cam_char_span(buf + from, to - from, CAM_CHAR_TOKEN) == to - from;
    return method ? CAM_H1_E_METHOD_LENGTH : CAM_H1_E_TARGET_LENGTH;
}

/* What it means that no line ends at `at`, where the search for its end stopped: CAM_H1_MORE, or an
 * error. `stop` is where it had to stop, line_end the first place that is too far for the line. */
static int no_line_end(const char *buf, size_t len, const cam_h1_scan *scan,
                       const cam_h1_limits *limits, size_t at, size_t stop, size_t line_end) {
    if (at == line_end) {
        return scan->in_headers ? CAM_H1_E_FIELD_LENGTH : too_long(buf, scan->line, line_end);
    }
    bool carriage_return = at < stop;
    if (carriage_return && buf[at] != '\r') {
        return buf[at] == '\n' ? CAM_H1_E_BARE_LF : CAM_H1_E_CONTROL;
    }
    /* Here is a CR, the end of the bytes, or the end of what a head may have. */
    if (at + carriage_return >= limits->max_head_bytes) {
        return scan->in_headers ? CAM_H1_E_HEAD_LENGTH : too_long(buf, scan->line, at);
    }
    return carriage_return && at + 1 < len ? CAM_H1_E_BARE_CR : CAM_H1_MORE;
}

/*
 * Looks for the end of the line at scan->line. 1 with *end at its CRLF, CAM_H1_MORE, or an error.
 *
 * Every decision is taken at the first byte that allows it, and limits are compared with places
 * and never with len, so the answer does not depend on how much has arrived. head_stop is the end
 * of the bytes or of what a head may have.
 */
static inline int find_line_end(const char *buf, size_t len, cam_h1_scan *scan,
                                const cam_h1_limits *limits, size_t head_stop, size_t *end) {
    size_t longest = scan->in_headers ? limits->max_header_line : limits->max_request_line;
    size_t line_end = SIZE_MAX - scan->line > longest ? scan->line + longest + 1 : SIZE_MAX;
    size_t stop = min_size(line_end, head_stop);
    /* A caller that breaks its word, with fewer bytes or other limits than before, gets a wrong
     * answer but no read outside its buffer. */
    size_t at = cam_scan_control(buf, min_size(scan->offset, stop), stop);
    scan->offset = at;
    if (at < stop && at + 1 < head_stop && memcmp(buf + at, "\r\n", 2) == 0) {
        *end = at;
        return 1;
    }
    return no_line_end(buf, len, scan, limits, at, stop, line_end);
}

int cam__h1_judge_transfer(uint32_t seen, int minor_version) {
    if (minor_version == 0) {
        return CAM_H1_E_TRANSFER_VERSION;
    }
    if (seen & CAM__SEEN_LENGTH) {
        return CAM_H1_E_TRANSFER_AND_LENGTH;
    }
    if (!(seen & CAM__SEEN_CHUNKED) || seen & CAM__SEEN_AFTER_CHUNKED) {
        return CAM_H1_E_TRANSFER_ENCODING;
    }
    return seen & CAM__SEEN_OTHER_CODING ? CAM_H1_E_TRANSFER_CODING : 0;
}

/* What request line and header lines mean together, once both are there. 0 or an error. */
static int conclude(cam_h1_request *request) {
    const cam_h1_fields *fields = &request->fields;
    uint32_t seen = fields->seen;
    if (seen & CAM__SEEN_HOST_AGAIN) {
        return CAM_H1_E_HOST_REPEATED;
    }
    if (!(seen & CAM__SEEN_HOST) && request->minor_version == 1) {
        return CAM_H1_E_HOST_MISSING;
    }
    if (seen & CAM__SEEN_LENGTH_AGAIN) {
        return CAM_H1_E_CONTENT_LENGTH_REPEATED;
    }
    if (seen & CAM__SEEN_TRANSFER) {
        int error = cam__h1_judge_transfer(seen, request->minor_version);
        if (error < 0) {
            return error;
        }
    }
    if (request->host.len == 0 && seen & CAM__SEEN_HOST) {
        request->host =
            (cam_slice){request->header_block.ptr + fields->host_offset, fields->host_len};
    }
    request->header_count = fields->count;
    request->content_length = fields->content_length;

    bool persistent = request->minor_version == 1 || seen & CAM__SEEN_KEEP_ALIVE;
    request->flags = persistent && !(seen & CAM__SEEN_CLOSE) ? CAM_H1_KEEP_ALIVE : 0;
    if (seen & CAM__SEEN_TRANSFER) {
        request->flags |= CAM_H1_CHUNKED;
    }
    if (request->minor_version == 1) {
        if (seen & CAM__SEEN_EXPECT_CONTINUE && !cam_h1_has_no_body(request)) {
            request->flags |= CAM_H1_EXPECT_CONTINUE;
        }
        if (seen & CAM__SEEN_UPGRADE && seen & CAM__SEEN_CONNECTION_UPGRADE) {
            request->flags |= CAM_H1_UPGRADE;
        }
    }
    return 0;
}

/* True when the header block at `block` is the memo's, whole and within the limits. */
static bool is_memo(const cam_h1_memo *memo, const char *buf, size_t len, size_t block,
                    const cam_h1_limits *limits, size_t max_headers) {
    return memo != NULL && memo->block.len > 0 && len - block >= memo->block.len &&
           block + memo->block.len <= limits->max_head_bytes && memo->fields.count <= max_headers &&
           memcmp(buf + block, memo->block.ptr, memo->block.len) == 0;
}

/* Reads lines from where the scan stands to the end of the head: its length, CAM_H1_MORE or an
 * error. Unless that was the start of the head, only the verdict on each line is of use. */
static int read_lines(cam_h1_request *request, const char *buf, size_t len, cam_h1_scan *scan,
                      const cam_h1_limits *limits, const cam_h1_memo *memo) {
    size_t max_headers = min_size(limits->max_headers, request->header_capacity);
    size_t head_stop = min_size(len, limits->max_head_bytes);
    cam_h1_scan here = *scan; /* a copy stays in registers */
    size_t block = here.line;
    request->fields = (cam_h1_fields){.content_length = -1};
    request->from_memo = false;
    int result = 0; /* becomes the length of the head or an error */
    while (result == 0) {
        size_t end = 0;
        result = find_line_end(buf, len, &here, limits, head_stop, &end);
        if (result <= 0) {
            break;
        }
        const char *line = buf + here.line;
        size_t line_len = end - here.line;
        here.line = here.offset = end + 2;
        if (here.in_headers && line_len > 0) {
            result = CAM_H1_E_FIELD_COUNT;
            if (here.headers < max_headers) {
                result = cam__h1_read_field(&request->headers[here.headers], &request->fields, line,
                                            line_len, buf + block);
                here.headers++;
            }
        } else if (here.in_headers) {
            request->fields.count = here.headers;
            request->header_block = (cam_slice){buf + block, here.line - block};
            result = (int)here.line;
        } else if (line_len > 0) {
            result = cam__h1_read_request_line(request, line, line_len);
            here.in_headers = true;
            block = here.line;
            if (result == 0 && request->target_form != CAM_H1_TARGET_ABSOLUTE &&
                is_memo(memo, buf, len, block, limits, max_headers)) {
                request->from_memo = true;
                request->fields = memo->fields;
                request->header_block = (cam_slice){buf + block, memo->block.len};
                result = (int)(block + memo->block.len);
            }
        } else {
            result = ++here.empty_lines > CAM_H1_MAX_EMPTY_LINES ? CAM_H1_E_EMPTY_LINES : 0;
        }
    }
    *scan = here;
    return result;
}

int cam_h1_parse_request(cam_h1_request *request, const char *buf, size_t len, cam_h1_scan *scan,
                         const cam_h1_limits *limits, const cam_h1_memo *memo) {
    bool resumed = scan->in_headers;
    int end = read_lines(request, buf, len, scan, limits, memo);
    if (end > 0 && resumed) {
        cam_h1_scan again = {0};
        end = read_lines(request, buf, (size_t)end, &again, limits, memo);
    }
    if (end <= 0) {
        return end;
    }
    int error = conclude(request);
    return error < 0 ? error : end;
}
