/* SPDX-License-Identifier: MIT */
/*
 * sock_recv and its family: calls on sockets that stay the caller's.
 *
 * Each returns a SockCall, to be awaited like a coroutine. It does nothing before its first step,
 * which tries the system call; only if the kernel refuses does it wait (readiness.h), and then it
 * tries again. Nothing is taken from the socket but by a step whose result is returned: a call
 * cancelled while it waits loses nothing.
 *
 * On a plain socket.socket the descriptor is read and written directly, never blocking whatever
 * its mode. On anything else (subclasses, mocks) the object's own methods are called, as asyncio
 * does; so they are on a plain socket for what has addresses to parse or sockets to make, and
 * where an argument is wrong, for the exception.
 */
#include "args.h"
#include "compat.h"
#include "coroutine.h"
#include "transport/address.h"
#include "loop/loop.h"
#include "loop/readiness.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    MOST_ARGUMENTS = 3,
    /* A read of more than this lets the next go straight into a bytes object. */
    BULK_THRESHOLD = 4 * 1024,
};

/* How an attempt ended. */
typedef enum Attempt {
    FAILED,      /* with an exception */
    REFUSED,     /* the kernel has nothing, or no room */
    DONE,        /* *result is set */
    BY_METHOD,   /* not to be done directly */
    INTERRUPTED, /* by a signal, whose handler has run */
} Attempt;

typedef struct SockCallObject SockCallObject;

typedef struct Operation {
    const char *name;
    const char *parameters[MOST_ARGUMENTS + 1]; /* that must be given; ends with NULL */
    const char *optional;                       /* one more, or NULL */
    uint32_t side;
    bool number_first;
    Attempt (*direct)(SockCallObject *call, PyObject **result); /* plain sockets; may be NULL */
    Attempt (*indirect)(SockCallObject *call, PyObject **result);
} Operation;

struct SockCallObject {
    PyObject_HEAD
    const Operation *operation;
    LoopObject *loop;                    /* strong; NULL once ended */
    PyObject *arguments[MOST_ARGUMENTS]; /* strong or NULL; the socket is the first */
    ReadinessObject *wait;               /* strong or NULL: yielded last */
    PyObject *view;   /* strong or NULL: sock_sendall's memoryview for a method */
    Py_buffer buffer; /* sock_sendall's data, exported when buffer.obj is set */
    Py_ssize_t sent;
    int fd;
    bool plain; /* the socket is exactly a socket.socket */
    bool started;
    bool running;
    bool connecting; /* _sock_connect: connect() was called */
};

/* ---- the socket ---- */

/* The descriptor's number, -1 for a closed socket; -2 with an exception. */
static int number_of(SockCallObject *call) {
    cam_state *state = call->loop->state;
    PyObject *sock = call->arguments[0];
    PyObject *number;
    if (call->plain) {
        PyObject *stack[] = {NULL, sock};
        number = PyObject_Vectorcall(state->sock_fileno, stack + 1,
                                     1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    } else {
        number = PyObject_CallMethodNoArgs(sock, state->str_fileno);
    }
    if (number == NULL) {
        return -2;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd == -1 && PyErr_Occurred()) {
        return -2;
    }
    if (fd < -1 || fd > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "Invalid file descriptor");
        return -2;
    }
    return (int)fd;
}

/* asyncio's checks, made when the call starts. 0, or -1 with an exception. */
static int check_socket(SockCallObject *call) {
    cam_state *state = call->loop->state;
    PyObject *sock = call->arguments[0];
    if (!call->plain) {
        PyObject *checked = PyObject_CallOneArg(state->check_ssl_socket, sock);
        if (checked == NULL) {
            return -1;
        }
        Py_DECREF(checked);
    }
    if (!call->loop->debug) {
        return 0;
    }
    PyObject *timeout = PyObject_CallMethodNoArgs(sock, state->str_gettimeout);
    PyObject *zero = timeout ? PyLong_FromLong(0) : NULL;
    int blocks = zero ? PyObject_RichCompareBool(timeout, zero, Py_NE) : -1;
    Py_XDECREF(timeout);
    Py_XDECREF(zero);
    if (blocks > 0) {
        PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
        return -1;
    }
    return blocks;
}

