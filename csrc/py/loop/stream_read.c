/* SPDX-License-Identifier: MIT */
/*
 * The stream transport's reading half: one recv per readiness, then the poller is asked again, so
 * that no connection starves the others.
 *
 * Small reads go through the loop's one hot buffer and are copied out at their exact size; after
 * a read of more than BULK_THRESHOLD bytes the next goes straight into a bytes object, which
 * saves the copy. A protocol in C parses in the hot buffer itself, and asyncio's StreamReader is
 * fed from it, or received into, without a bytes object in between.
 */
#include "loop/reader.h"
#include "loop/stream_object.h"

#include "compat.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    BULK_THRESHOLD = 4 * 1024,
    BULK_FIRST = 64 * 1024,
    BULK_LARGEST = 256 * 1024,
};

/* recv; the size, 0 at the end, -1 for nothing now, -2 for an error with OSError set. */
static Py_ssize_t receive(StreamObject *stream, void *buffer, size_t size) {
    Py_ssize_t count = recv(stream->io.fd, buffer, size, 0);
    if (count >= 0) {
        return count;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return -1;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return -2;
}

static int receive_failed(StreamObject *stream, Py_ssize_t status) {
    return status == -1 ? 0 : cam_stream_fatal(stream, "Fatal read error on socket transport");
}

static int received_eof(StreamObject *stream) {
    stream->at_eof = true;
    cam_stream_debug(stream, "received EOF", NULL);
    /* The protocol may let go of itself by changing the transport's protocol. */
    PyObject *protocol = Py_NewRef(stream->protocol);
    int keep_open;
    if (stream->native != NULL) {
        keep_open = stream->native->eof_received(protocol);
    } else {
        PyObject *result = cam_stream_call(stream, stream->state->str_eof_received, NULL);
        keep_open = result ? PyObject_IsTrue(result) : -1;
        Py_XDECREF(result);
    }
    if (keep_open < 0) {
        int status = cam_stream_fatal(stream, "Fatal error: protocol.eof_received() call failed.");
        Py_DECREF(protocol);
        return status;
    }
    Py_DECREF(protocol);
    if (stream->lost || stream->loop == NULL) {
        return 0;
    }
    if (keep_open) {
        return cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_IN);
    }
    return cam_stream_close(stream);
}

static int read_native(LoopObject *loop, StreamObject *stream) {
    char *buffer = CamLoop_ReadBuffer(loop);
    if (buffer == NULL) {
        return cam_stream_fatal(stream, "Fatal read error on socket transport");
    }
    Py_ssize_t size = receive(stream, buffer, CAM_READ_BUFFER);
    if (size < 0) {
        return receive_failed(stream, size);
    }
    if (size == 0) {
        return received_eof(stream);
    }
    /* The protocol may let go of itself by changing the transport's protocol. */
    PyObject *protocol = Py_NewRef(stream->protocol);
    int status = stream->native->data_received(protocol, buffer, size);
    if (status < 0) {
        status = cam_stream_fatal(stream, "Fatal error: protocol.data_received() call failed.");
    }
    Py_DECREF(protocol);
    return status;
}

/* A bytes object of what there is; NULL with the status of receive in *size. */
static PyObject *receive_bytes(LoopObject *loop, StreamObject *stream, Py_ssize_t *size) {
    if (stream->bulk_size > 0) {
        PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)stream->bulk_size);
        if (data == NULL) {
            *size = -2;
            return NULL;
        }
        *size = receive(stream, PyBytes_AS_STRING(data), stream->bulk_size);
        if (*size <= 0) {
            Py_DECREF(data);
            return NULL;
        }
        if ((size_t)*size < stream->bulk_size && _PyBytes_Resize(&data, *size) < 0) {
            *size = -2;
        }
        return data;
    }
    char *buffer = CamLoop_ReadBuffer(loop);
    if (buffer == NULL) {
        *size = -2;
        return NULL;
    }
    *size = receive(stream, buffer, CAM_READ_BUFFER);
    if (*size <= 0) {
        return NULL;
    }
    PyObject *data = CamSpare_Bytes(&loop->spare, buffer, *size);
    if (data == NULL) {
        *size = -2;
    }
    return data;
}

/* So much was received: how much is the next read prepared for? */
static void adapt_bulk(StreamObject *stream, Py_ssize_t size) {
    if (size <= BULK_THRESHOLD) {
        stream->bulk_size = 0;
    } else if (stream->bulk_size == 0) {
        stream->bulk_size = BULK_FIRST;
    } else if ((size_t)size == stream->bulk_size && stream->bulk_size < BULK_LARGEST) {
        stream->bulk_size *= 2;
    }
}

/* Hands bytes to the protocol; steals the reference, NULL being MemoryError. */
static int deliver(LoopObject *loop, StreamObject *stream, PyObject *data) {
    if (data == NULL) {
        return cam_stream_fatal(stream, "Fatal read error on socket transport");
    }
    PyObject *result = cam_stream_call(stream, stream->state->str_data_received, data);
    CamSpare_Done(&loop->spare, data);
    if (result == NULL) {
        return cam_stream_fatal(stream, "Fatal error: protocol.data_received() call failed.");
    }
    Py_DECREF(result);
    return 0;
}

static int read_bytes(LoopObject *loop, StreamObject *stream) {
    Py_ssize_t size;
    PyObject *data = receive_bytes(loop, stream, &size);
    if (data == NULL) {
        return size == 0 ? received_eof(stream) : receive_failed(stream, size);
    }
    adapt_bulk(stream, size);
    return deliver(loop, stream, data);
}

