/* SPDX-License-Identifier: MIT */
/*
 * The stream transport's writing half.
 *
 * What is written in a turn is collected and goes out in one system call at the end of it, or at
 * once when more than CAM_FLUSH_BUDGET bytes (or more than the high-water mark) wait, or when
 * the loop is not running or this is not its thread: then no end of a turn is near. What
 * the kernel does not take waits for the socket to become writable ("blocked": CAM_POLL_OUT is
 * watched). pause_writing is decided after an attempt to send, as in asyncio, so a paused
 * protocol means a blocked socket.
 *
 * bytes objects are kept, not copied, unless they are small and there is room behind others;
 * everything else is copied before write() returns, so that its owner may change it.
 */
#include "loop/stream_object.h"

#include "compat.h"

#include <errno.h>
#include <pythread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    KEEP_SIZE = 2 * 1024,    /* bytes objects from here on are kept even behind a copy */
    DIRECT_SIZE = 64 * 1024, /* other buffers from here on are sent before they are copied */
    FIRST_ROOM = 448,        /* with its header still one of PyMem's small blocks */
    LARGEST_ROOM = 64 * 1024,
    VECTORS = 64,
    WRITES_BEFORE_WARNING = 5, /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */
};

static bool is_blocked(StreamObject *stream) {
    return (stream->io.interest & CAM_POLL_OUT) != 0;
}

/* ---- the queue ---- */

static void drop_first(StreamObject *stream) {
    CamChunk *chunk = stream->first;
    stream->first = chunk->next;
    if (stream->first == NULL) {
        stream->last = NULL;
    }
    Py_XDECREF(chunk->keep); /* exactly bytes: no user code */
    PyMem_Free(chunk);
}

void cam_stream_drop(StreamObject *stream) {
    stream->unsent = 0;
    while (stream->first != NULL) {
        drop_first(stream);
    }
}

/* Takes `count` sent bytes off the front. */
static void consume(StreamObject *stream, size_t count) {
    stream->unsent -= count;
    while (count > 0 && stream->first != NULL) {
        CamChunk *chunk = stream->first;
        if (count < chunk->size) {
            chunk->data += count;
            chunk->size -= count;
            return;
        }
        count -= chunk->size;
        drop_first(stream);
    }
}

/* An empty chunk with that much room; NULL with MemoryError. */
static CamChunk *make_chunk(size_t capacity) {
    CamChunk *chunk = PyMem_Malloc(sizeof(CamChunk) + capacity);
    if (chunk == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    chunk->next = NULL;
    chunk->data = chunk->room;
    chunk->size = 0;
    chunk->capacity = capacity;
    chunk->keep = NULL;
    return chunk;
}

static void append_chunk(StreamObject *stream, CamChunk *chunk) {
    if (stream->last != NULL) {
        stream->last->next = chunk;
    } else {
        stream->first = chunk;
    }
    stream->last = chunk;
}

/* Room left behind the last chunk's bytes. */
static size_t room_left(StreamObject *stream) {
    CamChunk *last = stream->last;
    if (last == NULL || last->keep != NULL) {
        return 0;
    }
    return last->capacity - (size_t)(last->data - last->room) - last->size;
}

static void fill(StreamObject *stream, const char *data, size_t size) {
    CamChunk *last = stream->last;
    memcpy((char *)last->data + last->size, data, size);
    last->size += size;
    stream->unsent += size;
}

static int queue_copy(StreamObject *stream, const char *data, size_t size) {
    size_t room = room_left(stream);
    if (size > room) {
        /* Each chunk is larger than the one before it: few of them, and little room unused. */
        size_t wanted = FIRST_ROOM;
        if (stream->last != NULL && stream->last->keep == NULL) {
            wanted = stream->last->capacity * 4;
        }
        if (wanted > LARGEST_ROOM) {
            wanted = LARGEST_ROOM;
        }
        if (wanted < size - room) {
            wanted = size - room;
        }
        CamChunk *next = make_chunk(wanted);
        if (next == NULL) {
            return -1;
        }
        if (room > 0) {
            fill(stream, data, room);
            data += room;
            size -= room;
        }
        append_chunk(stream, next);
    }
    fill(stream, data, size);
    return 0;
}

static int queue_bytes(StreamObject *stream, PyObject *bytes) {
    size_t size = (size_t)PyBytes_GET_SIZE(bytes);
    if (size < KEEP_SIZE && size <= room_left(stream)) {
        fill(stream, PyBytes_AS_STRING(bytes), size);
        return 0;
    }
    if (size < KEEP_SIZE && stream->first != NULL) {
        return queue_copy(stream, PyBytes_AS_STRING(bytes), size);
    }
    CamChunk *chunk = make_chunk(0);
    if (chunk == NULL) {
        return -1;
    }
    append_chunk(stream, chunk);
    chunk->keep = Py_NewRef(bytes);
    chunk->data = PyBytes_AS_STRING(bytes);
    chunk->size = size;
    stream->unsent += size;
    return 0;
}

int cam_stream_queue(StreamObject *stream, PyObject *bytes, const char *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    return bytes ? queue_bytes(stream, bytes) : queue_copy(stream, data, size);
}

/* ---- sending ---- */

/* Sends until all is sent or the kernel takes no more. 0, or a positive errno. No user code. */
static int send_queue(StreamObject *stream) {
    while (stream->first != NULL) {
        struct iovec vectors[VECTORS];
        size_t used = 0;
        size_t size = 0;
        for (CamChunk *chunk = stream->first; chunk != NULL && used < VECTORS;
             chunk = chunk->next) {
            vectors[used].iov_base = (char *)chunk->data;
            vectors[used].iov_len = chunk->size;
            size += chunk->size;
            used++;
        }
        ssize_t count;
        if (used == 1) {
            count = send(stream->io.fd, vectors[0].iov_base, size, MSG_NOSIGNAL);
        } else {
            struct msghdr message = {.msg_iov = vectors, .msg_iovlen = used};
            count = sendmsg(stream->io.fd, &message, MSG_NOSIGNAL);
        }
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        }
        consume(stream, (size_t)count);
        if ((size_t)count < size) {
            return 0;
        }
    }
    return 0;
}

