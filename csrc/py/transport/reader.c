/* SPDX-License-Identifier: MIT */
#include "transport/reader.h"

#include <string.h>

/* The names that feed_data() of asyncio.streams uses, in the order of its code, in every CPython
 * from 3.11 to 3.15. A Python whose method uses others feeds its readers itself. */
static const char *const feed_data_names[] = {
    "_eof",    "_buffer", "extend", "_wakeup_waiter", "_transport",
    "_paused", "len",     "_limit", "pause_reading",  "NotImplementedError",
};

/* And those of asyncio.subprocess's pipe_data_received(), which finds the reader to feed. */
static const char *const process_names[] = {"stdout", "stderr", "feed_data"};

int CamReader_IsProtocol(cam_state *state, PyObject *protocol) {
    return state->reader_feed_data != Py_None &&
           Py_TYPE(protocol) == (PyTypeObject *)state->reader_protocol_type;
}

/* True when object.name is `function` bound to it. */
static int is_stock_method(PyObject *object, PyObject *name, PyObject *function) {
    PyObject *method = PyObject_GetAttr(object, name);
    if (method == NULL) {
        PyErr_Clear();
        return 0;
    }
    int stock = PyMethod_Check(method) && PyMethod_GET_FUNCTION(method) == function;
    Py_DECREF(method);
    return stock;
}

