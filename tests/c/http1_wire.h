/* SPDX-License-Identifier: MIT */
/*
 * One side of a connection, as a server reads it: heads, their bodies, the next head.
 *
 * Bytes go in by any cuts, and a text of what happened comes out that must not depend on them:
 *
 *   request METHOD TARGET HTTP/1.m path=P query=Q host=H keep-alive|close length=N|chunked|none
 *   NAME: VALUE                      each header line, indented by a space
 *   body LEN:BYTES                   when a body was announced
 *   end                              of the request
 *   error STATUS REASON              nothing more is read
 *   closed                           nothing more is read, after a request that says close
 *   more                             (by wire_finish) within a head or a body
 *
 * " expect" and " upgrade" end the first line where they apply. Every call of the parser gets its
 * bytes in an allocation of just their size, so that a sanitizer sees any read beyond them.
 */
#ifndef CAM_TESTS_HTTP1_WIRE_H
#define CAM_TESTS_HTTP1_WIRE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/chunked.h"
#include "http/h1.h"

#define WIRE_HEADERS 128

/* Bytes that grow; running out of memory ends the test. */
typedef struct wire_text {
    char *ptr;
    size_t len;
    size_t room;
} wire_text;

/* The header block of the last request, as a server keeps it. */
typedef struct wire_memo {
    wire_text block;
    wire_text headers; /* what was printed of them */
    cam_h1_fields fields;
} wire_memo;

typedef enum wire_phase {
    WIRE_HEAD,
    WIRE_LENGTH,
    WIRE_CHUNKED,
    WIRE_OVER, /* by an error or a close */
} wire_phase;

typedef struct wire {
    cam_h1_limits limits;
    cam_chunked_limits chunked_limits;
    cam_h1_scan scan;
    cam_chunked chunked;
    wire_phase phase;
    bool keep_alive;
    uint64_t left;   /* of a body by length */
    wire_memo *memo; /* to be used and brought up to date, or NULL */
    bool by_decode;  /* bodies through cam_chunked_decode, not cam_chunked_gather */
    wire_text held;  /* bytes of a head that is not complete */
    wire_text body;  /* of the present request */
    wire_text out;
} wire;

static inline void wire_add(wire_text *text, const char *bytes, size_t len) {
    if (text->room - text->len < len) {
        text->room = (text->len + len) * 2;
        text->ptr = realloc(text->ptr, text->room);
        if (text->ptr == NULL) {
            abort();
        }
    }
    if (len > 0) {
        memcpy(text->ptr + text->len, bytes, len);
        text->len += len;
    }
}

__attribute__((format(printf, 2, 3))) static inline void wire_print(wire_text *text,
                                                                    const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof(line)) {
        abort();
    }
    wire_add(text, line, (size_t)len);
}

/* "BARE_CR" for CAM_H1_E_BARE_CR and so on. */
static inline const char *wire_reason(int error) {
    static const char *const names[] = {
#define WIRE_NAME(name, status, text) #name,
        CAM_H1_ERRORS(WIRE_NAME)
#undef WIRE_NAME
    };
    return names[-1 - error];
}

static inline void wire_init(wire *self) {
    *self = (wire){.limits = cam_h1_default_limits, .chunked_limits = cam_chunked_default_limits};
}

static inline void wire_free(wire *self) {
    free(self->held.ptr);
    free(self->body.ptr);
    free(self->out.ptr);
}

static inline void wire_add_field(wire *self, const char *title, cam_slice value) {
    wire_print(&self->out, " %s", title);
    wire_add(&self->out, value.ptr, value.len);
}

static inline void wire_fail(wire *self, int error) {
    if (self->body.len > 0) {
        wire_print(&self->out, "body %zu:", self->body.len);
        wire_add(&self->out, self->body.ptr, self->body.len);
        wire_add(&self->out, "\n", 1);
        self->body.len = 0;
    }
    wire_print(&self->out, "error %d %s\n", cam_h1_error_status(error), wire_reason(error));
    self->phase = WIRE_OVER;
}

static inline void wire_end(wire *self) {
    wire_print(&self->out, "end\n");
    self->scan = (cam_h1_scan){0};
    self->phase = WIRE_HEAD;
    if (!self->keep_alive) {
        wire_print(&self->out, "closed\n");
        self->phase = WIRE_OVER;
    }
}

static inline void wire_end_body(wire *self) {
    wire_print(&self->out, "body %zu:", self->body.len);
    wire_add(&self->out, self->body.ptr, self->body.len);
    wire_add(&self->out, "\n", 1);
    self->body.len = 0;
    wire_end(self);
}

static inline void wire_print_headers(wire *self, const cam_h1_request *request) {
    size_t start = self->out.len;
    for (size_t i = 0; i < request->header_count; i++) {
        wire_add_field(self, "", request->headers[i].name);
        wire_print(&self->out, ": ");
        wire_add(&self->out, request->headers[i].value.ptr, request->headers[i].value.len);
        wire_print(&self->out, "\n");
    }
    if (self->memo != NULL) {
        self->memo->block.len = self->memo->headers.len = 0;
        wire_add(&self->memo->block, request->header_block.ptr, request->header_block.len);
        wire_add(&self->memo->headers, self->out.ptr + start, self->out.len - start);
        self->memo->fields = request->fields;
    }
}