/* The connection cannot be written: connection_lost gets the OSError, which is made only then,
 * because this may run where no user code may. */
static void send_failed(StreamObject *stream, int error) {
    stream->reason_errno = error;
    PyObject *exception = PyErr_GetRaisedException();
    if (cam_stream_force_close(stream, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)stream);
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

/* Sends what waits and watches for room when not all was taken. Errors close the connection. */
static void flush(StreamObject *stream) {
    if (CamLoop_IsForeign(stream->loop)) {
        return; /* a forked child's copy: its parent sends it */
    }
    int error = send_queue(stream);
    if (error != 0) {
        send_failed(stream, error);
        return;
    }
    if (stream->first != NULL && !is_blocked(stream)) {
        PyObject *exception = PyErr_GetRaisedException();
        if (cam_stream_watch(stream, stream->io.interest | CAM_POLL_OUT) < 0) {
            PyErr_Clear();
            send_failed(stream, ENOMEM);
        }
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
    }
}

void cam_stream_flush(PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    if (stream->loop != NULL && !stream->lost && !is_blocked(stream)) {
        flush(stream);
    }
}

/* ---- flow control ---- */

static int tell_protocol(StreamObject *stream, bool pause) {
    stream->protocol_paused = pause;
    cam_state *state = stream->state;
    PyObject *protocol = Py_NewRef(stream->protocol);
    int status;
    if (stream->native != NULL) {
        status = pause ? stream->native->pause_writing(protocol)
                       : stream->native->resume_writing(protocol);
    } else {
        /* Pausing runs in the context of whoever wrote, as in asyncio. */
        PyObject *result = pause ? PyObject_CallMethodNoArgs(protocol, state->str_pause_writing)
                                 : cam_stream_call(stream, state->str_resume_writing, NULL);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
    Py_DECREF(protocol);
    if (status < 0) {
        return cam_stream_report(stream, pause ? "protocol.pause_writing() failed"
                                               : "protocol.resume_writing() failed");
    }
    return 0;
}

int cam_stream_maybe_pause(StreamObject *stream) {
    if (stream->unsent <= stream->high_water || stream->lost) {
        return 0;
    }
    if (!is_blocked(stream)) {
        flush(stream);
    }
    if (stream->unsent <= stream->high_water || stream->protocol_paused ||
        stream->protocol == NULL) {
        return 0;
    }
    return tell_protocol(stream, true);
}

/* Something was queued: decides when it is sent. */
int cam_stream_queued(StreamObject *stream, size_t size) {
    LoopObject *loop = stream->loop;
    if (!is_blocked(stream) && stream->first != NULL) {
        if (stream->unsent > CAM_FLUSH_BUDGET || loop->thread != PyThread_get_thread_ident()) {
            flush(stream);
        } else {
            CamLoop_FlushLater(loop, &stream->flush, size);
        }
    }
    return cam_stream_maybe_pause(stream);
}

bool cam_stream_is_write_lost(StreamObject *stream) {
    if (!stream->lost && stream->loop != NULL) {
        return false;
    }
    if (stream->lost >= WRITES_BEFORE_WARNING) {
        PyObject *done = PyObject_CallMethod(stream->state->asyncio_logger, "warning", "s",
                                             "socket.send() raised exception.");
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)stream);
        }
        Py_XDECREF(done);
    }
    stream->lost++;
    return true;
}

