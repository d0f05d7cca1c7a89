/* SPDX-License-Identifier: MIT */
/*
 * The objects that every request uses and no request changes: interned names, event types,
 * header names as bytes. Part of the module's state, filled at import.
 */
#ifndef CAM_ASGI_CONSTANTS_H
#define CAM_ASGI_CONSTANTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/h1_names.h"

/* X(identifier, text): strings, as state->asgi.str_IDENTIFIER. */
#define CAM_ASGI_STRINGS(X)                                                                        \
    /* keys of the scope and of events */                                                          \
    X(type, "type")                                                                                \
    X(asgi, "asgi")                                                                                \
    X(version, "version")                                                                          \
    X(spec_version, "spec_version")                                                                \
    X(http_version, "http_version")                                                                \
    X(server, "server")                                                                            \
    X(client, "client")                                                                            \
    X(scheme, "scheme")                                                                            \
    X(root_path, "root_path")                                                                      \
    X(method, "method")                                                                            \
    X(path, "path")                                                                                \
    X(raw_path, "raw_path")                                                                        \
    X(query_string, "query_string")                                                                \
    X(headers, "headers")                                                                          \
    X(state, "state")                                                                              \
    X(extensions, "extensions")                                                                    \
    X(tls, "tls")                                                                                  \
    X(status, "status")                                                                            \
    X(body, "body")                                                                                \
    X(more_body, "more_body")                                                                      \
    X(trailers, "trailers")                                                                        \
    X(more_trailers, "more_trailers")                                                              \
    X(links, "links")                                                                              \
    X(file, "file")                                                                                \
    X(offset, "offset")                                                                            \
    X(count, "count")                                                                              \
    /* their values */                                                                             \
    X(http, "http")                                                                                \
    X(https, "https")                                                                              \
    X(ws, "ws")                                                                                    \
    X(wss, "wss")                                                                                  \
    X(websocket, "websocket")                                                                      \
    X(version_10, "1.0")                                                                           \
    X(version_11, "1.1")                                                                           \
    X(spec_23, "2.3")                                                                              \
    X(spec_25, "2.5")                                                                              \
    X(http_request, "http.request")                                                                \
    X(http_disconnect, "http.disconnect")                                                          \
    X(response_start, "http.response.start")                                                       \
    X(response_body, "http.response.body")                                                         \
    X(response_trailers, "http.response.trailers")                                                 \
    X(early_hint, "http.response.early_hint")                                                      \
    X(pathsend, "http.response.pathsend")                                                          \
    X(zerocopysend, "http.response.zerocopysend")                                                  \
    /* WebSockets */                                                                               \
    X(subprotocols, "subprotocols")                                                                \
    X(subprotocol, "subprotocol")                                                                  \
    X(bytes, "bytes")                                                                              \
    X(text, "text")                                                                                \
    X(code, "code")                                                                                \
    X(reason, "reason")                                                                            \
    X(websocket_connect, "websocket.connect")                                                      \
    X(websocket_accept, "websocket.accept")                                                        \
    X(websocket_receive, "websocket.receive")                                                      \
    X(websocket_send, "websocket.send")                                                            \
    X(websocket_close, "websocket.close")                                                          \
    X(websocket_disconnect, "websocket.disconnect")                                                \
    X(websocket_http_response, "websocket.http.response")                                          \
    X(websocket_response_start, "websocket.http.response.start")                                   \
    X(websocket_response_body, "websocket.http.response.body")                                     \
    X(log_accepted, "%s - \"WebSocket %s\" [accepted]")                                            \
    X(log_status, "%s - \"WebSocket %s\" %d")                                                      \
    X(compress, "compress")                                                                        \
    X(decompress, "decompress")                                                                    \
    X(flush, "flush")                                                                              \
    X(eof, "eof")                                                                                  \
    X(unused_data, "unused_data")                                                                  \
    /* attributes of transports, loops, futures and loggers */                                     \
    X(write, "write")                                                                              \
    X(close, "close")                                                                              \
    X(abort, "abort")                                                                              \
    X(is_closing, "is_closing")                                                                    \
    X(get_write_buffer_size, "get_write_buffer_size")                                              \
    X(pause_reading, "pause_reading")                                                              \
    X(resume_reading, "resume_reading")                                                            \
    X(can_write_eof, "can_write_eof")                                                              \
    X(write_eof, "write_eof")                                                                      \
    X(get_extra_info, "get_extra_info")                                                            \
    X(sockname, "sockname")                                                                        \
    X(peername, "peername")                                                                        \
    X(sslcontext, "sslcontext")                                                                    \
    X(ssl_object, "ssl_object")                                                                    \
    X(call_soon, "call_soon")                                                                      \
    X(call_later, "call_later")                                                                    \
    X(create_task, "create_task")                                                                  \
    X(cancel, "cancel")                                                                            \
    X(throw, "throw")                                                                              \
    X(get, "get")                                                                                  \
    X(debug, "debug")                                                                              \
    X(info, "info")                                                                                \
    X(warning, "warning")                                                                          \
    X(error, "error")                                                                              \
    X(resume, "_resume")                                                                           \
    X(flush_access_log, "flush_access_log")                                                        \
    X(sweep, "_sweep")

/* Methods that get a shared string; all others are made for each request. */
#define CAM_ASGI_METHODS(X)                                                                        \
    X(GET)                                                                                         \
    X(POST)                                                                                        \
    X(PUT)                                                                                         \
    X(HEAD)                                                                                        \
    X(PATCH)                                                                                       \
    X(DELETE)                                                                                      \
    X(OPTIONS)                                                                                     \
    X(CONNECT)                                                                                     \
    X(TRACE)

/* Types and other objects, as state->asgi.NAME. */
#define CAM_ASGI_OBJECTS(X)                                                                        \
    X(server_type)                                                                                 \
    X(protocol_type)                                                                               \
    X(run_type)                                                                                    \
    X(websocket_type)                                                                              \
    X(zlib_compressobj)                                                                            \
    X(zlib_decompressobj)                                                                          \
    X(zlib_error)                                                                                  \
    X(zlib_sync_flush)                                                                             \
    X(cycle_type)                                                                                  \
    X(receive_type)                                                                                \
    X(send_type)                                                                                   \
    X(piece_type)                                                                                  \
    X(wait_type)                                                                                   \
    X(done_type)                                                                                   \
    X(done)                                                                                        \
    X(cancelled_error)                                                                             \
    X(client_disconnected)                                                                         \
    X(pump)                                                                                        \
    X(kw_exc_info)

typedef struct cam_asgi_constants {
#define X(name, text) PyObject *str_##name;
    CAM_ASGI_STRINGS(X)
#undef X
#define X(name) PyObject *method_##name;
    CAM_ASGI_METHODS(X)
#undef X
#define X(name) PyObject *name;
    CAM_ASGI_OBJECTS(X)
#undef X
    PyObject *header_names[CAM_H1_NAME_COUNT]; /* bytes, by cam_h1_name; [0] is NULL */
    /* For others that make answers in C: sends a whole one through `send`, which must be of
     * send_type, as its two events would be. What is to be awaited, a new reference; None if it
     * is not the send() of a request; NULL with an exception. Runs user code. */
    PyObject *(*send_whole)(PyObject *send, int status, PyObject *headers, PyObject *body);
} cam_asgi_constants;

#endif
