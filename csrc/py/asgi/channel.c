/* SPDX-License-Identifier: MIT */
#include "asgi/channel.h"

#include <structmember.h>

#include "asgi/cycle.h"
#include "asgi/wait.h"

typedef struct ChannelObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    RunObject *run; /* strong */
} ChannelObject;

static PyObject *call_receive(PyObject *op, PyObject *const *Py_UNUSED(args), size_t nargsf,
                              PyObject *kwnames) {
    if (PyVectorcall_NARGS(nargsf) != 0 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "receive() takes no arguments");
        return NULL;
    }
    return CamWait_New(((ChannelObject *)op)->run, CAM_WAIT_RECEIVE);
}

static PyObject *wait_until_sent(RunObject *run) {
    return CamRun_MustWaitToSend(run) ? CamWait_New(run, CAM_WAIT_SEND)
                                      : Py_NewRef(run->state->asgi.done);
}

/* The event is taken at once, not when the result is awaited: an awaitable is only needed when
 * the peer does not keep up. */
static PyObject *call_send(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    if (PyVectorcall_NARGS(nargsf) + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) != 1) {
        PyErr_SetString(PyExc_TypeError, "send() takes exactly one argument, the event");
        return NULL;
    }
    RunObject *run = (RunObject *)Py_NewRef(((ChannelObject *)op)->run);
    PyObject *result = NULL;
    if (run->kind->send(run, args[0]) == 0) {
        if (run->kind->take_waiter != NULL) {
            result = run->kind->take_waiter(run);
        }
        if (result == NULL) {
            result = wait_until_sent(run);
        }
    }
    Py_DECREF(run);
    return result;
}

/* state->asgi.send_whole */
static PyObject *send_whole(PyObject *send, int status, PyObject *headers, PyObject *body) {
    RunObject *run = ((ChannelObject *)send)->run;
    if (run->kind->send != CamCycle_Send) {
        Py_RETURN_NONE;
    }
    Py_INCREF(run);
    PyObject *awaitable = CamCycle_SendWhole((CycleObject *)run, status, headers, body) == 0
                              ? wait_until_sent(run)
                              : NULL;
    Py_DECREF(run);
    return awaitable;
}

static PyObject *call_piece(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    if (PyVectorcall_NARGS(nargsf) != 3 || kwnames != NULL || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a piece is sent as (bytes, more_body, last)");
        return NULL;
    }
    RunObject *run = (RunObject *)Py_NewRef(((ChannelObject *)op)->run);
    int result =
        CamCycle_SendPiece((CycleObject *)run, args[0], args[1] == Py_True, args[2] == Py_True);
    PyObject *awaitable = result == 0 ? wait_until_sent(run) : NULL;
    Py_DECREF(run);
    return awaitable;
}

static PyObject *new_channel(RunObject *run, PyObject *type, vectorcallfunc function) {
    ChannelObject *self =
        (ChannelObject *)((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (self != NULL) {
        self->vectorcall = function;
        self->run = (RunObject *)Py_NewRef(run);
    }
    return (PyObject *)self;
}

PyObject *CamChannel_NewReceive(RunObject *run) {
    return new_channel(run, run->state->asgi.receive_type, call_receive);
}

PyObject *CamChannel_NewSend(RunObject *run) {
    return new_channel(run, run->state->asgi.send_type, call_send);
}

PyObject *CamChannel_NewPiece(CycleObject *cycle) {
    return new_channel((RunObject *)cycle, cycle->state->asgi.piece_type, call_piece);
}

static int channel_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((ChannelObject *)op)->run);
    return 0;
}

/* There is no tp_clear: the run, which every such loop goes through, breaks it. */
static void channel_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_CLEAR(((ChannelObject *)op)->run);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef channel_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ChannelObject, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot receive_slots[] = {
    {Py_tp_doc, (void *)"receive(): the next event of a run, when awaited."},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, channel_members},
    {0, NULL},
};

static PyType_Slot send_slots[] = {
    {Py_tp_doc, (void *)"send(event): sends an event to the peer; to be awaited."},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, channel_members},
    {0, NULL},
};

static PyType_Slot piece_slots[] = {
    {Py_tp_doc, (void *)"send(piece, more_body, last): sends a piece of a file; to be awaited."},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, channel_members},
    {0, NULL},
};

enum {
    CHANNEL_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
    Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
};

static PyType_Spec receive_spec = {
    .name = "camshaft._core.Receive",
    .basicsize = sizeof(ChannelObject),
    .flags = CHANNEL_FLAGS,
    .slots = receive_slots,
};

static PyType_Spec send_spec = {
    .name = "camshaft._core.Send",
    .basicsize = sizeof(ChannelObject),
    .flags = CHANNEL_FLAGS,
    .slots = send_slots,
};

static PyType_Spec piece_spec = {
    .name = "camshaft._core.SendPiece",
    .basicsize = sizeof(ChannelObject),
    .flags = CHANNEL_FLAGS,
    .slots = piece_slots,
};

int cam_channel_exec(PyObject *module, cam_state *state) {
    state->asgi.send_whole = send_whole;
    if (CamState_AddType(module, &receive_spec, NULL, 0, &state->asgi.receive_type) < 0 ||
        CamState_AddType(module, &send_spec, NULL, 0, &state->asgi.send_type) < 0 ||
        CamState_AddType(module, &piece_spec, NULL, 0, &state->asgi.piece_type) < 0) {
        return -1;
    }
    return 0;
}
