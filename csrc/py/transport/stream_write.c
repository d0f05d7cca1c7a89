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
 */
#include "transport/stream_object.h"

#include "compat.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pythread.h>
#include <string.h>
#ifdef __linux__
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#endif
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    DIRECT_SIZE = 64 * 1024,   /* buffers that are no bytes are from here on sent before copying */
    FILE_SLICE = 1024 * 1024,  /* of a file, at most this much in one call */
    WRITES_BEFORE_WARNING = 5, /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */
};

static bool is_blocked(StreamObject *stream) {
    return (stream->io.interest & CAM_POLL_OUT) != 0;
}

int cam_stream_queue(StreamObject *stream, PyObject *bytes, const char *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    return bytes ? cam_outbox_add_bytes(&stream->outbox, bytes)
                 : cam_outbox_add_copy(&stream->outbox, data, size);
}

/* ---- sending ---- */

/* Sends of a file what its file system does not let the kernel send by itself: as sendfile(2). */
static ssize_t copy_file(StreamObject *stream, const CamFileChunk *file) {
    char piece[16 * 1024];
    size_t size = file->chunk.size < sizeof piece ? file->chunk.size : sizeof piece;
    ssize_t count = pread(file->fd, piece, size, file->offset);
    return count > 0 ? send(stream->io.fd, piece, (size_t)count, MSG_NOSIGNAL) : count;
}

/* Sends of the file that is first in the queue, no more than FILE_SLICE, so that one fast reader
 * does not keep the loop. 0 with *more true when there may be room for more; or a positive errno.
 */
static int send_file(StreamObject *stream, CamFileChunk *file, bool *more) {
#ifdef __linux__
    size_t size = file->chunk.size < FILE_SLICE ? file->chunk.size : FILE_SLICE;
    off_t offset = file->offset;
    ssize_t count = sendfile(stream->io.fd, file->fd, &offset, size);
    if (count < 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        count = copy_file(stream, file);
    }
    *more = count > 0 && (size_t)count == file->chunk.size;
    if (count > 0) {
        cam_outbox_consume(&stream->outbox, (size_t)count);
        return 0;
    }
    if (count == 0) {
        return EIO; /* it has become shorter than what the peer was told */
    }
    *more = errno == EINTR;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : errno;
#else
    (void)stream;
    (void)file;
    *more = false;
    return ENOSYS; /* nobody queues files here */
#endif
}

/* By itself Linux takes megabytes of what a peer does not read, and takes them in one go: a crowd
 * of peers that ask for much and read nothing would have the loop copy all that before it serves
 * anybody else, and the kernel keep it. What the peer has room for does not count. */
static void limit_unsent(StreamObject *stream) {
#ifdef TCP_NOTSENT_LOWAT
    int limit = cam_unsent_limit(&stream->unsent);
    /* Fails for what is no TCP. */
    (void)setsockopt(stream->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof limit);
#endif
}

/* All that the kernel was given is on its way; false where it does not tell. */
static bool is_dry(StreamObject *stream) {
#ifdef SIOCOUTQNSD
    int unsent;
    return ioctl(stream->io.fd, SIOCOUTQNSD, &unsent) == 0 && unsent == 0;
#else
    (void)stream;
    return false;
#endif
}

/* The kernel has room again. */
static void judge_unsent(StreamObject *stream) {
    if (stream->unsent.step == 0) {
        return;
    }
    int64_t now = CamLoop_Now();
    bool dry = cam_unsent_was_late(&stream->unsent, now) && is_dry(stream);
    if (cam_unsent_room(&stream->unsent, now, dry)) {
        limit_unsent(stream);
    }
}

static int send_chunks(StreamObject *stream) {
    while (stream->outbox.first != NULL) {
        CamFileChunk *file = cam_outbox_file(&stream->outbox);
        if (file != NULL) {
            bool more;
            int error = send_file(stream, file, &more);
            if (error != 0 || !more) {
                return error;
            }
            continue;
        }
        struct iovec vectors[CAM_OUTBOX_VECTORS];
        size_t size;
        int used = cam_outbox_vectors(&stream->outbox, vectors, &size);
        ssize_t count;
        /* A head and the file behind it belong into one packet. */
        int flags = size < stream->outbox.size ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
        if (used == 1) {
            count = send(stream->io.fd, vectors[0].iov_base, size, flags);
        } else {
            struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)used};
            count = sendmsg(stream->io.fd, &message, flags);
        }
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        }
        cam_outbox_consume(&stream->outbox, (size_t)count);
        if ((size_t)count < size) {
            return 0;
        }
    }
    return 0;
}