/* ---- attempts by the object's methods ---- */

/* Calls sock.name(arguments[1], ..., count of them with the socket). */
static Attempt call_method(SockCallObject *call, PyObject *name, size_t count, PyObject **result) {
    PyObject *stack[MOST_ARGUMENTS + 1] = {NULL};
    for (size_t i = 0; i < count; i++) {
        stack[1 + i] = Py_NewRef(call->arguments[i]);
    }
    *result =
        PyObject_VectorcallMethod(name, stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Attempt outcome = DONE;
    if (*result == NULL) {
        outcome = FAILED;
        if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
            PyErr_ExceptionMatches(PyExc_InterruptedError)) {
            PyErr_Clear();
            outcome = REFUSED;
        }
    }
    PyObject *exception = outcome == FAILED ? PyErr_GetRaisedException() : NULL;
    for (size_t i = 0; i < count; i++) {
        Py_DECREF(stack[1 + i]);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return outcome;
}

static Attempt recv_by_method(SockCallObject *call, PyObject **result) {
    return call_method(call, call->loop->state->str_recv, 2, result);
}

static Attempt recv_into_by_method(SockCallObject *call, PyObject **result) {
    return call_method(call, call->loop->state->str_recv_into, 2, result);
}

static Attempt recvfrom_by_method(SockCallObject *call, PyObject **result) {
    return call_method(call, call->loop->state->str_recvfrom, 2, result);
}

static Attempt recvfrom_into_by_method(SockCallObject *call, PyObject **result) {
    if (call->arguments[2] != NULL) {
        int given = PyObject_IsTrue(call->arguments[2]);
        if (given < 0) {
            return FAILED;
        }
        if (!given) {
            Py_CLEAR(call->arguments[2]);
        }
    }
    if (call->arguments[2] == NULL) {
        Py_ssize_t length = PyObject_Length(call->arguments[1]);
        call->arguments[2] = length >= 0 ? PyLong_FromSsize_t(length) : NULL;
        if (call->arguments[2] == NULL) {
            return FAILED;
        }
    }
    return call_method(call, call->loop->state->str_recvfrom_into, 3, result);
}

static Attempt sendto_by_method(SockCallObject *call, PyObject **result) {
    return call_method(call, call->loop->state->str_sendto, 3, result);
}

static Attempt accept_by_method(SockCallObject *call, PyObject **result) {
    cam_state *state = call->loop->state;
    Attempt outcome = call_method(call, state->str_accept, 1, result);
    if (outcome != DONE) {
        return outcome;
    }
    PyObject *pair = PySequence_Tuple(*result);
    Py_DECREF(*result);
    *result = NULL;
    if (pair == NULL) {
        return FAILED;
    }
    if (PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_ValueError, "accept() must give a socket and an address");
        Py_DECREF(pair);
        return FAILED;
    }
    PyObject *done =
        PyObject_CallMethodOneArg(PyTuple_GET_ITEM(pair, 0), state->str_setblocking, Py_False);
    if (done == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(pair);
        PyErr_SetRaisedException(exception);
        return FAILED;
    }
    Py_DECREF(done);
    *result = pair;
    return DONE;
}

