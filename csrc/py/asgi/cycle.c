/* SPDX-License-Identifier: MIT */
#include "asgi/cycle.h"

#include "asgi/disconnect.h"
#include "asgi/response.h"
#include "asgi/scope.h"
#include "asgi/timing.h"

/* ---- what the application owes ---- */

/* The application did not do its part: 500 if that can still be said, else the connection ends in
 * a way that a half-sent answer is not taken for a whole one. */
static void make_good(CycleObject *self) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_XNewRef(self->connection);
    if (connection == NULL) {
        return;
    }
    int result;
    if (self->answer < CAM_ANSWER_BEGUN) {
        result = CamResponse_WriteFailure(self, 500);
    } else if (self->chunked || self->has_length) {
        result = CamHttpProtocol_Close(connection);
    } else {
        result = CamTransport_Abort(self->state, connection->transport);
    }
    if (result < 0) {
        PyErr_WriteUnraisable((PyObject *)connection);
    }
    Py_DECREF(connection);
}

static bool is_lost(CycleObject *self) {
    int gone = CamDisconnect_Check(self);
    if (gone < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    return gone > 0;
}

/* The application has returned `value`. */
static void returned(RunObject *run, PyObject *value) {
    CycleObject *self = (CycleObject *)run;
    PyObject *error = self->state->asgi.str_error;
    if (value != Py_None) {
        PyObject *text =
            PyUnicode_FromFormat("ASGI callable should return None, but returned '%S'.", value);
        const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
        if (utf8 == NULL) {
            PyErr_Clear();
            utf8 = "ASGI callable should return None.";
        }
        CamServer_Log(self->server, error, utf8, NULL);
        Py_XDECREF(text);
        make_good(self);
    } else if (self->connection == NULL || is_lost(self)) {
        return; /* all is said, or nobody listens */
    } else if (self->peer_gone || self->server->disconnecting) {
        /* Very likely the application has heard of it and given up. */
        if (CamHttpProtocol_Close(self->connection) < 0) {
            PyErr_WriteUnraisable(self->server->app);
        }
    } else if (self->answer == CAM_ANSWER_NONE) {
        CamServer_Log(self->server, error, "ASGI callable returned without starting response.",
                      NULL);
        make_good(self);
    } else {
        CamServer_Log(self->server, error, "ASGI callable returned without completing response.",
                      NULL);
        make_good(self);
    }
}

static void failed(RunObject *run, PyObject *exception) {
    if (CamDisconnect_IsTold((CycleObject *)run, exception)) {
        CamServer_Log(run->server, run->state->asgi.str_debug,
                      "The client has disconnected before the answer was complete.", NULL);
    } else {
        CamServer_Log(run->server, run->state->asgi.str_error, "Exception in ASGI application\n",
                      exception);
    }
    make_good((CycleObject *)run);
}

static PyObject *take_waiter(RunObject *run) {
    CycleObject *self = (CycleObject *)run;
    PyObject *waiter = self->waiter;
    self->waiter = NULL;
    return waiter;
}

/* What is not known to be on its way has not been sent. */
static int waited(RunObject *run) {
    int gone = run->server->options.send_raises ? CamDisconnect_Check((CycleObject *)run) : 0;
    return gone > 0 ? CamDisconnect_Raise(run->state) : gone;
}

/* A head that is held is sent without a body if that takes long: a peer shall know that there will
 * be an answer. */
static void suspended(RunObject *run) {
    CycleObject *self = (CycleObject *)run;
    if (self->answer == CAM_ANSWER_HELD && self->connection != NULL &&
        CamTiming_Settle(self->connection) < 0) {
        PyErr_WriteUnraisable((PyObject *)run);
    }
}

static const cam_run_kind request_kind = {
    .receive = CamCycle_Receive,
    .send = CamCycle_Send,
    .take_waiter = take_waiter,
    .suspended = suspended,
    .waited = waited,
    .returned = returned,
    .failed = failed,
};

/* ---- the object ---- */

/* The application that answers for a path in the place of the server's, or NULL. Borrowed. */
static PyObject *find_own(const HttpServerObject *server, cam_slice path) {
    Py_ssize_t at = 0;
    PyObject *own, *app;
    while (PyDict_Next(server->own_paths, &at, &own, &app)) {
        if ((size_t)PyBytes_GET_SIZE(own) == path.len &&
            memcmp(PyBytes_AS_STRING(own), path.ptr, path.len) == 0) {
            return app;
        }
    }
    return NULL;
}

CycleObject *CamCycle_New(HttpProtocolObject *connection, const cam_h1_request *request) {
    cam_state *state = connection->state;
    const cam_asgi_constants *c = &state->asgi;
    PyObject *scope = CamScope_New(connection, request);
    if (scope == NULL) {
        return NULL;
    }
    CycleObject *self = (CycleObject *)CamRun_New(c->cycle_type, &request_kind, connection, scope);
    if (self == NULL) {
        return NULL;
    }
    self->minor_version = request->minor_version == 1;
    self->is_head = request->method.len == 4 && memcmp(request->method.ptr, "HEAD", 4) == 0;
    self->more_body = !cam_h1_has_no_body(request);
    self->awaits_100 = (request->flags & CAM_H1_EXPECT_CONTINUE) != 0;
    self->keep_alive = (request->flags & CAM_H1_KEEP_ALIVE) != 0;
    self->began = self->server->metrics ? CamMetrics_Now() : 0;
    self->peer_gone = connection->eof; /* sent before the end, begun only now */
    if (self->server->own_paths != NULL) {
        PyObject *own = find_own(self->server, request->path);
        if (own != NULL) {
            self->app = own;
            return self; /* not worth a line of the access log each time */
        }
    }
    if (self->server->log.function != NULL) {
        self->method = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_method));
        self->path = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_path));
        self->query_string = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_query_string));
        if (self->server->options.access_details && CamAccessDetails_Begin(self, scope) < 0) {
            Py_CLEAR(self);
        }
    }
    return self;
}

