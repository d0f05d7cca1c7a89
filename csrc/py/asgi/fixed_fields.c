/* SPDX-License-Identifier: MIT */
#include "asgi/fixed_fields.h"

#include "asgi/buffer.h"
#include "asgi/response.h"
#include "http/chars.h"

/* What is being made. */
typedef struct making {
    cam_fixed_fields made;
    cam_buffer others;
    const char *called;
    bool framing;
} making;

/* Names of what tells where a response ends, or how long its connection lasts. */
static bool is_framing(const char *name, size_t len) {
    static const char *const names[] = {"connection", "content-length",    "keep-alive",
                                        "trailer",    "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (len == strlen(names[i]) && cam_char_equal(name, names[i], len)) {
            return true;
        }
    }
    return false;
}

/* cam_put_field. */
static int add(void *argument, PyObject *name, PyObject *value) {
    making *self = argument;
    if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s: each must be a pair of bytes, (name, value)",
                     self->called);
        return -1;
    }
    cam_buffer line = {0};
    int result = CamResponse_PutField(&line, name, value);
    const char *text = PyBytes_AS_STRING(name);
    size_t len = (size_t)PyBytes_GET_SIZE(name);
    if (result < 0) {
        if (PyErr_ExceptionMatches(PyExc_RuntimeError)) {
            PyErr_Format(PyExc_ValueError, "%s: (%R, %R) is not a valid header", self->called, name,
                         value);
        }
    } else if (!self->framing && is_framing(text, len)) {
        PyErr_Format(PyExc_ValueError, "%s: (%R, %R) is for the server to say", self->called, name,
                     value);
        result = -1;
    } else {
        PyObject **apart = len == 6 && cam_char_equal(text, "server", 6) ? &self->made.server
                           : len == 4 && cam_char_equal(text, "date", 4) ? &self->made.date
                                                                         : NULL;
        if (apart != NULL) {
            Py_XSETREF(*apart, PyBytes_FromStringAndSize(line.ptr, (Py_ssize_t)line.len));
            result = *apart ? 0 : -1;
        } else {
            result = cam_buffer_append(&self->others, line.ptr, line.len);
        }
    }
    cam_buffer_free(&line);
    return result;
}

int CamFixedFields_Set(cam_fixed_fields *fields, PyObject *pairs, const char *called,
                       bool framing) {
    making self = {.called = called, .framing = framing};
    int result = pairs != NULL && pairs != Py_None ? CamResponse_EachField(pairs, add, &self) : 0;
    if (result == 0) {
        self.made.others = PyBytes_FromStringAndSize(self.others.ptr, (Py_ssize_t)self.others.len);
        result = self.made.others ? 0 : -1;
    }
    cam_buffer_free(&self.others);
    if (result == 0) {
        cam_fixed_fields former = *fields;
        *fields = self.made;
        self.made = former;
    }
    CamFixedFields_Clear(&self.made);
    return result;
}

void CamFixedFields_Clear(cam_fixed_fields *fields) {
    Py_CLEAR(fields->date);
    Py_CLEAR(fields->server);
    Py_CLEAR(fields->others);
}
