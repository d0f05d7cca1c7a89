/* SPDX-License-Identifier: MIT */
/*
 * `_core.HttpServer`: an application with its options, and all the connections that serve it.
 *
 * Calling it gives the protocol of a new connection (csrc/py/asgi/connection.h). It belongs to the
 * loop's thread. It holds its open connections (sweep.h); running requests are linked into it
 * without being owned: a request is owned by its task.
 */
#ifndef CAM_ASGI_SERVER_H
#define CAM_ASGI_SERVER_H

#include "asgi/access_log.h"
#include "asgi/fixed_fields.h"
#include "asgi/metrics.h"
#include "asgi/forwarded.h"
#include "asgi/options.h"
#include "asgi/sweep.h"
#include "state.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct HttpProtocolObject;
struct cam_host;
struct RunObject;

/* Connections that may keep something while they are idle. */
enum { CAM_WARM = 256 }; /* a place is an uint8_t */

typedef struct HttpServerObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    cam_state *state;
    PyObject *app;
    PyObject *own_paths; /* dict of bytes to what answers there instead, or NULL */
    PyObject *loop;
    PyObject *context;        /* what the context of each request is a copy of */
    PyObject *app_state;      /* dict that each scope gets a shallow copy of */
    PyObject *root_path;      /* str */
    PyObject *raw_root_path;  /* bytes */
    PyObject *scope_template; /* dict: what the scopes of all connections have in common */
    PyObject *asgi_versions;  /* dict: scope["asgi"] */
    PyObject *tls_info;       /* callable or NULL: the scope's "tls" extension of an SSLObject */
    PyObject *logger;         /* logging.Logger */

    cam_fixed_fields fixed; /* header lines that every response has */
    time_t date_second;     /* when `date` was written */
    char date[38];          /* "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" and a NUL */

    cam_server_options options;
    cam_trust trust;       /* proxies whose X-Forwarded headers are believed */
    cam_metrics *metrics;  /* PyMem, owned; NULL without that option */
    struct cam_host *host; /* PyMem, owned; NULL unless a foreign server is around us */

    cam_access_log log;

    struct HttpProtocolObject *warm[CAM_WARM]; /* borrowed, or NULL: those that keep something */
    cam_sweep sweep;                           /* the open connections */
    struct RunObject *running; /* borrowed; doubly linked: tasks that have not ended */
    PyObject *addresses;       /* dict or NULL: connections by address, when those are limited */
    PyObject *on_max_requests; /* callable or NULL: called once with max_requests answered */
    PyObject *on_full;         /* callable or NULL: called with whether it is, when that changes */
    int64_t refusal_logged;    /* when a connection too many was last told of, CamServer_Now() */
    Py_ssize_t running_count;
    unsigned long long request_count; /* responses completed */
    bool shutting_down;
    int64_t linger;     /* nanoseconds that idle connections stay then; 0: nothing more is begun */
    bool full;          /* pause_at connections: nobody is accepted, answers are the last */
    uint8_t warm_next;  /* place in `warm` */
    bool disconnecting; /* receive() gives http.disconnect, whatever the peer does */
} HttpServerObject;

int cam_http_server_exec(PyObject *module, cam_state *state);

/* Nanoseconds on a clock that is cheap to read and some milliseconds coarse. */
int64_t CamServer_Now(void);

/* "date: ...\r\n" for this second: CAM_DATE_LINE bytes that stay until the next call. */
enum { CAM_DATE_LINE = 37 };
const char *CamServer_DateLine(HttpServerObject *server);

/* logger.METHOD(message), with exc_info=exception unless that is NULL. Runs user code; what that
 * raises goes to sys.unraisablehook. No exception may be set. */
void CamServer_Log(HttpServerObject *server, PyObject *method, const char *message,
                   PyObject *exception);

/* Nothing is begun any more: who comes, or has more to ask, is closed. */
static inline bool CamServer_IsClosed(const HttpServerObject *server) {
    return server->shutting_down && server->linger == 0;
}

/* Tells whoever asked for it that as many requests are answered as there may be. */
void CamServer_ReachedMaxRequests(HttpServerObject *server);

/* One more request is answered. Runs user code when it was the last there may be. */
static inline void CamServer_CountRequest(HttpServerObject *server) {
    if (++server->request_count == server->options.max_requests) {
        CamServer_ReachedMaxRequests(server);
    }
}

void CamServer_AddRun(HttpServerObject *server, struct RunObject *run);
void CamServer_RemoveRun(HttpServerObject *server, struct RunObject *run);

#endif
