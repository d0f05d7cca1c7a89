/* SPDX-License-Identifier: MIT */
/* The datagram transport's life, from its first step to connection_lost, and its errors. */
#include "transport/datagram_object.h"

#include "compat.h"
#include "transport/limits.h"
#include "transport/notify.h"
#include "transport/stream_object.h"

int cam_datagram_watch(DatagramObject *datagram, uint32_t interest) {
    if (interest == datagram->io.interest) {
        return 0;
    }
    return CamLoop_WatchIo(datagram->loop, &datagram->io, interest);
}

/* ---- errors ---- */

void cam_datagram_debug(DatagramObject *datagram, const char *text, PyObject *exception) {
    if (datagram->loop != NULL && datagram->loop->debug) {
        CamNotify_Log(datagram->state, "debug", (PyObject *)datagram, text, exception);
    }
}

int cam_datagram_error(DatagramObject *datagram) {
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *result = NULL;
    if (datagram->protocol != NULL) {
        if (datagram->loop != NULL) {
            CamLoop_NoteCall(datagram->loop, datagram->protocol,
                             datagram->state->str_error_received);
        }
        result =
            CamNotify_CallHere(datagram->protocol, datagram->state->str_error_received, exception);
    } else {
        PyErr_SetRaisedException(Py_NewRef(exception)); /* finished meanwhile: nobody else hears */
    }
    PyObject *raised = result ? NULL : PyErr_GetRaisedException();
    Py_DECREF(exception);
    Py_XDECREF(result);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
        return -1;
    }
    return 0;
}

int cam_datagram_fatal(DatagramObject *datagram, const char *message) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *self = (PyObject *)datagram;
    PyObject *exception = PyErr_GetRaisedException();
    int status = 0;
    if (PyObject_TypeCheck(exception, (PyTypeObject *)PyExc_OSError)) {
        cam_datagram_debug(datagram, message, exception);
    } else {
        PyErr_SetRaisedException(Py_NewRef(exception));
        status = CamNotify_Report(datagram->loop, self, datagram->protocol, message);
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (cam_datagram_force_close(datagram, exception) < 0) {
        if (left == NULL) {
            status = -1;
        } else {
            PyErr_Clear();
        }
    }
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    Py_DECREF(exception);
    return status;
}

/* ---- the end ---- */

/* Queues connection_lost; nothing is received any more. */
static int lose(DatagramObject *datagram) {
    datagram->closing = true;
    datagram->lost = 1;
    CamLoop_UnwatchIo(datagram->loop, &datagram->io);
    if (CamLoop_CheckUsable(datagram->loop) < 0) {
        return -1;
    }
    return CamLoop_Enqueue(datagram->loop, cam_datagram_finish, (PyObject *)datagram);
}

int cam_datagram_force_close(DatagramObject *datagram, PyObject *reason) {
    if (datagram->lost || datagram->loop == NULL) {
        return 0;
    }
    datagram->closing = true;
    cam_datagram_drop_unsent(datagram);
    if (datagram->lost || datagram->loop == NULL) {
        return 0;
    }
    Py_XSETREF(datagram->reason, Py_XNewRef(reason));
    return lose(datagram);
}

int cam_datagram_close(DatagramObject *datagram) {
    if (datagram->closing || datagram->loop == NULL) {
        return 0;
    }
    datagram->closing = true;
    if (datagram->first == NULL) {
        return lose(datagram);
    }
    return cam_datagram_watch(datagram, CAM_POLL_OUT);
}

