/* SPDX-License-Identifier: MIT */
#include "asgi/sweep.h"

#include "compat.h"
#include "asgi/connection.h"
#include "asgi/timing.h"

/* Slots are from 8 milliseconds to one second wide: powers of two, so that the slot of a time is
 * had by a shift. */
enum { NARROWEST = 23, WIDEST = 30, SLOTS_PER_LIMIT = 4 };

/* Nanoseconds added to the loop's delay: to wake up just before the slot is over would be in vain.
 * (Times here are exact: CamServer_Now() may be some milliseconds behind.) */
static const int64_t SLACK = 1000000;

void CamSweep_Init(cam_sweep *sweep, int64_t shortest) {
    sweep->shift = WIDEST;
    while (sweep->shift > NARROWEST && (int64_t)1 << sweep->shift > shortest / SLOTS_PER_LIMIT) {
        sweep->shift--;
    }
    sweep->tick = CamMetrics_Now() >> sweep->shift;
}

static size_t slot_of(int64_t number) {
    return (size_t)number % CAM_SWEEP_SLOTS; /* also of a negative one */
}

/* ---- the lists ---- */

/* The references are the caller's to take and to drop. */
static void link_into(cam_sweep *sweep, HttpProtocolObject *connection, size_t slot) {
    connection->slot = (uint8_t)slot;
    connection->previous = NULL;
    connection->next = sweep->slots[slot];
    if (connection->next != NULL) {
        connection->next->previous = connection;
    }
    sweep->slots[slot] = connection;
}

static void unlink_from(cam_sweep *sweep, HttpProtocolObject *connection) {
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    if (connection->previous != NULL) {
        connection->previous->next = connection->next;
    } else {
        sweep->slots[connection->slot] = connection->next;
    }
    connection->next = connection->previous = NULL;
}

/* The number of the slot for a time, which is over when the time has come: one after the last that
 * was swept, and less than a turn of the wheel away. */
static int64_t number_for(const cam_sweep *sweep, int64_t when) {
    int64_t number = (when >> sweep->shift) + 1;
    int64_t farthest = sweep->tick + CAM_SWEEP_SLOTS - 1;
    return number > farthest ? farthest : number <= sweep->tick ? sweep->tick + 1 : number;
}

void CamSweep_Add(HttpServerObject *server, HttpProtocolObject *connection) {
    cam_sweep *sweep = &server->sweep;
    if (connection->listed) {
        return;
    }
    if (sweep->count == 0) {
        sweep->tick = CamMetrics_Now() >> sweep->shift;
    }
    connection->listed = true;
    sweep->count++;
    if (server->metrics != NULL) {
        server->metrics->connections++;
    }
    Py_INCREF(connection);
    link_into(sweep, connection, slot_of(sweep->tick + CAM_SWEEP_SLOTS - 1));
}

static void cancel(HttpServerObject *server) {
    PyObject *handle = server->sweep.handle;
    if (handle == NULL) {
        return;
    }
    server->sweep.handle = NULL;
    PyObject *none = PyObject_CallMethodNoArgs(handle, server->state->asgi.str_cancel);
    if (none == NULL) {
        PyErr_WriteUnraisable(handle);
    }
    Py_XDECREF(none);
    Py_DECREF(handle);
}

void CamSweep_Remove(HttpServerObject *server, HttpProtocolObject *connection) {
    if (!connection->listed) {
        return;
    }
    connection->listed = false;
    unlink_from(&server->sweep, connection);
    if (--server->sweep.count == 0) {
        cancel(server);
    }
    Py_DECREF(connection);
}

PyObject *CamSweep_List(const cam_sweep *sweep) {
    PyObject *list = PyList_New(0);
    for (size_t slot = 0; list != NULL && slot < CAM_SWEEP_SLOTS; slot++) {
        for (HttpProtocolObject *connection = sweep->slots[slot]; list && connection;
             connection = connection->next) {
            if (PyList_Append(list, (PyObject *)connection) < 0) {
                Py_CLEAR(list);
            }
        }
    }
    return list;
}

int CamSweep_Traverse(const cam_sweep *sweep, visitproc visit, void *arg) {
    Py_VISIT(sweep->handle);
    for (size_t slot = 0; slot < CAM_SWEEP_SLOTS; slot++) {
        for (HttpProtocolObject *connection = sweep->slots[slot]; connection != NULL;
             connection = connection->next) {
            Py_VISIT(connection);
        }
    }
    return 0;
}

void CamSweep_Clear(HttpServerObject *server) {
    Py_CLEAR(server->sweep.handle);
    for (size_t slot = 0; slot < CAM_SWEEP_SLOTS; slot++) {
        while (server->sweep.slots[slot] != NULL) {
            CamSweep_Remove(server, server->sweep.slots[slot]);
        }
    }
}

/* ---- the timer ---- */

/* Sets the loop's timer for when a slot is over, unless it is set for then or before. 0, or -1 with
 * an exception. */