static Attempt connect_by_method(SockCallObject *call, PyObject **result) {
    cam_state *state = call->loop->state;
    if (!call->connecting) {
        call->connecting = true;
        Attempt outcome = call_method(call, state->str_connect, 2, result);
        if (outcome == DONE) {
            Py_SETREF(*result, Py_NewRef(Py_None));
        }
        return outcome;
    }
    PyObject *level = PyLong_FromLong(SOL_SOCKET);
    PyObject *option = PyLong_FromLong(SO_ERROR);
    PyObject *number = NULL;
    if (level != NULL && option != NULL) {
        number = PyObject_CallMethodObjArgs(call->arguments[0], state->str_getsockopt, level,
                                            option, NULL);
    }
    Py_XDECREF(level);
    Py_XDECREF(option);
    if (number == NULL) {
        if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
            PyErr_ExceptionMatches(PyExc_InterruptedError)) {
            PyErr_Clear();
            return REFUSED;
        }
        return FAILED;
    }
    int failed = PyObject_IsTrue(number);
    if (failed == 0) {
        Py_DECREF(number);
        *result = Py_NewRef(Py_None);
        return DONE;
    }
    if (failed > 0) {
        PyObject *text = PyUnicode_FromFormat("Connect call failed %S", call->arguments[1]);
        PyObject *error =
            text ? PyObject_CallFunctionObjArgs(PyExc_OSError, number, text, NULL) : NULL;
        Py_XDECREF(text);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }
    Py_DECREF(number);
    return FAILED;
}

/* The bytes that are left, as an argument for send(): the object itself at first. */
static PyObject *rest_of(SockCallObject *call) {
    if (call->view == NULL) {
        return Py_NewRef(call->arguments[1]);
    }
    if (PyMemoryView_GET_BUFFER(call->view)->itemsize != 1) {
        PyObject *bytes = PyObject_CallMethod(call->view, "cast", "s", "B");
        if (bytes == NULL) {
            return NULL;
        }
        Py_SETREF(call->view, bytes);
    }
    return PySequence_GetSlice(call->view, call->sent, PyMemoryView_GET_BUFFER(call->view)->len);
}

static Attempt sendall_by_method(SockCallObject *call, PyObject **result) {
    cam_state *state = call->loop->state;
    PyObject *rest = rest_of(call);
    if (rest == NULL) {
        return FAILED;
    }
    PyObject *done = PyObject_CallMethodOneArg(call->arguments[0], state->str_send, rest);
    Py_ssize_t count = done ? PyNumber_AsSsize_t(done, PyExc_OverflowError) : -1;
    if (done == NULL && (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
                         PyErr_ExceptionMatches(PyExc_InterruptedError))) {
        PyErr_Clear();
        count = 0;
    }
    PyObject *exception = PyErr_GetRaisedException();
    Py_XDECREF(done);
    Py_DECREF(rest);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return FAILED;
    }
    if (call->view == NULL) {
        call->view = PyMemoryView_FromObject(call->arguments[1]);
        if (call->view == NULL) {
            return FAILED;
        }
    }
    call->sent += count;
    if (call->sent < PyMemoryView_GET_BUFFER(call->view)->len) {
        return REFUSED;
    }
    *result = Py_NewRef(Py_None);
    return DONE;
}

/* ---- attempts on the descriptor ---- */

/* After a system call that failed: REFUSED, INTERRUPTED, or FAILED. Runs signal handlers. */
static Attempt judge_errno(void) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return REFUSED;
    }
    if (errno == EINTR) {
        return PyErr_CheckSignals() < 0 ? FAILED : INTERRUPTED;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILED;
}

/* recvfrom, or recv when `address` is NULL. DONE with *count set. No user code but signal
 * handlers. */
static Attempt receive(SockCallObject *call, void *buffer, size_t size, CamAddress *address,
                       Py_ssize_t *count) {
    for (;;) {
        if (address != NULL) {
            socklen_t room = sizeof(*address) - offsetof(CamAddress, any);
            socklen_t length = room;
            *count = recvfrom(call->fd, buffer, size, MSG_DONTWAIT, &address->any, &length);
            address->length = length < room ? length : room;
        } else {
            *count = recv(call->fd, buffer, size, MSG_DONTWAIT);
        }
        if (*count >= 0) {
            return DONE;
        }
        Attempt outcome = judge_errno();
        if (outcome != INTERRUPTED) {
            return outcome;
        }
    }
}