void cam_datagram_release(DatagramObject *datagram) {
    if (datagram->loop != NULL) {
        CamLoop_UnwatchIo(datagram->loop, &datagram->io);
    }
    datagram->io.fd = -1;
    datagram->closing = true;
    datagram->finished = true;
    PyObject *pending = PyErr_GetRaisedException();
    LoopObject *loop = datagram->loop;
    PyObject *held[] = {datagram->protocol, datagram->context, datagram->reason,
                        datagram->recent_object, datagram->address};
    PyObject *socket = datagram->socket;
    datagram->loop = NULL;
    datagram->socket = NULL;
    datagram->protocol = NULL;
    datagram->context = NULL;
    datagram->reason = NULL;
    datagram->recent_object = NULL;
    datagram->address = NULL;
    datagram->recent.length = 0;
    cam_datagram_drop_unsent(datagram);
    cam_datagram_drop_waiting(datagram);
    if (socket != NULL) {
        CamNotify_Quietly(socket, datagram->state->str_close, NULL);
        cam_stream_let_go_socket(datagram->state, socket); /* closes it really */
        Py_DECREF(socket);
        if (loop != NULL) {
            CamLoop_DescriptorFreed(loop);
        }
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(held); i++) {
        Py_XDECREF(held[i]);
    }
    Py_XDECREF(loop);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int cam_datagram_finish(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    DatagramObject *datagram = (DatagramObject *)owner;
    if (datagram->finished) {
        return 0;
    }
    datagram->finished = true;
    if (!datagram->lost) {
        datagram->lost = 1;
    }
    int status = 0;
    if (datagram->protocol != NULL) {
        CamLoop_NoteCall(datagram->loop, datagram->protocol, datagram->state->str_connection_lost);
        PyObject *reason = datagram->reason ? Py_NewRef(datagram->reason) : Py_NewRef(Py_None);
        PyObject *result = CamNotify_Call(datagram->context, datagram->protocol,
                                          datagram->state->str_connection_lost, reason, NULL);
        if (result == NULL) {
            status = CamNotify_Report(datagram->loop, owner, datagram->protocol,
                                      "Exception in callback protocol.connection_lost()");
        }
        Py_XDECREF(result);
        PyObject *pending = status < 0 ? PyErr_GetRaisedException() : NULL;
        Py_DECREF(reason);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending);
        }
    }
    cam_datagram_release(datagram);
    return status;
}

/* ---- the beginning ---- */

static int step_connection_made(LoopObject *loop, PyObject *owner) {
    DatagramObject *datagram = (DatagramObject *)owner;
    if (datagram->protocol == NULL) {
        return 0;
    }
    CamLoop_NoteCall(loop, datagram->protocol, datagram->state->str_connection_made);
    PyObject *result = CamNotify_Call(datagram->context, datagram->protocol,
                                      datagram->state->str_connection_made, owner, NULL);
    if (result == NULL) {
        return CamNotify_Report(loop, owner, datagram->protocol,
                                "Exception in callback protocol.connection_made()");
    }
    Py_DECREF(result);
    return 0;
}

static int step_start_reading(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    return cam_datagram_read_on((DatagramObject *)owner);
}

int cam_datagram_begin(DatagramObject *datagram, LoopObject *loop, PyObject *waiter) {
    PyObject *self = (PyObject *)datagram;
    datagram->io.owner = self;
    datagram->io.readable = cam_datagram_readable;
    datagram->io.writable = cam_datagram_writable;
    datagram->high_water = CAM_HIGH_WATER;
    datagram->low_water = CAM_HIGH_WATER / 4;
    datagram->context = PyContext_CopyCurrent();
    if (datagram->context == NULL) {
        return -1;
    }
    datagram->loop = (LoopObject *)Py_NewRef(loop);
    /* Nothing is watched yet, but from now on the descriptor is a transport's. */
    if (CamLoop_WatchIo(loop, &datagram->io, 0) < 0 ||
        CamLoop_Enqueue(loop, step_connection_made, self) < 0 ||
        CamLoop_Enqueue(loop, step_start_reading, self) < 0 ||
        (waiter != NULL && CamLoop_Enqueue(loop, CamNotify_WakeWaiter, waiter) < 0)) {
        return -1;
    }
    return 0;
}