static int plan(HttpServerObject *server, int64_t number) {
    cam_state *state = server->state;
    cam_sweep *sweep = &server->sweep;
    if (server->metrics != NULL || (server->shutting_down && server->linger > 0)) {
        /* By it the metrics tell of the loop's lateness, and idle connections are not blamed for
         * it. */
        number = sweep->tick + 1;
    }
    if (sweep->handle != NULL && sweep->planned <= number) {
        return 0;
    }
    cancel(server);
    int64_t now = CamMetrics_Now();
    int64_t due = number << sweep->shift;
    due = (due > now ? due : now) + SLACK;
    PyObject *seconds = PyFloat_FromDouble((double)(due - now) / 1e9);
    PyObject *method = PyObject_GetAttr((PyObject *)server, state->asgi.str_sweep);
    PyObject *handle = NULL;
    if (seconds != NULL && method != NULL) {
        PyObject *stack[3] = {server->loop, seconds, method};
        handle = PyObject_VectorcallMethod(state->asgi.str_call_later, stack,
                                           3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(seconds);
    Py_XDECREF(method);
    if (handle == NULL) {
        return -1;
    }
    sweep->planned = number;
    sweep->due = due;
    Py_XSETREF(sweep->handle, handle);
    return 0;
}

/* Sets it for the first slot that has a connection. */
static int plan_next(HttpServerObject *server) {
    cam_sweep *sweep = &server->sweep;
    for (int64_t number = sweep->tick + 1; number < sweep->tick + CAM_SWEEP_SLOTS; number++) {
        if (sweep->slots[slot_of(number)] != NULL) {
            return plan(server, number);
        }
    }
    return 0;
}

/* Files a connection by what it waits for now; one without a limit is looked at a turn later. */
static void file_anew(cam_sweep *sweep, HttpProtocolObject *connection) {
    int64_t when = CamTiming_NextLook(connection);
    link_into(sweep, connection, slot_of(number_for(sweep, when > 0 ? when : CAM_FOREVER)));
}

int CamSweep_Narrow(HttpServerObject *server, int64_t shortest) {
    cam_sweep *sweep = &server->sweep;
    cancel(server);
    HttpProtocolObject *chain = NULL;
    for (size_t slot = 0; slot < CAM_SWEEP_SLOTS; slot++) {
        HttpProtocolObject *connection = sweep->slots[slot];
        sweep->slots[slot] = NULL;
        while (connection != NULL) {
            HttpProtocolObject *next = connection->next;
            connection->next = chain;
            chain = connection;
            connection = next;
        }
    }
    CamSweep_Init(sweep, shortest);
    while (chain != NULL) {
        HttpProtocolObject *next = chain->next;
        file_anew(sweep, chain);
        chain = next;
    }
    return plan_next(server);
}

int CamSweep_File(HttpServerObject *server, HttpProtocolObject *connection, int64_t when) {
    cam_sweep *sweep = &server->sweep;
    if (!connection->listed) {
        return 0;
    }
    int64_t number = number_for(sweep, when);
    int64_t filed = sweep->tick + (int64_t)slot_of((int64_t)connection->slot - sweep->tick);
    if (filed > number) {
        unlink_from(sweep, connection);
        link_into(sweep, connection, slot_of(number));
        filed = number;
    }
    return plan(server, filed);
}

/* Time that the loop did not run is no time that the connections were idle. */
static void give_back(HttpServerObject *server, int64_t late) {
    for (size_t slot = 0; slot < CAM_SWEEP_SLOTS; slot++) {
        for (HttpProtocolObject *connection = server->sweep.slots[slot]; connection != NULL;
             connection = connection->next) {
            CamTiming_GiveBack(connection, late);
        }
    }
}

/* Takes all connections out of the slots that are over: a chain by `next`. */
static HttpProtocolObject *take_over(cam_sweep *sweep, int64_t now) {
    int64_t to = now >> sweep->shift;
    int64_t from = to - sweep->tick < CAM_SWEEP_SLOTS ? sweep->tick + 1 : to - CAM_SWEEP_SLOTS + 1;
    HttpProtocolObject *chain = NULL;
    for (int64_t number = from; number <= to; number++) {
        HttpProtocolObject *connection = sweep->slots[slot_of(number)];
        sweep->slots[slot_of(number)] = NULL;
        while (connection != NULL) {
            HttpProtocolObject *next = connection->next;
            connection->next = chain;
            chain = connection;
            connection = next;
        }
    }
    sweep->tick = to > sweep->tick ? to : sweep->tick;
    return chain;
}

int CamSweep_Run(HttpServerObject *server) {
    cam_sweep *sweep = &server->sweep;
    int64_t late = sweep->handle != NULL ? CamMetrics_Now() - sweep->due : 0;
    Py_CLEAR(sweep->handle);
    if (server->metrics != NULL) {
        CamMetrics_Late(server->metrics, sweep->due);
    }
    PyObject *due = PyList_New(0);
    if (due == NULL) {
        return -1;
    }
    int64_t now = CamMetrics_Now();
    if (server->shutting_down && server->linger > 0) {
        give_back(server, late);
    }
    HttpProtocolObject *connection = take_over(sweep, now);
    int status = 0;
    /* No user code runs before all are filed again. */
    while (connection != NULL) {
        HttpProtocolObject *next = connection->next;
        int64_t when = CamTiming_NextLook(connection);
        if (when <= now) {
            when = CAM_FOREVER; /* until it has been looked at, or failing that a turn later */
            status = PyList_Append(due, (PyObject *)connection) < 0 ? -1 : status;
        }
        link_into(sweep, connection, slot_of(number_for(sweep, when)));
        connection = next;
    }
    for (Py_ssize_t i = 0; status == 0 && i < PyList_GET_SIZE(due); i++) {
        connection = (HttpProtocolObject *)PyList_GET_ITEM(due, i);
        if (CamTiming_Look(connection, now) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    PyObject *error = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(due);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    return plan_next(server);
}
