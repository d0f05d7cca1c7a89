/* SPDX-License-Identifier: MIT */
/*
 * The types, exceptions and prepared objects of camshaft.http. Part of the module's state, filled
 * at import.
 */
#ifndef CAM_PY_HTTP_CONSTANTS_H
#define CAM_PY_HTTP_CONSTANTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/h1_methods.h"
#include "http/h1_names.h"

/* What a parser may call on its protocol; X(identifier, text). */
#define CAM_HTTP_CALLBACKS(X)                                                                      \
    X(BEGIN, "on_message_begin")                                                                   \
    X(URL, "on_url")                                                                               \
    X(STATUS, "on_status")                                                                         \
    X(HEADER, "on_header")                                                                         \
    X(HEADERS_COMPLETE, "on_headers_complete")                                                     \
    X(BODY, "on_body")                                                                             \
    X(CHUNK_HEADER, "on_chunk_header")                                                             \
    X(CHUNK_COMPLETE, "on_chunk_complete")                                                         \
    X(COMPLETE, "on_message_complete")

enum {
#define CAM_HTTP_CALLBACK_ID(identifier, text) CAM_HTTP_ON_##identifier,
    CAM_HTTP_CALLBACKS(CAM_HTTP_CALLBACK_ID)
#undef CAM_HTTP_CALLBACK_ID
        CAM_HTTP_CALLBACK_COUNT
};

/* Types and other objects, as state->http.NAME. */
#define CAM_HTTP_OBJECTS(X)                                                                        \
    X(request_parser_type)                                                                         \
    X(response_parser_type)                                                                        \
    X(url_type)                                                                                    \
    X(error)                                                                                       \
    X(callback_error)                                                                              \
    X(invalid_status_error)                                                                        \
    X(invalid_method_error)                                                                        \
    X(invalid_url_error)                                                                           \
    X(upgrade)

typedef struct cam_http_constants {
#define X(name) PyObject *name;
    CAM_HTTP_OBJECTS(X)
#undef X
    PyObject *callback_names[CAM_HTTP_CALLBACK_COUNT]; /* str */
    PyObject *methods[CAM_H1_METHOD_COUNT];            /* bytes, by cam_h1_method */
    /* Header names as browsers and most clients write them ("Content-Type"); bytes, by cam_h1_name,
     * [0] is NULL. Those in lower case are asgi.header_names. */
    PyObject *header_names[CAM_H1_NAME_COUNT];
} cam_http_constants;

#endif
