/* SPDX-License-Identifier: MIT */
/* The request line: method SP request-target SP HTTP-version (RFC 9112 section 3). */
#include <string.h>

#include "http/authority.h"
#include "http/chars.h"
#include "http/h1_private.h"
#include "http/scan.h"

static bool slice_is(cam_slice slice, const char *text, size_t len) {
    return slice.len == len && memcmp(slice.ptr, text, len) == 0;
}
#define SLICE_IS(slice, literal) slice_is(slice, literal, sizeof(literal) - 1)

/* HTTP-version, RFC 9112 section 2.3. A minor version above ours is read as ours (RFC 9110 section
 * 2.5); of the major versions this is the first (section 15.6.6). */
static int read_version(cam_h1_request *request, const char *text, size_t len) {
    if (len == 8 && memcmp(text, "HTTP/1.1", 8) == 0) {
        request->minor_version = 1;
        return 0;
    }
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !cam_char_is(text[5], CAM_CHAR_DIGIT) ||
        text[6] != '.' || !cam_char_is(text[7], CAM_CHAR_DIGIT)) {
        return CAM_H1_E_VERSION;
    }
    if (text[5] != '1') {
        return CAM_H1_E_VERSION_UNSUPPORTED;
    }
    request->minor_version = text[7] != '0';
    return 0;
}

/* Cuts path?query in two. */
static void split_path(cam_h1_request *request, const char *text, size_t len) {
    const char *mark = memchr(text, '?', len);
    if (mark == NULL) {
        request->path = (cam_slice){text, len};
        request->query = (cam_slice){text + len, 0};
    } else {
        request->path = (cam_slice){text, (size_t)(mark - text)};
        request->query = (cam_slice){mark + 1, len - request->path.len - 1};
    }
}

/* absolute-form: a URI whose authority counts instead of Host (RFC 9112 section 3.2.2). Schemes
 * other than http and https name nothing that this server could hold. */
static int read_absolute_form(cam_h1_request *request) {
    const char *text = request->target.ptr;
    size_t len = request->target.len;
    size_t at;
    if (len > 7 && cam_char_equal(text, "http://", 7)) {
        at = 7;
    } else if (len > 8 && cam_char_equal(text, "https://", 8)) {
        at = 8;
    } else {
        return CAM_H1_E_TARGET;
    }
    size_t end = at;
    while (end < len && text[end] != '/' && text[end] != '?') {
        end++;
    }
    cam_authority authority;
    if (!cam_authority_parse(&authority, text + at, end - at)) {
        return CAM_H1_E_TARGET;
    }
    request->target_form = CAM_H1_TARGET_ABSOLUTE;
    request->host = (cam_slice){text + at, end - at};
    split_path(request, text + end, len - end);
    if (request->path.len == 0) {
        request->path = (cam_slice){"/", 1}; /* RFC 9110 section 4.2.3 */
    }
    return 0;
}

/* authority-form, for CONNECT: host and port, neither may be left out (section 3.2.3). */
static int read_authority_form(cam_h1_request *request) {
    cam_authority authority;
    if (!cam_authority_parse(&authority, request->target.ptr, request->target.len) ||
        authority.port < 0) {
        return CAM_H1_E_TARGET;
    }
    request->target_form = CAM_H1_TARGET_AUTHORITY;
    request->host = request->target;
    request->path = request->query = (cam_slice){request->target.ptr + request->target.len, 0};
    return 0;
}

static int read_target(cam_h1_request *request) {
    if (SLICE_IS(request->method, "CONNECT")) {
        return read_authority_form(request);
    }
    if (request->target.ptr[0] == '/') {
        request->target_form = CAM_H1_TARGET_ORIGIN;
        split_path(request, request->target.ptr, request->target.len);
        return 0;
    }
    if (SLICE_IS(request->target, "*")) {
        request->target_form = CAM_H1_TARGET_ASTERISK;
        split_path(request, request->target.ptr, request->target.len);
        return SLICE_IS(request->method, "OPTIONS") ? 0 : CAM_H1_E_TARGET;
    }
    return read_absolute_form(request);
}

int cam__h1_read_request_line(cam_h1_request *request, const char *line, size_t len) {
    size_t method = cam_char_span(line, len, CAM_CHAR_TOKEN);
    if (method == 0 || (method < len && line[method] != ' ')) {
        return CAM_H1_E_METHOD;
    }
    if (method == len) {
        return CAM_H1_E_REQUEST_LINE;
    }
    const char *text = line + method + 1;
    size_t left = len - method - 1;
    /* Most targets are either short or long. */
    size_t target = cam_char_span(text, left < 8 ? left : 8, CAM_CHAR_TARGET);
    if (target == 8) {
        target = cam_scan(line, method + 9, len, cam_scan_no_target) - method - 1;
    }
    if (target < left && text[target] != ' ') {
        return CAM_H1_E_TARGET;
    }
    if (target == 0 || target == left) {
        return CAM_H1_E_REQUEST_LINE;
    }
    request->method = (cam_slice){line, method};
    request->target = (cam_slice){text, target};
    request->host = (cam_slice){line, 0};
    int error = read_version(request, text + target + 1, left - target - 1);
    return error < 0 ? error : read_target(request);
}