CycleObject *CamCycle_NewAnswer(HttpProtocolObject *connection) {
    CycleObject *self = (CycleObject *)CamRun_New(connection->state->asgi.cycle_type, &request_kind,
                                                  connection, NULL);
    if (self != NULL) {
        self->minor_version = true;
        self->body_told = true;
    }
    return self;
}

static int cycle_traverse(PyObject *op, visitproc visit, void *arg) {
    CycleObject *self = (CycleObject *)op;
    Py_VISIT(self->waiter);
    int stopped = CamAccessDetails_Traverse(self->details, visit, arg);
    return stopped ? stopped : CamRun_Traverse(op, visit, arg);
}

static int cycle_clear(PyObject *op) {
    CycleObject *self = (CycleObject *)op;
    cam_access_details *details = self->details;
    self->details = NULL;
    CamAccessDetails_Free(details);
    Py_CLEAR(self->waiter);
    return CamRun_Clear(op);
}

static void cycle_dealloc(PyObject *op) {
    CycleObject *self = (CycleObject *)op;
    PyObject_GC_UnTrack(op);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->body);
    Py_CLEAR(self->method);
    Py_CLEAR(self->path);
    Py_CLEAR(self->query_string);
    CamAccessDetails_Free(self->details);
    CamRun_Free(op);
}

static PyType_Slot cycle_slots[] = {
    {Py_tp_doc, (void *)"The coroutine of one request: runs the application."},
    {Py_tp_dealloc, cycle_dealloc},
    {Py_tp_traverse, cycle_traverse},
    {Py_tp_clear, cycle_clear},
    {Py_am_send, CamRun_Step},
    {0, NULL},
};

static PyType_Spec cycle_spec = {
    .name = "camshaft._core.RequestCycle",
    .basicsize = sizeof(CycleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cycle_slots,
};

int cam_cycle_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &cycle_spec, state->asgi.run_type, 0, &state->asgi.cycle_type);
}