/* Sends until all is sent or the kernel takes no more. 0, or a positive errno. No user code. */
static int send_queue(StreamObject *stream) {
    cam_unsent *unsent = &stream->unsent;
    if (stream->outbox.size > CAM_FLUSH_BUDGET && unsent->step == 0 && stream->native != NULL) {
        cam_unsent_begin(unsent);
        limit_unsent(stream);
    }
    int error = send_chunks(stream);
    if (stream->outbox.first != NULL && unsent->step != 0) {
        cam_unsent_full(unsent, CamLoop_Now());
    }
    return error;
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
    if (stream->outbox.first != NULL && !is_blocked(stream)) {
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
    if (stream->held && !stream->closing && stream->outbox.size <= CAM_FLUSH_BUDGET) {
        return;
    }
    if (stream->loop != NULL && !stream->lost && !is_blocked(stream)) {
        flush(stream);
    }
}

void CamStream_Hold(PyObject *stream) {
    ((StreamObject *)stream)->held = true;
}

void CamStream_Release(PyObject *object) {
    StreamObject *stream = (StreamObject *)object;
    stream->held = false;
    if (stream->loop != NULL && !stream->lost && stream->outbox.first != NULL &&
        !is_blocked(stream)) {
        CamLoop_FlushLater(stream->loop, &stream->flush, 0);
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
        /* In the stream's context, as every call of a protocol; in asyncio, pause_writing() has
         * that of whoever wrote. */
        PyObject *result = cam_stream_call(
            stream, pause ? state->str_pause_writing : state->str_resume_writing, NULL);
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
    if (stream->outbox.size <= stream->high_water || stream->lost) {
        return 0;
    }
    if (!is_blocked(stream)) {
        flush(stream);
    }
    if (stream->outbox.size <= stream->high_water || stream->protocol_paused ||
        stream->protocol == NULL) {
        return 0;
    }
    return tell_protocol(stream, true);
}

/* Something was queued: decides when it is sent. */
int cam_stream_queued(StreamObject *stream, size_t size) {
    LoopObject *loop = stream->loop;
    if (!is_blocked(stream) && stream->outbox.first != NULL &&
        loop->reading != (PyObject *)stream) {
        if (stream->outbox.size > CAM_FLUSH_BUDGET || loop->thread != PyThread_get_thread_ident()) {
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

int cam_stream_send_kept(StreamObject *stream, PyObject *object, const char *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (cam_outbox_add_kept(&stream->outbox, object, data, size) < 0) {
        return -1;
    }
    return cam_stream_queued(stream, size);
}

int cam_stream_send_copy(StreamObject *stream, const char *data, size_t size) {
    if (size >= DIRECT_SIZE && !is_blocked(stream)) {
        flush(stream);
        if (stream->lost) {
            return 0;
        }
        if (stream->outbox.first == NULL) {
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
    if (cam_outbox_add_copy(&stream->outbox, data, size) < 0) {
        return -1;
    }
    return cam_stream_queued(stream, size);
}

int cam_stream_write_file(StreamObject *stream, int fd, off_t offset, size_t size) {
    if (cam_outbox_add_file(&stream->outbox, fd, offset, size) < 0) {
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
    judge_unsent(stream);
    int error = send_queue(stream);
    if (error != 0) {
        send_failed(stream, error);
        return 0;
    }
    if (stream->outbox.first == NULL &&
        cam_stream_watch(stream, stream->io.interest & ~(uint32_t)CAM_POLL_OUT) < 0) {
        return -1;
    }
    if (stream->protocol_paused && stream->outbox.size <= stream->low_water &&
        tell_protocol(stream, false) < 0) { /* may write again, or close */
        return -1;
    }
    if (stream->lost || stream->loop == NULL) {
        return 0;
    }
    if (stream->outbox.first != NULL && !is_blocked(stream)) {
        /* resume_writing() wrote. Not left to the end of the turn: that what waits for the
         * buffer to drain (closing, the end of the stream, sendfile) may go on is seen here. */
        flush(stream);
    }
    if (stream->outbox.first != NULL || stream->lost) {
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
    if (!stream->eof_written || stream->eof_sent || stream->outbox.first != NULL || stream->lost) {
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
