/* SPDX-License-Identifier: MIT */
#include "asgi/server.h"

#include <math.h>
#include <structmember.h>

#include "compat.h"
#include "asgi/host.h"
#include "asgi/remaining.h"
#include "asgi/response.h"
#include "asgi/run.h"
#include "asgi/timing.h"
#include "asgi/websocket.h"
#include "http/chars.h"

static const int64_t SECOND = 1000000000;

int64_t CamServer_Now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

const char *CamServer_DateLine(HttpServerObject *server) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != server->date_second) {
        struct tm t;
        gmtime_r(&now.tv_sec, &t);
        /* IMF-fixdate, RFC 9110 section 5.6.7; not strftime, which follows the locale. */
        (void)PyOS_snprintf(server->date, sizeof server->date,
                            "date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
                            t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min,
                            t.tm_sec);
        server->date_second = now.tv_sec;
    }
    return server->date;
}

void CamServer_Log(HttpServerObject *server, PyObject *method, const char *message,
                   PyObject *exception) {
    PyObject *logger = Py_NewRef(server->logger);
    PyObject *text = PyUnicode_FromString(message);
    PyObject *result = NULL;
    if (text != NULL) {
        PyObject *stack[3] = {logger, text, exception};
        result = PyObject_VectorcallMethod(method, stack, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                           exception ? server->state->asgi.kw_exc_info : NULL);
    }
    if (result == NULL) {
        PyErr_WriteUnraisable(logger);
    }
    Py_XDECREF(result);
    Py_XDECREF(text);
    Py_DECREF(logger);
}

/* ---- running requests ---- */

void CamServer_ReachedMaxRequests(HttpServerObject *server) {
    PyObject *function = Py_XNewRef(server->on_max_requests);
    if (function != NULL) {
        PyObject *result = PyObject_CallNoArgs(function);
        if (result == NULL) {
            PyErr_WriteUnraisable(function);
        }
        Py_XDECREF(result);
        Py_DECREF(function);
    }
}

void CamServer_AddRun(HttpServerObject *server, RunObject *run) {
    run->previous = NULL;
    run->next = server->running;
    if (server->running != NULL) {
        server->running->previous = run;
    }
    server->running = run;
    server->running_count++;
    run->listed = true;
}

void CamServer_RemoveRun(HttpServerObject *server, RunObject *run) {
    if (!run->listed) {
        return;
    }
    if (run->next != NULL) {
        run->next->previous = run->previous;
    }
    if (run->previous != NULL) {
        run->previous->next = run->next;
    } else {
        server->running = run->next;
    }
    run->next = run->previous = NULL;
    run->listed = false;
    server->running_count--;
}

PyDoc_STRVAR(sweep_doc, "_sweep($self, /)\n--\n\nClose the connections whose time is over.");

