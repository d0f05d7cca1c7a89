/* SPDX-License-Identifier: MIT */
/*
 * What can be set of an HttpServer by a number or a flag: one table, in options.c.
 *
 * An option is one field here, one line of the table, one line of HttpServerOptions in _core.pyi.
 * What is an object (the application, a logger) is a parameter of HttpServer itself.
 */
#ifndef CAM_ASGI_OPTIONS_H
#define CAM_ASGI_OPTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/h1.h"

#include <stdbool.h>
#include <stdint.h>

/* A time that never ends: some thirty years, so that it can be added to any clock. */
#define CAM_FOREVER ((int64_t)1000000000 * 1000000000)

/* Times in nanoseconds. */
typedef struct cam_server_options {
    bool server_header;    /* a Server line of our own, unless the application has one */
    bool date_header;      /* the same for Date */
    bool send_raises;      /* send() raises once the peer is gone; else it drops the event */
    bool forwarded;        /* proxies tell by Forwarded, not by X-Forwarded-* */
    int64_t keep_alive;    /* that a connection may be idle between two requests */
    int64_t head_timeout;  /* that a head may take to arrive, from its first byte */
    int64_t body_timeout;  /* that a peer may be silent in the middle of a body */
    int64_t write_timeout; /* that a peer may read nothing of an answer */
    size_t body_rate;      /* least bytes a second of a body; 0: none */
    size_t write_rate;     /* the same of an answer */
    bool metrics;          /* count for HttpServer.metrics() */
    bool access_details;   /* the access log's function gets them */
    bool trace;            /* log what uvicorn logs at that level of WebSockets */

    bool websocket;              /* take upgrades to WebSocket; else they are plain requests */
    bool ws_per_message_deflate; /* compress if the client can */
    size_t ws_max_size;          /* bytes of a message received, after inflating */
    size_t ws_max_queue;         /* messages that wait to be received */
    int64_t ws_ping_interval;    /* from one ping to the next; 0 is never */
    int64_t ws_ping_timeout;     /* that a pong may take */
    int64_t ws_close_timeout;    /* that the answer to a close frame may take */

    cam_h1_limits head;     /* request_line, header_line, header_count, head_bytes */
    size_t body_bytes;      /* of a body */
    size_t extension_bytes; /* of a chunked body beside its data: extensions */
    size_t trailer_bytes;   /* and trailers */

    size_t connections;         /* at once */
    size_t address_connections; /* at once, of one address */
    size_t connection_requests; /* one after the other on one connection */
    size_t concurrency;         /* connections or tasks, from which on requests get 503 */
    size_t pause_at;            /* connections from which on no more are accepted: on_full */
    size_t max_requests;        /* answered, after which on_max_requests is called */
} cam_server_options;

/* A number of seconds of at least 0, CAM_FOREVER if it is that long. */
int64_t CamServerOptions_Nanoseconds(double seconds);

/*
 * Takes the options out of `given`, a dict of keyword arguments that is the caller's own, and
 * leaves in it what is none of them; those not given have their defaults. 0, or -1 with TypeError
 * or ValueError naming the option. Runs user code (__float__, __index__, __bool__).
 */
int CamServerOptions_Take(cam_server_options *options, PyObject *given);

#endif