/* What a weak reference refers to, new reference; NULL without an exception. */
static PyObject *referent(PyObject *reference) {
    if (!PyWeakref_CheckRefExact(reference)) {
        return NULL;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *object;
    if (PyWeakref_GetRef(reference, &object) < 0) {
        PyErr_Clear();
        return NULL;
    }
    return object;
#else
    PyObject *object = PyWeakref_GetObject(reference);
    return object == Py_None ? NULL : Py_NewRef(object);
#endif
}

/* A reader that C may feed; steals the reference and gives it back, or NULL without an exception.
 */
static PyObject *check_reader(cam_state *state, PyObject *reader) {
    if (reader != NULL && Py_TYPE(reader) == (PyTypeObject *)state->reader_type &&
        is_stock_method(reader, state->str_feed_data, state->reader_feed_data)) {
        PyObject *ended = PyObject_GetAttr(reader, state->str__eof);
        int open = ended == Py_False;
        Py_XDECREF(ended);
        if (open) {
            return reader;
        }
    }
    PyErr_Clear();
    Py_XDECREF(reader);
    return NULL;
}

PyObject *CamReader_Of(cam_state *state, PyObject *protocol) {
    if (!is_stock_method(protocol, state->str_data_received, state->reader_data_received)) {
        return NULL;
    }
    PyObject *reference = PyObject_GetAttr(protocol, state->str__stream_reader_wr);
    if (reference == NULL) {
        PyErr_Clear();
        return NULL;
    }
    PyObject *reader = referent(reference);
    Py_DECREF(reference);
    return check_reader(state, reader);
}

PyObject *CamReader_OfProcess(cam_state *state, PyObject *protocol, PyObject *fd) {
    if (state->reader_feed_data == Py_None || state->process_data_received == Py_None ||
        Py_TYPE(protocol) != (PyTypeObject *)state->process_protocol_type ||
        !is_stock_method(protocol, state->str_pipe_data_received, state->process_data_received)) {
        return NULL;
    }
    long number = PyLong_AsLong(fd);
    if (number != 1 && number != 2) {
        PyErr_Clear();
        return NULL;
    }
    return check_reader(
        state, PyObject_GetAttr(protocol, number == 1 ? state->str_stdout : state->str_stderr));
}

/* The reader's bytearray, new reference; NULL without an exception. */
static PyObject *buffer_of(cam_state *state, PyObject *reader) {
    PyObject *buffer = PyObject_GetAttr(reader, state->str__buffer);
    if (buffer == NULL) {
        PyErr_Clear();
    } else if (!PyByteArray_CheckExact(buffer)) {
        Py_CLEAR(buffer);
    }
    return buffer;
}

/* StreamReader._wakeup_waiter(). 0, or -1 with an exception. */
static int wake_waiter(cam_state *state, PyObject *reader) {
    PyObject *waiter = PyObject_GetAttr(reader, state->str__waiter);
    if (waiter == NULL) {
        return -1;
    }
    int status = 0;
    if (waiter != Py_None) {
        status = PyObject_SetAttr(reader, state->str__waiter, Py_None);
        PyObject *cancelled =
            status == 0 ? PyObject_CallMethodNoArgs(waiter, state->str_cancelled) : NULL;
        int is_cancelled = cancelled ? PyObject_IsTrue(cancelled) : -1;
        Py_XDECREF(cancelled);
        status = is_cancelled < 0 ? -1 : 0;
        if (is_cancelled == 0) {
            PyObject *done = PyObject_CallMethodOneArg(waiter, state->str_set_result, Py_None);
            status = done ? 0 : -1;
            Py_XDECREF(done);
        }
    }
    Py_DECREF(waiter);
    return status;
}

/* True when `waiting` bytes are more than twice the reader's limit; -1 with an exception. */
static int is_over_limit(cam_state *state, PyObject *reader, Py_ssize_t waiting) {
    PyObject *limit = PyObject_GetAttr(reader, state->str__limit);
    if (limit == NULL) {
        return -1;
    }
    int over = -1;
    if (PyLong_CheckExact(limit)) {
        Py_ssize_t number = PyNumber_AsSsize_t(limit, NULL); /* what does not fit is no limit */
        over = waiting / 2 >= number && waiting > 2 * number;
    } else { /* a float will do for asyncio */
        PyObject *twice = PyNumber_Add(limit, limit);
        PyObject *size = twice ? PyLong_FromSsize_t(waiting) : NULL;
        over = size ? PyObject_RichCompareBool(size, twice, Py_GT) : -1;
        Py_XDECREF(size);
        Py_XDECREF(twice);
    }
    Py_DECREF(limit);
    return over;
}

/* The end of feed_data(): no more is read while more than twice the limit waits. 0 or -1. */
static int limit_reading(cam_state *state, PyObject *reader, Py_ssize_t waiting) {
    int over = is_over_limit(state, reader, waiting);
    if (over <= 0) {
        return over;
    }
    PyObject *transport = PyObject_GetAttr(reader, state->str__transport);
    PyObject *paused = transport ? PyObject_GetAttr(reader, state->str__paused) : NULL;
    int status = paused ? PyObject_IsTrue(paused) : -1;
    Py_XDECREF(paused);
    if (status == 0 && transport != Py_None) {
        PyObject *done = PyObject_CallMethodNoArgs(transport, state->str_pause_reading);
        if (done != NULL) {
            Py_DECREF(done);
            status = PyObject_SetAttr(reader, state->str__paused, Py_True);
        } else if (PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
            PyErr_Clear(); /* a transport without reading to pause, asyncio's subprocess pipes */
            status = PyObject_SetAttr(reader, state->str__transport, Py_None);
        } else {
            status = -1;
        }
    }
    Py_XDECREF(transport);
    return status < 0 ? -1 : 0;
}

int CamReader_Feed(cam_state *state, PyObject *reader, const char *data, Py_ssize_t size) {
    PyObject *buffer = buffer_of(state, reader);
    if (buffer == NULL) {
        return 0;
    }
    Py_ssize_t before = PyByteArray_GET_SIZE(buffer);
    if (before > PY_SSIZE_T_MAX - size || PyByteArray_Resize(buffer, before + size) < 0) {
        PyErr_Clear(); /* extend() will say why */
        Py_DECREF(buffer);
        return 0;
    }
    memcpy(PyByteArray_AS_STRING(buffer) + before, data, (size_t)size);
    Py_DECREF(buffer);
    if (wake_waiter(state, reader) < 0 || limit_reading(state, reader, before + size) < 0) {
        return -1;
    }
    return 1;
}

char *CamReader_Room(cam_state *state, PyObject *reader, Py_ssize_t size) {
    PyObject *buffer = buffer_of(state, reader);
    if (buffer == NULL) {
        return NULL;
    }
    Py_ssize_t before = PyByteArray_GET_SIZE(buffer);
    char *room = NULL;
    if (before <= PY_SSIZE_T_MAX - size && PyByteArray_Resize(buffer, before + size) == 0) {
        room = PyByteArray_AS_STRING(buffer) + before;
    } else {
        PyErr_Clear();
    }
    Py_DECREF(buffer); /* the reader has it */
    return room;
}

int CamReader_Filled(cam_state *state, PyObject *reader, Py_ssize_t room, Py_ssize_t filled) {
    PyObject *buffer = buffer_of(state, reader);
    if (buffer == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the StreamReader lost its buffer while it was fed");
        return -1;
    }
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer) - room + filled;
    int status = filled < room ? PyByteArray_Resize(buffer, size) : 0;
    Py_DECREF(buffer);
    if (status == 0 && filled > 0) {
        status = wake_waiter(state, reader);
        if (status == 0) {
            status = limit_reading(state, reader, size);
        }
    }
    return status;
}

