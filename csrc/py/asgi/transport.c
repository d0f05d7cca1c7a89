/* SPDX-License-Identifier: MIT */
#include "asgi/transport.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#include "stream.h"
#include "tls_transport.h"

#include <unistd.h>

/* Calls a method without arguments for its effect. */
static int call(PyObject *object, PyObject *method) {
    PyObject *result = PyObject_CallMethodNoArgs(object, method);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Calls one of two methods: the second if there is no first. uvicorn asks no more of a transport
 * than close(), and its tests have some that do not have more. */
static int call_either(PyObject *object, PyObject *method, PyObject *instead) {
    PyObject *bound = PyObject_GetAttr(object, method);
    if (bound == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        bound = PyObject_GetAttr(object, instead);
    }
    PyObject *result = bound ? PyObject_CallNoArgs(bound) : NULL;
    Py_XDECREF(bound);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* What a method says, and false if there is none. */
static int call_bool(PyObject *object, PyObject *method) {
    PyObject *bound = PyObject_GetAttr(object, method);
    if (bound == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    PyObject *result = PyObject_CallNoArgs(bound);
    Py_DECREF(bound);
    int truth = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return truth;
}

cam_transport CamTransport_Of(cam_state *state, PyObject *object) {
    cam_transport transport = {object, CAM_TRANSPORT_OTHER};
    if (CamStream_Check(state, object)) {
        transport.kind = CAM_TRANSPORT_STREAM;
    } else if (CamTls_Check(state, object)) {
        transport.kind = CAM_TRANSPORT_TLS;
    }
    return transport;
}

/* Defines NAME(state, transport): our own transports' functions, or what others have. */
#define DEFINE_CALL(name, stream_function, tls_function, other)                                    \
    int name(cam_state *state, cam_transport transport) {                                          \
        if (transport.object == NULL) {                                                            \
            return 0;                                                                              \
        }                                                                                          \
        Py_INCREF(transport.object);                                                               \
        int result = transport.kind == CAM_TRANSPORT_STREAM ? stream_function(transport.object)    \
                     : transport.kind == CAM_TRANSPORT_TLS  ? tls_function(transport.object)       \
                                                            : other;                               \
        Py_DECREF(transport.object);                                                               \
        return result;                                                                             \
    }

/* Once: one that is closing may not want to hear it again. */
static int close_other(cam_state *state, PyObject *transport) {
    int closing = call_bool(transport, state->asgi.str_is_closing);
    return closing != 0 ? (closing < 0 ? -1 : 0) : call(transport, state->asgi.str_close);
}

#define OTHER(method) call(transport.object, state->asgi.str_##method)

DEFINE_CALL(CamTransport_Close, CamStream_Close, CamTls_Close, close_other(state, transport.object))
DEFINE_CALL(CamTransport_Abort, CamStream_Abort, CamTls_Abort,
            call_either(transport.object, state->asgi.str_abort, state->asgi.str_close))
DEFINE_CALL(CamTransport_PauseReading, CamStream_PauseReadingLazily, CamTls_PauseReading,
            OTHER(pause_reading))
DEFINE_CALL(CamTransport_ResumeReading, CamStream_ResumeReading, CamTls_ResumeReading,
            OTHER(resume_reading))

int CamTransport_Write(cam_state *state, cam_transport transport, const char *data, size_t size) {
    if (transport.object == NULL || size == 0) {
        return 0;
    }
    if (transport.kind == CAM_TRANSPORT_OTHER) {
        PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
        int result = bytes ? CamTransport_WriteBytes(state, transport, bytes) : -1;
        Py_XDECREF(bytes);
        return result;
    }
    Py_INCREF(transport.object);
    int result = transport.kind == CAM_TRANSPORT_STREAM
                     ? CamStream_Write(transport.object, data, (Py_ssize_t)size)
                     : CamTls_Write(transport.object, data, (Py_ssize_t)size);
    Py_DECREF(transport.object);
    return result;
}

int CamTransport_WriteBytes(cam_state *state, cam_transport transport, PyObject *bytes) {
    if (transport.object == NULL || PyBytes_GET_SIZE(bytes) == 0) {
        return 0;
    }
    Py_INCREF(transport.object);
    int result = -1;
    if (transport.kind == CAM_TRANSPORT_STREAM) {
        result = CamStream_WriteBytes(transport.object, bytes);
    } else if (transport.kind == CAM_TRANSPORT_TLS) {
        result = CamTls_WriteBytes(transport.object, bytes);
    } else {
        PyObject *none = PyObject_CallMethodOneArg(transport.object, state->asgi.str_write, bytes);
        Py_XDECREF(none);
        result = none ? 0 : -1;
    }
    Py_DECREF(transport.object);
    return result;
}

int CamTransport_WriteText(cam_state *state, cam_transport transport, PyObject *text) {
    (void)state;
    if (transport.object == NULL) {
        return 0;
    }
    Py_INCREF(transport.object);
    int result = CamStream_WriteText(transport.object, text);
    Py_DECREF(transport.object);
    return result;
}

bool CamTransport_SendsFiles(cam_transport transport) {
#ifdef __linux__
    return transport.kind == CAM_TRANSPORT_STREAM;
#else
    (void)transport;
    return false; /* sendfile(2) is another call elsewhere */
#endif
}

int CamTransport_WriteFile(cam_state *state, cam_transport transport, int fd, off_t offset,
                           size_t size) {
    (void)state;
    if (transport.object == NULL) {
        close(fd);
        return 0;
    }
    Py_INCREF(transport.object);
    int result = CamStream_WriteFile(transport.object, fd, offset, size);
    Py_DECREF(transport.object);
    return result;
}

int CamTransport_WriteEof(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return 0;
    }
    Py_INCREF(transport.object);
    int able = call_bool(transport.object, state->asgi.str_can_write_eof);
    if (able > 0 && call(transport.object, state->asgi.str_write_eof) < 0) {
        able = -1;
        if (PyErr_ExceptionMatches(PyExc_OSError)) {
            PyErr_Clear(); /* the peer has reset the connection: there is nobody to wait for */
            able = 0;
        }
    }
    Py_DECREF(transport.object);
    return able;
}

int CamTransport_IsClosing(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return 1;
    }
    if (transport.kind == CAM_TRANSPORT_STREAM) {
        return CamStream_IsClosing(transport.object);
    }
    Py_INCREF(transport.object);
    int closing = transport.kind == CAM_TRANSPORT_TLS
                      ? CamTls_IsClosing(transport.object)
                      : call_bool(transport.object, state->asgi.str_is_closing);
    Py_DECREF(transport.object);
    return closing;
}

/* The transport's descriptor, to ask the kernel about; -1 if it does not tell. Sets no exception.
 */
static int descriptor_of(cam_state *state, cam_transport transport) {
    if (transport.kind == CAM_TRANSPORT_STREAM) {
        return CamStream_Descriptor(transport.object);
    }
    if (transport.kind == CAM_TRANSPORT_TLS) {
        return CamTls_Descriptor(transport.object);
    }
    PyObject *socket = CamTransport_ExtraInfo(state, transport, state->str_socket);
    int fd = socket != NULL && socket != Py_None ? PyObject_AsFileDescriptor(socket) : -1;
    Py_XDECREF(socket);
    PyErr_Clear();
    return fd;
}

/* What get_write_buffer_size() gives, or -1. */
static Py_ssize_t unsent_by(cam_state *state, cam_transport transport) {
    if (transport.kind == CAM_TRANSPORT_STREAM) {
        return CamStream_WriteBufferSize(transport.object);
    }
    if (transport.kind == CAM_TRANSPORT_TLS) {
        return CamTls_WriteBufferSize(transport.object);
    }
    PyObject *held =
        PyObject_CallMethodNoArgs(transport.object, state->asgi.str_get_write_buffer_size);
    Py_ssize_t size = held ? PyLong_AsSsize_t(held) : -1;
    Py_XDECREF(held);
    return size;
}

int CamTransport_HasUnsent(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return 0;
    }
    Py_INCREF(transport.object);
    Py_ssize_t size = unsent_by(state, transport);
    Py_DECREF(transport.object);
    return size < 0 ? -1 : size > 0;
}