static PyObject *server_sweep(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    if (CamSweep_Run((HttpServerObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the end ---- */

PyDoc_STRVAR(
    shutdown_doc,
    "shutdown($self, websocket_code=1012, linger=0, /)\n--\n\n"
    "Close idle connections now, and the others once their answer is complete.\n\n"
    "WebSockets are closed with the code given: 1012 tells their clients that the service\n"
    "restarts, 1001 that it goes away. Raises ValueError for a code that may not be sent.\n\n"
    "With `linger`, a number of seconds, a connection is idle only when so much time has\n"
    "passed since its last answer, or since it was made: requests that are on their way are\n"
    "answered, and so are those of connections that are made from now on. Each last answer\n"
    "says so. Time in which the loop did not run does not count. Without, connections that are\n"
    "made from now on are closed at once.");

static PyObject *server_shutdown(PyObject *op, PyObject *args) {
    HttpServerObject *server = (HttpServerObject *)op;
    int code = CAM_WS_CLOSE_SERVICE_RESTART;
    double linger = 0;
    if (!PyArg_ParseTuple(args, "|id:shutdown", &code, &linger)) {
        return NULL;
    }
    if (code < 0 || !cam_ws_close_code_may_be_sent((unsigned)code)) {
        PyErr_Format(PyExc_ValueError, "a WebSocket cannot be closed with the code %d", code);
        return NULL;
    }
    if (!(linger >= 0)) {
        PyErr_SetString(PyExc_ValueError, "linger: a time cannot be negative");
        return NULL;
    }
    int64_t before = server->shutting_down ? server->linger : CAM_FOREVER;
    server->shutting_down = true;
    server->linger = CamServerOptions_Nanoseconds(linger);
    CamAccessLog_Flush(server, 0);
    PyObject *list = CamSweep_List(&server->sweep);
    if (list == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        HttpProtocolObject *connection = (HttpProtocolObject *)PyList_GET_ITEM(list, i);
        int result = 0;
        if (connection->websocket != NULL) {
            result = CamWebSocket_Shutdown(connection->websocket, (unsigned)code);
        } else if (server->linger > 0) {
            CamTiming_Hasten(connection, before, CamServer_Now());
        } else if (CamHttpProtocol_IsIdle(connection)) {
            result = CamHttpProtocol_Close(connection);
        }
        if (result < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    Py_DECREF(list);
    if (server->linger > 0 && CamSweep_Narrow(server, server->linger) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\nDrop all connections, whatever they are doing.");

static PyObject *server_abort(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    HttpServerObject *server = (HttpServerObject *)op;
    PyObject *list = CamSweep_List(&server->sweep);
    if (list == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        HttpProtocolObject *connection = (HttpProtocolObject *)PyList_GET_ITEM(list, i);
        if (CamTransport_Abort(server->state, connection->transport) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    Py_DECREF(list);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(disconnect_doc,
             "disconnect($self, /)\n--\n\n"
             "Give http.disconnect to all requests that wait for an event or ever will.\n\n"
             "For the end of a shutdown: what they still send is sent.");

static PyObject *server_disconnect(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    HttpServerObject *server = (HttpServerObject *)op;
    if (server->disconnecting) {
        Py_RETURN_NONE; /* whoever waits has been told, and nobody begins to any more */
    }
    server->disconnecting = true;
    PyObject *runs = PyList_New(0);
    for (RunObject *run = server->running; runs && run; run = run->next) {
        if (PyList_Append(runs, (PyObject *)run) < 0) {
            Py_CLEAR(runs);
        }
    }
    if (runs == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(runs); i++) {
        CamRun_Wake((RunObject *)PyList_GET_ITEM(runs, i));
    }
    Py_DECREF(runs);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\nCancel the tasks of all requests.");

static PyObject *server_cancel(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    HttpServerObject *server = (HttpServerObject *)op;
    PyObject *tasks = PyList_New(0);
    for (RunObject *run = server->running; tasks && run; run = run->next) {
        if (run->task != NULL && PyList_Append(tasks, run->task) < 0) {
            Py_CLEAR(tasks);
        }
    }
    if (tasks == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tasks); i++) {
        PyObject *task = PyList_GET_ITEM(tasks, i);
        PyObject *result = PyObject_CallMethodNoArgs(task, server->state->asgi.str_cancel);
        if (result == NULL) {
            PyErr_WriteUnraisable(task);
        }
        Py_XDECREF(result);
    }
    Py_DECREF(tasks);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(remaining_doc,
             "remaining($self, limit=10, /)\n--\n\n"
             "What the connections are at, and whose they are: a list of at most so many texts.");

static PyObject *server_remaining(PyObject *op, PyObject *args) {
    Py_ssize_t limit = 10;
    if (!PyArg_ParseTuple(args, "|n:remaining", &limit)) {
        return NULL;
    }
    return CamRemaining_List((HttpServerObject *)op, limit);
}

/* ---- construction ---- */

PyDoc_STRVAR(flush_doc, "flush_access_log($self, patience=0, /)\n--\n\n"
                        "Write the lines of the access log that are held, as far as the output\n"
                        "takes them, and wait up to `patience` milliseconds for it to take them\n"
                        "all. It is tried again later with those that are left.");

static PyObject *server_flush_access_log(PyObject *op, PyObject *args) {
    int patience = 0;
    if (!PyArg_ParseTuple(args, "|i:flush_access_log", &patience)) {
        return NULL;
    }
    CamAccessLog_Resume((HttpServerObject *)op, patience);
    Py_RETURN_NONE;
}

static PyObject *server_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf,
                                   PyObject *kwnames) {
    (void)args;
    if (PyVectorcall_NARGS(nargsf) != 0 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "a protocol factory takes no arguments");
        return NULL;
    }
    return CamHttpProtocol_New((HttpServerObject *)op);
}

/* What applications may send beyond a head and a body: the extensions of the ASGI specification
 * that send.c knows. Each has an empty dict, as that wants. */
static PyObject *make_extensions(const cam_asgi_constants *c) {
    PyObject *names[] = {c->str_response_trailers, c->str_pathsend, c->str_zerocopysend,
                         c->str_early_hint};
    PyObject *extensions = PyDict_New();
    for (size_t i = 0; extensions != NULL && i < sizeof names / sizeof *names; i++) {
        PyObject *none = PyDict_New();
        if (none == NULL || PyDict_SetItem(extensions, names[i], none) < 0) {
            Py_CLEAR(extensions);
        }
        Py_XDECREF(none);
    }
    return extensions;
}

/* Every key is there, so that to fill in a copy never makes the dict grow. */
static int set_scope_template(HttpServerObject *server, PyObject *asgi_version,
                              PyObject *extensions) {
    const cam_asgi_constants *c = &server->state->asgi;
    server->asgi_versions = PyDict_New();
    server->scope_template = PyDict_New();
    if (server->asgi_versions == NULL || server->scope_template == NULL ||
        PyDict_SetItem(server->asgi_versions, c->str_version, asgi_version) < 0 ||
        PyDict_SetItem(server->asgi_versions, c->str_spec_version,
                       server->options.send_raises ? c->str_spec_25 : c->str_spec_23) < 0) {
        return -1;
    }
    struct {
        PyObject *key;
        PyObject *value;
    } entries[] = {
        {c->str_type, c->str_http},
        {c->str_asgi, Py_None},
        {c->str_http_version, c->str_version_11},
        {c->str_server, Py_None},
        {c->str_client, Py_None},
        {c->str_scheme, c->str_http},
        {c->str_root_path, server->root_path},
        {c->str_method, Py_None},
        {c->str_path, Py_None},
        {c->str_raw_path, Py_None},
        {c->str_query_string, Py_None},
        {c->str_headers, Py_None},
        {c->str_state, Py_None},
        {c->str_extensions, extensions},
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (PyDict_SetItem(server->scope_template, entries[i].key, entries[i].value) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_logger(HttpServerObject *server, PyObject *logger) {
    if (logger != NULL && logger != Py_None) {
        server->logger = Py_NewRef(logger);
        return 0;
    }
    PyObject *logging = PyImport_ImportModule("logging");
    if (logging != NULL) {
        server->logger = PyObject_CallMethod(logging, "getLogger", "s", "uvicorn.error");
        Py_DECREF(logging);
    }
    return server->logger ? 0 : -1;
}

PyDoc_STRVAR(
    server_doc,
    "HttpServer(app, *, loop, state=None, root_path='', asgi_version='3.0', headers=(),\n"
    "           access_log=None, logger=None, context=None, tls_info=None,\n"
    "           own_paths=None, trusted_proxies=None, plain_log=None, on_max_requests=None,\n"
    "           host=None, **options)\n--\n\n"
    "Serves an ASGI application: the protocol factory of loop.create_server().\n\n"
    "Each scope gets a shallow copy of the dict `state`, and each request runs in a copy\n"
    "of `context`, by default the current one. `headers`, pairs of bytes, are added to\n"
    "every response. `access_log` is called with client address, method, path, HTTP\n"
    "version and status of every response, unless `plain_log` describes a file to which the\n"
    "server may write the line itself (camshaft.server.access); `logger` (uvicorn.error by "
    "default) gets\n"
    "errors and warnings. `tls_info` is called with the SSLObject of a connection and gives\n"
    "what its scopes have as their \"tls\" extension. `own_paths`, a dict of bytes, has the\n"
    "applications that answer at these paths instead, without a line in the access log.\n"
    "`trusted_proxies`, a TrustedHosts, says whose X-Forwarded-Proto and X-Forwarded-For are\n"
    "believed; `on_max_requests` is called once as many requests are answered as that option\n"
    "says. `host` is the ServerState of a uvicorn server that this one is a part of. The options\n"
    "are HttpServerOptions in _core.pyi: times in seconds, sizes in bytes, None for no limit.");

static int check_own_paths(PyObject *own_paths) {
    if (own_paths == Py_None) {
        return 0;
    }
    bool right = PyDict_Check(own_paths);
    Py_ssize_t at = 0;
    PyObject *path;
    while (right && PyDict_Next(own_paths, &at, &path, NULL)) {
        right = PyBytes_Check(path);
    }
    if (!right) {
        PyErr_SetString(PyExc_TypeError, "own_paths must be a dict of bytes to applications");
        return -1;
    }
    return 0;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"app",          "loop",
                            "state",        "root_path",
                            "asgi_version", "headers",
                            "access_log",   "logger",
                            "context",      "tls_info",
                            "own_paths",    "trusted_proxies",
                            "plain_log",    "on_max_requests",
                            "host",         NULL};
    PyObject *app;
    PyObject *loop = NULL;
    PyObject *app_state = Py_None;
    PyObject *root_path = NULL;
    PyObject *asgi_version = NULL;
    PyObject *headers = NULL;
    PyObject *access_log = Py_None;
    PyObject *logger = Py_None;
    PyObject *context = Py_None;
    PyObject *tls_info = Py_None;
    PyObject *own_paths = Py_None;
    PyObject *trusted_proxies = Py_None;
    PyObject *plain_log = Py_None;
    PyObject *on_max_requests = Py_None;
    PyObject *host = Py_None;
    cam_server_options options = {0};
    PyObject *given = kwargs ? PyDict_Copy(kwargs) : PyDict_New();
    int parsed = given != NULL && CamServerOptions_Take(&options, given) == 0 &&
                 PyArg_ParseTupleAndKeywords(
                     args, given, "O|$OOUUOOOOOOOOOO:HttpServer", names, &app, &loop, &app_state,
                     &root_path, &asgi_version, &headers, &access_log, &logger, &context, &tls_info,
                     &own_paths, &trusted_proxies, &plain_log, &on_max_requests, &host);
    /* What is borrowed from it now is still in kwargs. */
    Py_XDECREF(given);
    if (!parsed) {
        return NULL;
    }
    if (loop == NULL) {
        PyErr_SetString(PyExc_TypeError, "HttpServer() needs the keyword argument 'loop'");
        return NULL;
    }
    if (app_state != Py_None && !PyDict_Check(app_state)) {
        PyErr_SetString(PyExc_TypeError, "state must be a dict or None");
        return NULL;
    }
    if (context != Py_None && !PyContext_CheckExact(context)) {
        PyErr_SetString(PyExc_TypeError, "context must be a contextvars.Context or None");
        return NULL;
    }
    if (check_own_paths(own_paths) < 0) {
        return NULL;
    }
    cam_state *state = CamState_OfType(type);
    HttpServerObject *self = state ? (HttpServerObject *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = server_vectorcall;
    self->state = state;
    CamAccessLog_Init(self, access_log, plain_log);
    self->app = Py_NewRef(app);
    self->loop = Py_NewRef(loop);
    self->app_state = app_state != Py_None ? Py_NewRef(app_state) : PyDict_New();
    self->context = context != Py_None ? Py_NewRef(context) : PyContext_CopyCurrent();
    self->root_path = root_path ? Py_NewRef(root_path) : PyUnicode_FromStringAndSize(NULL, 0);
    if (own_paths != Py_None && PyDict_GET_SIZE(own_paths) > 0 &&
        (self->own_paths = PyDict_Copy(own_paths)) == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->tls_info = tls_info != Py_None ? Py_NewRef(tls_info) : NULL;
    self->on_max_requests = on_max_requests != Py_None ? Py_NewRef(on_max_requests) : NULL;
    self->options = options;
    if (options.metrics && (self->metrics = PyMem_Calloc(1, sizeof *self->metrics)) == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    CamSweep_Init(&self->sweep, CamTiming_Shortest(&options));
    self->date_second = -1;
    if (host != Py_None && (self->host = CamHost_New(host)) == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject *version = asgi_version ? Py_NewRef(asgi_version) : PyUnicode_FromString("3.0");
    PyObject *extensions = make_extensions(&state->asgi);
    if (self->app_state == NULL || self->context == NULL || self->root_path == NULL ||
        version == NULL || extensions == NULL ||
        (self->raw_root_path = PyUnicode_AsASCIIString(self->root_path)) == NULL ||
        CamFixedFields_Set(&self->fixed, headers, "headers", false) < 0 ||
        set_scope_template(self, version, extensions) < 0 || set_logger(self, logger) < 0 ||
        (trusted_proxies != Py_None && CamTrust_Set(&self->trust, trusted_proxies) < 0)) {
        Py_CLEAR(self);
    }
    Py_XDECREF(extensions);
    Py_XDECREF(version);
    return (PyObject *)self;
}

static int server_traverse(PyObject *op, visitproc visit, void *arg) {
    HttpServerObject *self = (HttpServerObject *)op;
    int stopped = CamAccessLog_Traverse(&self->log, visit, arg);
    if (stopped != 0) {
        return stopped;
    }
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->app);
    Py_VISIT(self->own_paths);
    Py_VISIT(self->loop);
    Py_VISIT(self->context);
    Py_VISIT(self->app_state);
    Py_VISIT(self->scope_template);
    Py_VISIT(self->asgi_versions);
    Py_VISIT(self->tls_info);
    Py_VISIT(self->trust.hosts);
    Py_VISIT(self->on_max_requests);
    Py_VISIT(self->on_full);
    Py_VISIT(self->logger);
    int status = CamSweep_Traverse(&self->sweep, visit, arg);
    return status || self->host == NULL ? status : CamHost_Traverse(self->host, visit, arg);
}

/* Breaks the cycles that go through the application and the loop; the rest, which a connection
 * that is still being torn down may use, goes in dealloc. */
static int server_clear(PyObject *op) {
    HttpServerObject *self = (HttpServerObject *)op;
    CamSweep_Clear(self);
    CamAccessLog_Clear(&self->log);
    Py_CLEAR(self->tls_info);
    Py_CLEAR(self->on_max_requests);
    Py_CLEAR(self->on_full);
    return 0;
}

static void server_dealloc(PyObject *op) {
    HttpServerObject *self = (HttpServerObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    CamAccessLog_Free(self);
    (void)server_clear(op);
    Py_CLEAR(self->app);
    Py_CLEAR(self->own_paths);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->context);
    Py_CLEAR(self->app_state);
    Py_CLEAR(self->scope_template);
    Py_CLEAR(self->asgi_versions);
    Py_CLEAR(self->logger);
    CamTrust_Clear(&self->trust);
    Py_CLEAR(self->addresses);
    Py_CLEAR(self->root_path);
    Py_CLEAR(self->raw_root_path);
    CamFixedFields_Clear(&self->fixed);
    PyMem_Free(self->metrics);
    CamHost_Free(self->host);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *get_connections(PyObject *op, void *Py_UNUSED(closure)) {
    return PyLong_FromSsize_t(((HttpServerObject *)op)->sweep.count);
}

static PyObject *get_tasks(PyObject *op, void *Py_UNUSED(closure)) {
    return PyLong_FromSsize_t(((HttpServerObject *)op)->running_count);
}

static PyObject *get_requests(PyObject *op, void *Py_UNUSED(closure)) {
    return PyLong_FromUnsignedLongLong(((HttpServerObject *)op)->request_count);
}

static PyObject *get_dropped(PyObject *op, void *Py_UNUSED(closure)) {
    return PyLong_FromUnsignedLongLong(((HttpServerObject *)op)->log.dropped);
}

static PyGetSetDef server_getset[] = {
    {"connections", get_connections, NULL, "How many connections are open.", NULL},
    {"tasks", get_tasks, NULL, "How many requests have a task that has not ended.", NULL},
    {"requests", get_requests, NULL, "How many responses have been completed.", NULL},
    {"access_log_dropped", get_dropped, NULL,
     "How many lines of the access log its output has not taken.", NULL},
    {NULL},
};

PyDoc_STRVAR(metrics_doc,
             "metrics($self, /)\n--\n\n"
             "What was counted so far, as ServerMetrics in _core.pyi; None without that option.");

static PyObject *server_metrics(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    cam_metrics *metrics = ((HttpServerObject *)op)->metrics;
    return metrics ? CamMetrics_Snapshot(metrics) : Py_NewRef(Py_None);
}

PyDoc_STRVAR(protocol_doc,
             "_protocol($self, owner, /)\n--\n\n"
             "The protocol of a new connection that `owner` stands for with the server's host.");

static PyObject *server_protocol(PyObject *op, PyObject *owner) {
    HttpServerObject *server = (HttpServerObject *)op;
    if (server->host == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server has no host");
        return NULL;
    }
    PyObject *protocol = CamHttpProtocol_New(server);
    if (protocol != NULL) {
        ((HttpProtocolObject *)protocol)->owner = Py_NewRef(owner);
    }
    return protocol;
}

PyDoc_STRVAR(watch_full_doc,
             "watch_full($self, function, /)\n--\n\n"
             "Have function(full) called when there are as many connections as the option\n"
             "pause_at says, and when there is room again. While it is full the answers end their\n"
             "connections, and those that are idle are closed. None ends it.");

static PyObject *server_watch_full(PyObject *op, PyObject *function) {
    HttpServerObject *server = (HttpServerObject *)op;
    if (function != Py_None && !PyCallable_Check(function)) {
        PyErr_SetString(PyExc_TypeError, "watch_full() takes a callable or None");
        return NULL;
    }
    Py_XSETREF(server->on_full, function != Py_None ? Py_NewRef(function) : NULL);
    server->full = server->full && server->on_full != NULL;
    Py_RETURN_NONE;
}

static PyMethodDef server_methods[] = {
    {"metrics", server_metrics, METH_NOARGS, metrics_doc},
    {"_protocol", server_protocol, METH_O, protocol_doc},
    {"shutdown", server_shutdown, METH_VARARGS, shutdown_doc},
    {"abort", server_abort, METH_NOARGS, abort_doc},
    {"disconnect", server_disconnect, METH_NOARGS, disconnect_doc},
    {"remaining", server_remaining, METH_VARARGS, remaining_doc},
    {"watch_full", server_watch_full, METH_O, watch_full_doc},
    {"cancel", server_cancel, METH_NOARGS, cancel_doc},
    {"flush_access_log", server_flush_access_log, METH_VARARGS, flush_doc},
    {"_sweep", server_sweep, METH_NOARGS, sweep_doc},
    {NULL},
};

static PyMemberDef server_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(HttpServerObject, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc, (void *)server_doc}, {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc}, {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},     {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, server_methods}, {Py_tp_members, server_members},
    {Py_tp_getset, server_getset},   {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "camshaft._core.HttpServer",
    .basicsize = sizeof(HttpServerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};

int cam_http_server_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &server_spec, NULL, 1, &state->asgi.server_type);
}