/* A bytes object with what was received. Small pieces go through a buffer of the loop's: what is
 * asked for at most is often far more than what comes. */
static Attempt receive_bytes(SockCallObject *call, Py_ssize_t limit, CamAddress *address,
                             PyObject **bytes) {
    LoopObject *loop = call->loop;
    Py_ssize_t count;
    if (limit <= CAM_READ_BUFFER && !loop->sock_bulk) {
        char *buffer = CamLoop_CallBuffer(loop);
        if (buffer == NULL) {
            return FAILED;
        }
        Attempt outcome = receive(call, buffer, (size_t)limit, address, &count);
        if (outcome != DONE) {
            return outcome;
        }
        loop->sock_bulk = count > BULK_THRESHOLD;
        *bytes = PyBytes_FromStringAndSize(buffer, count);
        return *bytes ? DONE : FAILED;
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, limit);
    if (data == NULL) {
        return FAILED;
    }
    Attempt outcome = receive(call, PyBytes_AS_STRING(data), (size_t)limit, address, &count);
    if (outcome != DONE) {
        Py_DECREF(data);
        return outcome;
    }
    loop->sock_bulk = count > BULK_THRESHOLD;
    if (count < limit && _PyBytes_Resize(&data, count) < 0) {
        return FAILED;
    }
    *bytes = data;
    return DONE;
}

/* The size that is asked for; false for what only the method can judge. */
static bool size_of(PyObject *object, Py_ssize_t *size) {
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    *size = PyLong_AsSsize_t(object);
    if (*size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
    }
    return *size >= 0;
}

static Attempt recv_directly(SockCallObject *call, PyObject **result) {
    Py_ssize_t size;
    if (!size_of(call->arguments[1], &size) || size == 0) {
        return BY_METHOD; /* which asks the kernel for nothing when it is to receive nothing */
    }
    return receive_bytes(call, size, NULL, result);
}

/* Whether addresses of the socket's family are known to address.h; -1 with an exception. */
static int has_known_family(SockCallObject *call) {
    PyObject *descriptor = call->loop->state->sock_family;
    PyObject *sock = call->arguments[0];
    PyObject *number =
        Py_TYPE(descriptor)->tp_descr_get(descriptor, sock, (PyObject *)Py_TYPE(sock));
    long family = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    if (family == -1 && PyErr_Occurred()) {
        return -1;
    }
    return family >= 0 && family <= INT_MAX && CamAddress_IsKnownFamily((int)family);
}

/* (what, address of the sender); steals what. */
static Attempt with_address(PyObject *what, const CamAddress *address, PyObject **result) {
    PyObject *shown = what ? CamAddress_ToPython(address) : NULL;
    *result = shown ? PyTuple_Pack(2, what, shown) : NULL;
    Py_XDECREF(what);
    Py_XDECREF(shown);
    return *result ? DONE : FAILED;
}

static Attempt recvfrom_directly(SockCallObject *call, PyObject **result) {
    Py_ssize_t size;
    int known = has_known_family(call);
    if (known <= 0 || !size_of(call->arguments[1], &size)) {
        return known < 0 ? FAILED : BY_METHOD;
    }
    CamAddress address;
    PyObject *data;
    Attempt outcome = receive_bytes(call, size, &address, &data);
    return outcome == DONE ? with_address(data, &address, result) : outcome;
}

/* Receives into arguments[1], at most `limit` bytes if that is not 0. */
static Attempt receive_into(SockCallObject *call, Py_ssize_t limit, CamAddress *address,
                            Py_ssize_t *count) {
    Py_buffer buffer;
    if (PyObject_GetBuffer(call->arguments[1], &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return BY_METHOD;
    }
    /* The method judges a limit that is too large; and without room recv_into() does not ask the
     * kernel, which recvfrom_into() does. */
    if (limit > buffer.len || (buffer.len == 0 && address == NULL)) {
        PyBuffer_Release(&buffer);
        return BY_METHOD;
    }
    size_t size = (size_t)(limit > 0 ? limit : buffer.len);
    Attempt outcome = receive(call, buffer.buf, size, address, count);
    PyObject *exception = outcome == FAILED ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&buffer); /* may run user code */
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return outcome;
}

