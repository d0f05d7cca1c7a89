/* SPDX-License-Identifier: MIT */
#include "asgi/admission.h"

#include <arpa/inet.h>

#include "compat.h"

/* How many connections beyond the limit are told so: a part of it, and some. */
enum { TOLD_PART = 4, TOLD_LEAST = 16 };

static size_t told_limit(size_t limit) {
    return limit + limit / TOLD_PART + TOLD_LEAST;
}

/* ---- addresses ---- */

/* What connections of one client have in common: bytes, or None without an address. A new
 * reference. */
static PyObject *address_of(HttpProtocolObject *connection) {
    PyObject *name = CamTransport_ExtraInfo(connection->state, connection->transport,
                                            connection->state->asgi.str_peername);
    if (name == NULL) {
        return NULL;
    }
    const char *text = NULL;
    if (PyTuple_Check(name) && PyTuple_GET_SIZE(name) >= 2 &&
        PyUnicode_Check(PyTuple_GET_ITEM(name, 0))) {
        text = PyUnicode_AsUTF8(PyTuple_GET_ITEM(name, 0));
        PyErr_Clear();
    }
    char host[INET6_ADDRSTRLEN] = "";
    uint8_t bytes[16];
    PyObject *address = NULL;
    if (text != NULL) {
        (void)PyOS_snprintf(host, sizeof host, "%.*s", (int)strcspn(text, "%"), text);
    }
    if (inet_pton(AF_INET, host, bytes) == 1) {
        address = PyBytes_FromStringAndSize((char *)bytes, 4);
    } else if (inet_pton(AF_INET6, host, bytes) == 1) {
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        bool is_v4 = memcmp(bytes, mapped, sizeof mapped) == 0;
        address = PyBytes_FromStringAndSize((char *)bytes + (is_v4 ? 12 : 0), is_v4 ? 4 : 8);
    } else {
        address = Py_NewRef(Py_None);
    }
    Py_DECREF(name);
    return address;
}

/* The number of connections from an address, which is changed by `change`; -1 with an exception. */
static Py_ssize_t count_address(HttpServerObject *server, PyObject *address, Py_ssize_t change) {
    PyObject *known = PyDict_GetItemWithError(server->addresses, address);
    Py_ssize_t count = known != NULL ? PyLong_AsSsize_t(known) : 0;
    if (known == NULL && PyErr_Occurred()) {
        return -1;
    }
    count += change;
    if (count == 0) {
        return PyDict_DelItem(server->addresses, address);
    }
    PyObject *number = PyLong_FromSsize_t(count);
    int result = number ? PyDict_SetItem(server->addresses, address, number) : -1;
    Py_XDECREF(number);
    return result < 0 ? -1 : count;
}

/* How many connections the address of this one has with it; 0 when they are not counted. */
static Py_ssize_t enter_address(HttpProtocolObject *connection) {
    HttpServerObject *server = connection->server;
    PyObject *address = address_of(connection);
    if (address == NULL || address == Py_None) {
        Py_XDECREF(address);
        return address ? 0 : -1;
    }
    if (server->addresses == NULL && (server->addresses = PyDict_New()) == NULL) {
        Py_DECREF(address);
        return -1;
    }
    Py_ssize_t count = count_address(server, address, 1);
    if (count < 0) {
        Py_DECREF(address);
        return -1;
    }
    Py_XSETREF(connection->address, address);
    return count;
}

/* ---- connections ---- */

int CamAdmission_Enter(HttpProtocolObject *connection) {
    HttpServerObject *server = connection->server;
    const cam_server_options *options = &server->options;
    size_t count = (size_t)server->sweep.count;
    bool full = count > options->connections;
    bool flood = full && count > told_limit(options->connections);
    if (options->address_connections != SIZE_MAX && connection->address == NULL && !flood) {
        Py_ssize_t of_address = enter_address(connection);
        if (of_address < 0) {
            return -1;
        }
        size_t limit = options->address_connections;
        full = full || (size_t)of_address > limit;
        flood = (size_t)of_address > limit && (size_t)of_address > told_limit(limit);
    }
    if (!full) {
        return 1;
    }
    if (flood) {
        connection->phase = CAM_PHASE_CLOSED;
        return CamTransport_Abort(connection->state, connection->transport);
    }
    return CamHttpProtocol_Refuse(connection, 503, "there are too many connections");
}

void CamAdmission_Leave(HttpProtocolObject *connection) {
    PyObject *address = connection->address;
    if (address == NULL) {
        return;
    }
    connection->address = NULL;
    PyObject *error = PyErr_GetRaisedException();
    if (count_address(connection->server, address, -1) < 0) {
        PyErr_WriteUnraisable((PyObject *)connection);
    }
    Py_DECREF(address);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
}

/* Those who have been answered and have not asked again: they may come back when there is room. Who
 * has asked while the loop was at something else is answered, and closed then. */
static void close_idle(HttpServerObject *server) {
    PyObject *list = CamSweep_List(&server->sweep);
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        HttpProtocolObject *connection = (HttpProtocolObject *)PyList_GET_ITEM(list, i);
        if (connection->requests > 0 && connection->phase == CAM_PHASE_HEAD &&
            connection->input.len == 0 && CamHttpProtocol_IsIdle(connection) &&
            !CamTransport_HasUnread(server->state, connection->transport) &&
            CamHttpProtocol_Close(connection) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    if (list == NULL) {
        PyErr_WriteUnraisable((PyObject *)server);
    }
    Py_XDECREF(list);
}

void CamAdmission_Look(HttpServerObject *server) {
    bool full = (size_t)server->sweep.count >= server->options.pause_at;
    if (server->on_full == NULL || full == server->full) {
        return;
    }
    server->full = full;
    PyObject *pending = PyErr_GetRaisedException();
    Py_INCREF(server);
    PyObject *function = Py_NewRef(server->on_full);
    PyObject *result = PyObject_CallOneArg(function, full ? Py_True : Py_False);
    if (result == NULL) {
        PyErr_WriteUnraisable(function);
    }
    Py_XDECREF(result);
    Py_DECREF(function);
    if (full) {
        close_idle(server);
    }
    Py_DECREF(server);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* ---- requests ---- */

bool CamAdmission_IsFull(const HttpServerObject *server) {
    size_t limit = server->options.concurrency;
    return (size_t)server->sweep.count >= limit || (size_t)server->running_count >= limit;
}

int CamAdmission_Decline(CycleObject *cycle) {
    static const char text[] = "Service Unavailable";
    const cam_asgi_constants *c = &cycle->state->asgi;
    CamServer_Log(cycle->server, c->str_warning, "Exceeded concurrency limit.", NULL);
    PyObject *start = Py_BuildValue(
        "{s:O,s:i,s:[(y,y),(y,y),(y,y)]}", "type", c->str_response_start, "status", 503, "headers",
        "content-type", "text/plain; charset=utf-8", "content-length", "19", "connection", "close");
    PyObject *body = Py_BuildValue("{s:O,s:y}", "type", c->str_response_body, "body", text);
    int result = -1;
    if (start != NULL && body != NULL) {
        result = CamCycle_Send((RunObject *)cycle, start);
        if (result == 0) {
            result = CamCycle_Send((RunObject *)cycle, body);
        }
    }
    Py_XDECREF(start);
    Py_XDECREF(body);
    return result;
}