int cam_stream_send_bytes(StreamObject *stream, PyObject *bytes) {
    if (PyBytes_GET_SIZE(bytes) == 0) {
        return 0;
    }
    if (queue_bytes(stream, bytes) < 0) {
        return -1;
    }
    return cam_stream_queued(stream, (size_t)PyBytes_GET_SIZE(bytes));
}

int cam_stream_send_copy(StreamObject *stream, const char *data, size_t size) {
    if (size >= DIRECT_SIZE && !is_blocked(stream)) {
        flush(stream);
        if (stream->lost) {
            return 0;
        }
        if (stream->first == NULL) {
            ssize_t count = send(stream->io.fd, data, size, MSG_NOSIGNAL);
            if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
                send_failed(stream, errno);
                return 0;
            }
            if (count > 0) {
                data += count;
                size -= (size_t)count;
            }
        }
    }
    if (size == 0) {
        return 0;
    }
    if (queue_copy(stream, data, size) < 0) {
        return -1;
    }
    return cam_stream_queued(stream, size);
}

/* All is sent: tells loop.sendfile, which waits for it. */
static int waiter_done(StreamObject *stream) {
    PyObject *waiter = stream->empty_waiter;
    if (waiter == NULL) {
        return 0;
    }
    Py_INCREF(waiter);
    cam_stream_lend(stream);
    cam_state *state = stream->state;
    PyObject *done = PyObject_CallMethodNoArgs(waiter, state->str_done);
    int pending = done ? !PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    int status = pending < 0 ? -1 : 0;
    if (pending > 0) {
        PyObject *result = PyObject_CallMethodOneArg(waiter, state->str_set_result, Py_None);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
    Py_DECREF(waiter);
    return status;
}

int cam_stream_writable(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    StreamObject *stream = (StreamObject *)owner;
    if (stream->lost || !is_blocked(stream)) {
        return 0;
    }
    int error = send_queue(stream);
    if (error != 0) {
        send_failed(stream, error);
        return 0;
    }
    if (stream->first == NULL &&
        cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_OUT) < 0) {
        return -1;
    }
    if (stream->protocol_paused && stream->unsent <= stream->low_water &&
        tell_protocol(stream, false) < 0) { /* may write again, or close */
        return -1;
    }
    if (stream->lost || stream->loop == NULL) {
        return 0;
    }
    if (stream->first != NULL && !is_blocked(stream)) {
        /* resume_writing() wrote. Not left to the end of the turn: that what waits for the
         * buffer to drain (closing, the end of the stream, sendfile) may go on is seen here. */
        flush(stream);
    }
    if (stream->first != NULL || stream->lost) {
        return 0;
    }
    if (waiter_done(stream) < 0) {
        return -1;
    }
    if (stream->closing) {
        return cam_stream_finish(stream->loop, owner);
    }
    return cam_stream_send_eof(stream);
}

int cam_stream_send_eof(StreamObject *stream) {
    if (!stream->eof_written || stream->eof_sent || stream->first != NULL || stream->lost) {
        return 0;
    }
    stream->eof_sent = true;
    /* ENOTCONN: the peer has reset the connection; whoever reads or writes will hear of it. */
    if (shutdown(stream->io.fd, SHUT_WR) < 0 && errno != ENOTCONN) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}