static Attempt recv_into_directly(SockCallObject *call, PyObject **result) {
    Py_ssize_t count;
    Attempt outcome = receive_into(call, 0, NULL, &count);
    if (outcome == DONE) {
        *result = PyLong_FromSsize_t(count);
        return *result ? DONE : FAILED;
    }
    return outcome;
}

static Attempt recvfrom_into_directly(SockCallObject *call, PyObject **result) {
    Py_ssize_t limit = 0;
    int known = has_known_family(call);
    if (known <= 0 || (call->arguments[2] != NULL && !size_of(call->arguments[2], &limit))) {
        return known < 0 ? FAILED : BY_METHOD;
    }
    CamAddress address;
    Py_ssize_t count;
    Attempt outcome = receive_into(call, limit, &address, &count);
    return outcome == DONE ? with_address(PyLong_FromSsize_t(count), &address, result) : outcome;
}

static Attempt sendall_directly(SockCallObject *call, PyObject **result) {
    if (call->buffer.obj == NULL &&
        PyObject_GetBuffer(call->arguments[1], &call->buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return BY_METHOD;
    }
    do {
        ssize_t count = send(call->fd, (const char *)call->buffer.buf + call->sent,
                             (size_t)(call->buffer.len - call->sent), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) {
            Attempt outcome = judge_errno();
            if (outcome != INTERRUPTED) {
                return outcome;
            }
            continue;
        }
        call->sent += count;
    } while (call->sent < call->buffer.len);
    *result = Py_NewRef(Py_None);
    return DONE;
}

static const Operation sock_recv = {
    .name = "sock_recv",
    .parameters = {"sock", "n"},
    .side = CAM_POLL_IN,
    .direct = recv_directly,
    .indirect = recv_by_method,
};

static const Operation sock_recv_into = {
    .name = "sock_recv_into",
    .parameters = {"sock", "buf"},
    .side = CAM_POLL_IN,
    .direct = recv_into_directly,
    .indirect = recv_into_by_method,
};

static const Operation sock_recvfrom = {
    .name = "sock_recvfrom",
    .parameters = {"sock", "bufsize"},
    .side = CAM_POLL_IN,
    .direct = recvfrom_directly,
    .indirect = recvfrom_by_method,
};

static const Operation sock_recvfrom_into = {
    .name = "sock_recvfrom_into",
    .parameters = {"sock", "buf"},
    .optional = "nbytes",
    .side = CAM_POLL_IN,
    .direct = recvfrom_into_directly,
    .indirect = recvfrom_into_by_method,
};

static const Operation sock_sendall = {
    .name = "sock_sendall",
    .parameters = {"sock", "data"},
    .side = CAM_POLL_OUT,
    .direct = sendall_directly,
    .indirect = sendall_by_method,
};

static const Operation sock_sendto = {
    .name = "sock_sendto",
    .parameters = {"sock", "data", "address"},
    .side = CAM_POLL_OUT,
    .indirect = sendto_by_method,
};

static const Operation sock_accept = {
    .name = "sock_accept",
    .parameters = {"sock"},
    .side = CAM_POLL_IN,
    .number_first = true,
    .indirect = accept_by_method,
};

static const Operation sock_connect = {
    .name = "_sock_connect",
    .parameters = {"sock", "address"},
    .side = CAM_POLL_OUT,
    .number_first = true,
    .indirect = connect_by_method,
};

/* ---- steps ---- */

/* Lets go of everything; no step follows. Runs user code. */
static void end_call(SockCallObject *call) {
    LoopObject *loop = call->loop;
    ReadinessObject *wait = call->wait;
    PyObject *view = call->view;
    Py_buffer buffer = call->buffer;
    PyObject *arguments[MOST_ARGUMENTS];
    call->loop = NULL;
    call->wait = NULL;
    call->view = NULL;
    call->buffer.obj = NULL;
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        arguments[i] = call->arguments[i];
        call->arguments[i] = NULL;
    }
    if (wait != NULL) {
        CamReadiness_Abandon(wait);
        Py_DECREF(wait);
    }
    if (buffer.obj != NULL) {
        PyBuffer_Release(&buffer);
    }
    Py_XDECREF(view);
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        Py_XDECREF(arguments[i]);
    }
    Py_XDECREF(loop);
}

