/* SPDX-License-Identifier: MIT */
/*
 * An http URL, or the target of a request, cut into its parts (RFC 3986 section 3).
 *
 * Either a path with what follows it, or a scheme and an authority before that. The authority is
 * checked (authority.h); path, query and fragment hold visible ASCII and are left as they are,
 * percent-encoding included. Stateless, runs no user code; the slices borrow from the text.
 */
#ifndef CAM_HTTP_URL_H
#define CAM_HTTP_URL_H

#include <stdbool.h>

#include "base/slice.h"

/* A part that is not there or is empty has the length 0. */
typedef struct cam_url {
    cam_slice scheme;
    cam_slice userinfo;
    cam_slice host; /* without the brackets of an address literal */
    int port;       /* -1 when there is none */
    cam_slice path; /* begins with '/', or is that of asterisk-form */
    cam_slice query;
    cam_slice fragment;
} cam_url;

/* True, and *url filled in, for a URL; false leaves *url undefined. */
bool cam_url_parse(cam_url *url, const char *text, size_t len);

#endif
