/* SPDX-License-Identifier: MIT */
#include "asgi/remaining.h"

#include "asgi/cycle.h"
#include "asgi/scope.h"
#include "asgi/websocket.h"

static const char *words_of(const HttpProtocolObject *connection) {
    if (connection->websocket != NULL) {
        return "a WebSocket";
    }
    if (connection->cycle != NULL) {
        return "a request"; /* without an access log nobody has kept what was asked for */
    }
    switch ((cam_timing)connection->timing) {
    case CAM_TIMING_HEAD:
        return "an incomplete request";
    case CAM_TIMING_DRAIN:
        return "the rest of a body";
    case CAM_TIMING_WRITE:
        return "an answer that is not read";
    default:
        return connection->phase == CAM_PHASE_CLOSED ? "a connection that is closing"
                                                     : "an idle connection";
    }
}

/* The client of the last request, which may be behind a proxy, or else who is at the other end. New
 * reference to a str; "" for one without an address. */
static PyObject *client_of(HttpProtocolObject *connection) {
    if (connection->client_address != NULL || connection->scope_template != NULL) {
        return CamScope_ClientAddress(connection);
    }
    PyObject *peer = CamTransport_ExtraInfo(connection->state, connection->transport,
                                            connection->state->asgi.str_peername);
    PyObject *text = NULL;
    if (peer != NULL) {
        text = PyTuple_Check(peer) && PyTuple_GET_SIZE(peer) >= 2
                   ? PyUnicode_FromFormat("%S:%S", PyTuple_GET_ITEM(peer, 0),
                                          PyTuple_GET_ITEM(peer, 1))
                   : PyUnicode_FromStringAndSize(NULL, 0);
        Py_DECREF(peer);
    }
    return text;
}

static PyObject *describe(HttpProtocolObject *connection) {
    const CycleObject *cycle = connection->cycle;
    PyObject *what = cycle != NULL && cycle->method != NULL && cycle->path != NULL
                         ? PyUnicode_FromFormat("%U %R", cycle->method, cycle->path)
                         : PyUnicode_FromString(words_of(connection));
    PyObject *client = what ? client_of(connection) : NULL;
    PyObject *text = NULL;
    if (client != NULL) {
        text = PyUnicode_GET_LENGTH(client) > 0 ? PyUnicode_FromFormat("%U of %U", what, client)
                                                : Py_NewRef(what);
    }
    Py_XDECREF(client);
    Py_XDECREF(what);
    return text;
}

PyObject *CamRemaining_List(const HttpServerObject *server, Py_ssize_t limit) {
    PyObject *connections = CamSweep_List(&server->sweep);
    PyObject *list = connections ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(connections) && i < limit; i++) {
        PyObject *text = describe((HttpProtocolObject *)PyList_GET_ITEM(connections, i));
        if (text == NULL || PyList_Append(list, text) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(text);
    }
    Py_XDECREF(connections);
    return list;
}