static inline void wire_begin(wire *self, const cam_h1_request *request) {
    self->keep_alive = (request->flags & CAM_H1_KEEP_ALIVE) != 0;
    wire_print(&self->out, "request ");
    wire_add(&self->out, request->method.ptr, request->method.len);
    wire_add_field(self, "", request->target);
    wire_print(&self->out, " HTTP/1.%d", request->minor_version);
    wire_add_field(self, "path=", request->path);
    wire_add_field(self, "query=", request->query);
    wire_add_field(self, "host=", request->host);
    wire_print(&self->out, self->keep_alive ? " keep-alive" : " close");
    if (request->flags & CAM_H1_CHUNKED) {
        wire_print(&self->out, " chunked");
    } else if (request->content_length >= 0) {
        wire_print(&self->out, " length=%lld", (long long)request->content_length);
    } else {
        wire_print(&self->out, " none");
    }
    wire_print(&self->out, "%s%s\n", request->flags & CAM_H1_EXPECT_CONTINUE ? " expect" : "",
               request->flags & CAM_H1_UPGRADE ? " upgrade" : "");
    if (request->from_memo) {
        wire_add(&self->out, self->memo->headers.ptr, self->memo->headers.len);
    } else {
        wire_print_headers(self, request);
    }
    self->phase = WIRE_HEAD;
    if (request->flags & CAM_H1_CHUNKED) {
        cam_chunked_init(&self->chunked, &self->chunked_limits);
        self->phase = WIRE_CHUNKED;
    } else if (!cam_h1_has_no_body(request)) {
        self->left = (uint64_t)request->content_length;
        self->phase = WIRE_LENGTH;
    } else {
        wire_end(self);
    }
}

/* Each takes what it can use of the bytes; how many. */
static inline size_t wire_take_head(wire *self, const char *bytes, size_t len) {
    cam_h1_header headers[WIRE_HEADERS];
    cam_h1_request request = {.headers = headers, .header_capacity = WIRE_HEADERS};
    size_t kept = self->held.len;
    char *copy = malloc(kept + len);
    if (copy == NULL) {
        abort();
    }
    if (kept > 0) {
        memcpy(copy, self->held.ptr, kept);
    }
    memcpy(copy + kept, bytes, len);
    cam_h1_memo memo = {{NULL, 0}, {0}};
    if (self->memo != NULL) {
        memo = (cam_h1_memo){{self->memo->block.ptr, self->memo->block.len}, self->memo->fields};
    }
    int result =
        cam_h1_parse_request(&request, copy, kept + len, &self->scan, &self->limits, &memo);
    if (result == CAM_H1_MORE) {
        wire_add(&self->held, bytes, len);
    } else {
        self->held.len = 0;
        if (result < 0) {
            wire_fail(self, result);
        } else {
            wire_begin(self, &request);
        }
    }
    free(copy);
    return result > 0 ? (size_t)result - kept : len;
}

static inline size_t wire_take_length(wire *self, const char *bytes, size_t len) {
    size_t part = self->left < len ? (size_t)self->left : len;
    wire_add(&self->body, bytes, part);
    self->left -= part;
    if (self->left == 0) {
        wire_end_body(self);
    }
    return part;
}

static inline size_t wire_take_chunked(wire *self, const char *bytes, size_t len) {
    char *copy = malloc(len);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, len);
    size_t used = 0;
    size_t written = 0;
    int result = CAM_CHUNKED_DATA;
    if (!self->by_decode) {
        result = cam_chunked_gather(&self->chunked, copy, len, &used, &written);
        wire_add(&self->body, copy, written);
    }
    while (result == CAM_CHUNKED_DATA) {
        size_t part;
        cam_slice data;
        result = cam_chunked_decode(&self->chunked, copy + used, len - used, &part, &data);
        wire_add(&self->body, data.ptr, data.len);
        used += part;
    }
    free(copy);
    if (result < 0) {
        wire_fail(self, result);
        return len;
    }
    if (result == CAM_CHUNKED_DONE) {
        wire_end_body(self);
    }
    return used;
}

static inline void wire_feed(wire *self, const char *bytes, size_t len) {
    for (size_t at = 0; at < len && self->phase != WIRE_OVER;) {
        if (self->phase == WIRE_HEAD) {
            at += wire_take_head(self, bytes + at, len - at);
        } else if (self->phase == WIRE_LENGTH) {
            at += wire_take_length(self, bytes + at, len - at);
        } else {
            at += wire_take_chunked(self, bytes + at, len - at);
        }
    }
}

static inline void wire_finish(wire *self) {
    bool within_body = self->phase == WIRE_LENGTH || self->phase == WIRE_CHUNKED;
    if (within_body) {
        wire_print(&self->out, "body %zu:", self->body.len);
        wire_add(&self->out, self->body.ptr, self->body.len);
        wire_add(&self->out, "\n", 1);
    }
    if (within_body || (self->phase == WIRE_HEAD && self->held.len > 0)) {
        wire_print(&self->out, "more\n");
    }
}

#endif