Py_ssize_t CamTransport_Unacknowledged(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return 0;
    }
    Py_INCREF(transport.object);
    Py_ssize_t size = unsent_by(state, transport);
#ifdef SIOCOUTQ
    int sent = 0;
    if (size >= 0 && ioctl(descriptor_of(state, transport), SIOCOUTQ, &sent) == 0) {
        size += sent;
    }
#endif
    Py_DECREF(transport.object);
    return size;
}

bool CamTransport_HasUnread(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return false;
    }
    Py_INCREF(transport.object);
    int unread = 0;
    bool told = ioctl(descriptor_of(state, transport), FIONREAD, &unread) == 0;
    Py_DECREF(transport.object);
    return told && unread > 0;
}

int CamTransport_Reset(cam_state *state, cam_transport transport) {
    if (transport.object == NULL) {
        return 0;
    }
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    Py_INCREF(transport.object);
    (void)setsockopt(descriptor_of(state, transport), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    int result = CamTransport_Abort(state, transport);
    Py_DECREF(transport.object);
    return result;
}

PyObject *CamTransport_ExtraInfo(cam_state *state, cam_transport transport, PyObject *name) {
    if (transport.object == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(transport.object);
    PyObject *info =
        transport.kind == CAM_TRANSPORT_STREAM
            ? CamStream_Info(transport.object, name)
            : PyObject_CallMethodOneArg(transport.object, state->asgi.str_get_extra_info, name);
    Py_DECREF(transport.object);
    return info;
}
