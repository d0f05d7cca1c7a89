/* SPDX-License-Identifier: MIT */
/*
 * The stream transport's reading half (inbox.h): who is given what comes in.
 *
 * A protocol in C parses in the loop's hot buffer itself, and asyncio's StreamReader is fed from
 * it, or received into, without a bytes object in between.
 */
#include "transport/reader.h"
#include "transport/stream_object.h"

#include "compat.h"

#include <string.h>

static int receive_failed(StreamObject *stream, Py_ssize_t status) {
    return status == CAM_INBOX_NOTHING
               ? 0
               : cam_stream_fatal(stream, "Fatal read error on socket transport");
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
    size_t room =
        stream->native->read_room ? stream->native->read_room(stream->protocol) : CAM_READ_BUFFER;
    Py_ssize_t size =
        cam_inbox_read(stream->io.fd, buffer, room < CAM_READ_BUFFER ? room : CAM_READ_BUFFER);
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

/* Hands bytes to the protocol; steals the reference. */
static int deliver(LoopObject *loop, StreamObject *stream, PyObject *data) {
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
    PyObject *data = cam_inbox_bytes(&stream->inbox, loop, stream->io.fd, &size);
    if (data == NULL) {
        return size == CAM_INBOX_END ? received_eof(stream) : receive_failed(stream, size);
    }
    return deliver(loop, stream, data);
}

/* Feeds an asyncio.StreamReader what there is. */
static int feed_reader(LoopObject *loop, StreamObject *stream, PyObject *reader) {
    PyObject *left;
    Py_ssize_t size = cam_inbox_feed(&stream->inbox, loop, stream->io.fd, reader, &left);
    if (left != NULL) {
        return deliver(loop, stream, left);
    }
    if (size == CAM_INBOX_REFUSED) {
        return cam_stream_fatal(stream, "Fatal error: protocol.data_received() call failed.");
    }
    if (size <= 0) {
        return size == CAM_INBOX_END ? received_eof(stream) : receive_failed(stream, size);
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
    Py_ssize_t size = cam_inbox_read(stream->io.fd, view.buf, (size_t)view.len);
    if (size == CAM_INBOX_FAILED) {
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

/* Copies what fits into the protocol's own buffer and tells it. How many bytes, 0 if it is
 * no longer the one to take them, or -1 with an exception. */
static Py_ssize_t fill_buffer(StreamObject *stream, const char *data, size_t size) {
    Py_buffer view;
    if (get_buffer(stream, &view) < 0) {
        return -1;
    }
    size_t part = (size_t)view.len < size ? (size_t)view.len : size;
    if (stream->lost || !stream->buffered) { /* get_buffer() closed it, or changed the protocol */
        part = 0;
    } else {
        memcpy(view.buf, data, part);
    }
    PyBuffer_Release(&view); /* may run user code */
    if (part == 0 || stream->loop == NULL) {
        return 0;
    }
    PyObject *count = PyLong_FromSize_t(part);
    PyObject *result =
        count ? cam_stream_call(stream, stream->state->str_buffer_updated, count) : NULL;
    Py_XDECREF(count);
    Py_XDECREF(result);
    return result ? (Py_ssize_t)part : -1;
}

int cam_stream_feed(StreamObject *stream, char *data, size_t size) {
    while (size > 0 && !stream->lost && stream->loop != NULL) {
        if (stream->native != NULL) {
            PyObject *protocol = Py_NewRef(stream->protocol);
            int status = stream->native->data_received(protocol, data, (Py_ssize_t)size);
            Py_DECREF(protocol);
            return status;
        }
        if (!stream->buffered) {
            PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
            PyObject *done =
                bytes ? cam_stream_call(stream, stream->state->str_data_received, bytes) : NULL;
            Py_XDECREF(bytes);
            Py_XDECREF(done);
            return done ? 0 : -1;
        }
        Py_ssize_t taken = fill_buffer(stream, data, size);
        if (taken < 0) {
            return -1;
        }
        data += taken;
        size -= (size_t)taken;
    }
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
    if (stream->paused) {
        return cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_IN);
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

int CamStream_PauseReadingLazily(PyObject *object) {
    StreamObject *stream = (StreamObject *)object;
    if (stream->closing || stream->paused || stream->loop == NULL) {
        return 0;
    }
    /* The poller hears of it when something arrives, cam_stream_readable() above: most are resumed
     * before, and two system calls are saved. Not so for pause_reading(): a paused transport that
     * nobody holds is not held by the loop either. */
    stream->paused = true;
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