/* The descriptor is asked for when asyncio does: only once the object's method has been refused,
 * but for the two that are in Operation.number_first. */
static Attempt attempt(SockCallObject *call, PyObject **result) {
    const Operation *operation = call->operation;
    bool direct = call->plain && operation->direct != NULL;
    if (direct || operation->number_first) {
        call->fd = number_of(call);
        if (call->fd < -1) {
            return FAILED;
        }
    }
    if (direct) {
        Attempt outcome = operation->direct(call, result);
        if (outcome != BY_METHOD) {
            return outcome;
        }
    }
    Attempt outcome = operation->indirect(call, result);
    if (outcome == REFUSED && !direct && !operation->number_first) {
        call->fd = number_of(call);
        if (call->fd < -1) {
            return FAILED;
        }
    }
    return outcome;
}

static int start(SockCallObject *call, PyObject *value) {
    if (value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return -1;
    }
    call->started = true;
    call->plain = (PyObject *)Py_TYPE(call->arguments[0]) == call->loop->state->socket_class;
    return check_socket(call);
}

static PySendResult call_step(PyObject *self, PyObject *value, PyObject **result) {
    SockCallObject *call = (SockCallObject *)self;
    *result = NULL;
    if (call->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return PYGEN_ERROR;
    }
    Py_INCREF(self);
    call->running = true;
    Attempt outcome = FAILED;
    bool begun = call->started || start(call, value) == 0;
    if (begun) {
        if (call->wait != NULL) {
            CamReadiness_Abandon(call->wait); /* over, unless this step came by hand */
            Py_CLEAR(call->wait);
        }
        outcome = attempt(call, result);
    }
    if (outcome == REFUSED) {
        /* That the kernel has refused is known only of what this file asked it itself. */
        bool drained = call->plain && call->operation->direct != NULL;
        *result = CamReadiness_New(call->loop, call->fd, call->operation->side, call->arguments[0],
                                   drained);
        if (*result != NULL) {
            call->wait = (ReadinessObject *)Py_NewRef(*result);
        } else {
            outcome = FAILED;
        }
    }
    call->running = false;
    if (outcome != REFUSED) {
        PyObject *exception = outcome == FAILED ? PyErr_GetRaisedException() : NULL;
        end_call(call);
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
    }
    Py_DECREF(self);
    return outcome == REFUSED ? PYGEN_NEXT : outcome == DONE ? PYGEN_RETURN : PYGEN_ERROR;
}

static PyObject *call_send(PyObject *self, PyObject *value) {
    PyObject *result;
    PySendResult outcome = call_step(self, value, &result);
    return CamCoroutine_Result(outcome, result);
}

static PyObject *call_next(PyObject *self) {
    return call_send(self, Py_None);
}

static PyObject *call_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    SockCallObject *call = (SockCallObject *)self;
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    if (call->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return NULL;
    }
    Py_INCREF(self);
    call->started = true;
    end_call(call);
    CamCoroutine_Raise(args, nargs);
    Py_DECREF(self);
    return NULL;
}

static PyObject *call_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    SockCallObject *call = (SockCallObject *)self;
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    Py_INCREF(self);
    call->started = true;
    end_call(call);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

/* ---- making one ---- */