/* Feeds an asyncio.StreamReader what there is. */
static int feed_reader(LoopObject *loop, StreamObject *stream, PyObject *reader) {
    cam_state *state = stream->state;
    Py_ssize_t room = (Py_ssize_t)stream->bulk_size;
    char *buffer = room > 0 ? CamReader_Room(state, reader, room) : NULL;
    int status;
    Py_ssize_t size;
    if (buffer != NULL) {
        size = receive(stream, buffer, (size_t)room);
        PyObject *exception = size == -2 ? PyErr_GetRaisedException() : NULL;
        status = CamReader_Filled(state, reader, room, size > 0 ? size : 0);
        if (exception != NULL) {
            PyErr_Clear();
            PyErr_SetRaisedException(exception);
        }
    } else {
        buffer = CamLoop_ReadBuffer(loop);
        size = buffer ? receive(stream, buffer, CAM_READ_BUFFER) : -2;
        status = size > 0 ? CamReader_Feed(state, reader, buffer, size) : 0;
        if (size > 0 && status == 0) {
            return deliver(loop, stream, CamSpare_Bytes(&loop->spare, buffer, size));
        }
    }
    if (size <= 0) {
        return size == 0 ? received_eof(stream) : receive_failed(stream, size);
    }
    adapt_bulk(stream, size);
    if (status < 0) {
        return cam_stream_fatal(stream, "Fatal error: protocol.data_received() call failed.");
    }
    return 0;
}

static int read_fed(LoopObject *loop, StreamObject *stream) {
    PyObject *reader = CamReader_Of(stream->state, stream->protocol);
    if (reader == NULL) {
        return read_bytes(loop, stream);
    }
    int status = feed_reader(loop, stream, reader);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(reader);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return status;
}

/* The protocol's own buffer, exported for writing. 0, or -1 with an exception. */
static int get_buffer(StreamObject *stream, Py_buffer *view) {
    PyObject *hint = PyLong_FromLong(-1);
    PyObject *buffer = hint ? cam_stream_call(stream, stream->state->str_get_buffer, hint) : NULL;
    Py_XDECREF(hint);
    if (buffer == NULL) {
        return -1;
    }
    int status = PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE);
    Py_DECREF(buffer); /* the view holds it */
    if (status == 0 && view->len == 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return -1;
    }
    return status;
}

static int read_buffered(StreamObject *stream) {
    Py_buffer view;
    if (get_buffer(stream, &view) < 0) {
        return cam_stream_fatal(stream, "Fatal error: protocol.get_buffer() call failed.");
    }
    if (stream->lost) { /* get_buffer closed the connection */
        PyBuffer_Release(&view);
        return 0;
    }
    Py_ssize_t size = receive(stream, view.buf, (size_t)view.len);
    if (size == -2) {
        PyObject *exception = PyErr_GetRaisedException();
        PyBuffer_Release(&view); /* may run user code */
        PyErr_SetRaisedException(exception);
        return receive_failed(stream, size);
    }
    PyBuffer_Release(&view);
    if (size < 0) {
        return 0;
    }
    if (size == 0) {
        return received_eof(stream);
    }
    PyObject *count = PyLong_FromSsize_t(size);
    PyObject *result =
        count ? cam_stream_call(stream, stream->state->str_buffer_updated, count) : NULL;
    Py_XDECREF(count);
    if (result == NULL) {
        return cam_stream_fatal(stream, "Fatal error: protocol.buffer_updated() call failed.");
    }
    Py_DECREF(result);
    return 0;
}

static int read_some(LoopObject *loop, StreamObject *stream) {
    if (stream->native != NULL) {
        return read_native(loop, stream);
    }
    if (stream->fed) {
        return read_fed(loop, stream);
    }
    return stream->buffered ? read_buffered(stream) : read_bytes(loop, stream);
}

int cam_stream_readable(LoopObject *loop, PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    /* Paused, closed or at its end since the poller reported it. */
    if (stream->lost || !(stream->io.interest & CAM_POLL_IN)) {
        return 0;
    }
    loop->reading = owner;
    int status = read_some(loop, stream);
    loop->reading = NULL;
    cam_stream_flush(owner);
    return status;
}

int cam_stream_pause_reading(StreamObject *stream) {
    if (stream->closing || stream->paused || stream->loop == NULL) {
        return 0;
    }
    stream->paused = true;
    if (cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_IN) < 0) {
        return -1;
    }
    cam_stream_debug(stream, "pauses reading", NULL);
    return 0;
}

int cam_stream_read_on(StreamObject *stream) {
    /* After the end there is nothing to read but the same end again. While loop.sendfile has the
     * descriptor lent, watching it would take its writer away. */
    if (stream->closing || stream->paused || stream->at_eof || stream->loop == NULL ||
        stream->empty_waiter != NULL) {
        return 0;
    }
    return cam_stream_watch(stream, stream->io.interest | CAM_POLL_IN);
}

int cam_stream_resume_reading(StreamObject *stream) {
    if (stream->closing || !stream->paused || stream->loop == NULL) {
        return 0;
    }
    stream->paused = false;
    if (cam_stream_read_on(stream) < 0) {
        return -1;
    }
    cam_stream_debug(stream, "resumes reading", NULL);
    return 0;
}