/* True when a function written in Python uses exactly these names. */
static int is_known(PyObject *function, const char *const *known, Py_ssize_t count) {
    PyObject *code = PyObject_GetAttrString(function, "__code__");
    PyObject *names = code ? PyObject_GetAttrString(code, "co_names") : NULL;
    int same = names != NULL && PyTuple_Check(names) && PyTuple_GET_SIZE(names) == count;
    for (Py_ssize_t i = 0; same && i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        same = PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, known[i]) == 0;
    }
    Py_XDECREF(names);
    Py_XDECREF(code);
    PyErr_Clear();
    return same;
}

#define IS_KNOWN(function, names) is_known(function, names, sizeof(names) / sizeof((names)[0]))

/* The protocol of asyncio.create_subprocess_exec(). 0, or -1 with an exception. */
static int find_process_protocol(cam_state *state) {
    PyObject *module = PyImport_ImportModule("asyncio.subprocess");
    PyObject *type = module ? PyObject_GetAttrString(module, "SubprocessStreamProtocol") : NULL;
    Py_XDECREF(module);
    if (type == NULL) {
        return -1;
    }
    state->process_protocol_type = type;
    state->process_data_received = PyObject_GetAttr(type, state->str_pipe_data_received);
    if (state->process_data_received == NULL) {
        return -1;
    }
    if (!IS_KNOWN(state->process_data_received, process_names)) {
        Py_SETREF(state->process_data_received, Py_NewRef(Py_None));
    }
    return 0;
}

int cam_reader_exec(cam_state *state) {
    PyObject *streams = PyImport_ImportModule("asyncio.streams");
    if (streams == NULL) {
        return -1;
    }
    state->reader_type = PyObject_GetAttrString(streams, "StreamReader");
    state->reader_protocol_type = PyObject_GetAttrString(streams, "StreamReaderProtocol");
    Py_DECREF(streams);
    if (state->reader_type == NULL || state->reader_protocol_type == NULL) {
        return -1;
    }
    state->reader_feed_data = PyObject_GetAttrString(state->reader_type, "feed_data");
    state->reader_data_received =
        PyObject_GetAttrString(state->reader_protocol_type, "data_received");
    if (state->reader_feed_data == NULL || state->reader_data_received == NULL) {
        return -1;
    }
    if (!IS_KNOWN(state->reader_feed_data, feed_data_names)) {
        Py_SETREF(state->reader_feed_data, Py_NewRef(Py_None)); /* no reader is ours to feed */
    }
    return find_process_protocol(state);
}