static PyObject *make_call(CamFastMethod method, PyObject *self, const Operation *operation,
                           PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int required = 0;
    while (operation->parameters[required] != NULL) {
        required++;
    }
    if (nargs < required) {
        return CamArgs_ByName(method, operation->name, operation->parameters, self, args, nargs,
                              kwnames);
    }
    int most = required + (operation->optional != NULL);
    if (nargs > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes %d positional arguments but %zd were given",
                     operation->name, most + 1, nargs + 1);
        return NULL;
    }
    PyObject *last = NULL;
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (nargs == most || PyUnicode_CompareWithASCIIString(name, operation->optional) != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                         operation->name, name);
            return NULL;
        }
        last = args[nargs + i];
    }
    LoopObject *loop = (LoopObject *)self;
    PyTypeObject *type = (PyTypeObject *)loop->state->sock_call_type;
    SockCallObject *call = (SockCallObject *)type->tp_alloc(type, 0);
    if (call == NULL) {
        return NULL;
    }
    call->operation = operation;
    call->loop = (LoopObject *)Py_NewRef(loop);
    for (Py_ssize_t i = 0; i < nargs; i++) {
        call->arguments[i] = Py_NewRef(args[i]);
    }
    if (last != NULL) {
        call->arguments[nargs] = Py_NewRef(last);
    }
    return (PyObject *)call;
}

#define METHOD(operation)                                                                          \
    static PyObject *loop_##operation(PyObject *self, PyObject *const *args, Py_ssize_t nargs,     \
                                      PyObject *kwnames) {                                         \
        return make_call(loop_##operation, self, &operation, args, nargs, kwnames);                \
    }

METHOD(sock_recv)
METHOD(sock_recv_into)
METHOD(sock_recvfrom)
METHOD(sock_recvfrom_into)
METHOD(sock_sendall)
METHOD(sock_sendto)
METHOD(sock_accept)
METHOD(sock_connect)

PyDoc_STRVAR(sock_recv_doc, "sock_recv($self, sock, n)\n--\n\n"
                            "Receive at most n bytes; b'' at the end of the stream.");
PyDoc_STRVAR(sock_recv_into_doc, "sock_recv_into($self, sock, buf)\n--\n\n"
                                 "Receive into a writable buffer; the number of bytes.");
PyDoc_STRVAR(sock_recvfrom_doc, "sock_recvfrom($self, sock, bufsize)\n--\n\n"
                                "Receive a datagram: (bytes, address of the sender).");
PyDoc_STRVAR(sock_recvfrom_into_doc,
             "sock_recvfrom_into($self, sock, buf, nbytes=0)\n--\n\n"
             "Receive a datagram into a writable buffer: (number of bytes, address of the "
             "sender).\n\nAt most nbytes are written, the whole buffer when it is 0.");
PyDoc_STRVAR(sock_sendall_doc,
             "sock_sendall($self, sock, data)\n--\n\n"
             "Send all of data. After an error nobody knows how much of it has arrived.");
PyDoc_STRVAR(sock_sendto_doc, "sock_sendto($self, sock, data, address)\n--\n\n"
                              "Send a datagram to address; the number of bytes sent.");
PyDoc_STRVAR(sock_accept_doc, "sock_accept($self, sock)\n--\n\n"
                              "Accept a connection: (non-blocking socket, address of the peer).");
PyDoc_STRVAR(sock_connect_doc, "_sock_connect($self, sock, address)\n--\n\n"
                               "Connect to an address that needs no look-up.");

#define FAST(function) (PyCFunction)(void (*)(void)) function

PyMethodDef cam_sock_methods[] = {
    {"sock_recv", FAST(loop_sock_recv), METH_FASTCALL | METH_KEYWORDS, sock_recv_doc},
    {"sock_recv_into", FAST(loop_sock_recv_into), METH_FASTCALL | METH_KEYWORDS,
     sock_recv_into_doc},
    {"sock_recvfrom", FAST(loop_sock_recvfrom), METH_FASTCALL | METH_KEYWORDS, sock_recvfrom_doc},
    {"sock_recvfrom_into", FAST(loop_sock_recvfrom_into), METH_FASTCALL | METH_KEYWORDS,
     sock_recvfrom_into_doc},
    {"sock_sendall", FAST(loop_sock_sendall), METH_FASTCALL | METH_KEYWORDS, sock_sendall_doc},
    {"sock_sendto", FAST(loop_sock_sendto), METH_FASTCALL | METH_KEYWORDS, sock_sendto_doc},
    {"sock_accept", FAST(loop_sock_accept), METH_FASTCALL | METH_KEYWORDS, sock_accept_doc},
    {"_sock_connect", FAST(loop_sock_connect), METH_FASTCALL | METH_KEYWORDS, sock_connect_doc},
    {NULL},
};

/* ---- the type ---- */

static PyObject *call_name(PyObject *self, void *Py_UNUSED(closure)) {
    return PyUnicode_FromString(((SockCallObject *)self)->operation->name);
}

static PyObject *call_qualname(PyObject *self, void *Py_UNUSED(closure)) {
    return PyUnicode_FromFormat("EventLoop.%s", ((SockCallObject *)self)->operation->name);
}

static PyObject *call_repr(PyObject *self) {
    return PyUnicode_FromFormat("<coroutine object EventLoop.%s at %p>",
                                ((SockCallObject *)self)->operation->name, self);
}

static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    SockCallObject *call = (SockCallObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(call->loop);
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        Py_VISIT(call->arguments[i]);
    }
    Py_VISIT(call->wait);
    Py_VISIT(call->view);
    Py_VISIT(call->buffer.obj);
    return 0;
}

static int call_clear(PyObject *self) {
    end_call((SockCallObject *)self);
    return 0;
}

/* As a coroutine's: what was never awaited is most likely a mistake. */
static void call_finalize(PyObject *self) {
    SockCallObject *call = (SockCallObject *)self;
    if (call->started || call->loop == NULL) {
        return;
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'EventLoop.%s' was never awaited",
                         call->operation->name) < 0) {
        PyErr_WriteUnraisable(self);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void call_dealloc(PyObject *self) {
    SockCallObject *call = (SockCallObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (!call->started && call->loop != NULL && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody holds it again */
    }
    PyObject_GC_UnTrack(self);
    if (call->loop != NULL) {
        end_call(call);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef call_methods[] = {
    {"send", call_send, METH_O, "As a coroutine's."},
    {"throw", FAST(call_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", call_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyGetSetDef call_getset[] = {
    {"__name__", call_name, NULL, NULL, NULL},
    {"__qualname__", call_qualname, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, (void *)"What the sock_* methods return: to be awaited, like a coroutine."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_finalize, call_finalize},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_repr, call_repr},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, call_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, call_step},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "camshaft._core.SockCall",
    .basicsize = sizeof(SockCallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

int cam_sock_exec(PyObject *module, cam_state *state) {
    PyObject *sockets = PyImport_ImportModule("_socket");
    PyObject *type = sockets ? PyObject_GetAttrString(sockets, "socket") : NULL;
    Py_XDECREF(sockets);
    if (type == NULL) {
        return -1;
    }
    state->sock_fileno = PyObject_GetAttrString(type, "fileno");
    state->sock_family = PyObject_GetAttrString(type, "family");
    Py_DECREF(type);
    PyObject *base = PyImport_ImportModule("asyncio.base_events");
    state->check_ssl_socket = base ? PyObject_GetAttrString(base, "_check_ssl_socket") : NULL;
    Py_XDECREF(base);
    if (state->sock_fileno == NULL || state->sock_family == NULL ||
        state->check_ssl_socket == NULL) {
        return -1;
    }
    return CamState_AddType(module, &call_spec, NULL, 0, &state->sock_call_type);
}
