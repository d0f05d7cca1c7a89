/* SPDX-License-Identifier: MIT */
/*
 * The reading half of a TLS connection.
 *
 * What the base receives is given to ssl slice by slice, so that the BIO stays small, and decrypted
 * at once, all records of a wake-up into one piece for the application: into the loop's pooled
 * buffer when it is little, else straight into the bytes object that is handed over. Whether
 * another record is there to be read is told from the headers (core/net/tls_record.h), so that ssl
 * is not asked in vain: its answer would be an exception.
 *
 * While the application has paused reading, what comes stays in the BIO, encrypted, and above the
 * high-water mark the base is paused.
 */
#include "transport/tls.h"

#include "compat.h"
#include "transport/notify.h"
#include "transport/reader.h"

enum {
    COPY_LIMIT = 4 * 1024,       /* more than this is decrypted straight into a bytes object */
    BUFFERED_PIECES = 16,        /* calls of a buffered protocol before others have their turn */
    BUFFERED_BYTES = 256 * 1024, /* and bytes */
    DISCARD_LIMIT = 1024 * 1024, /* bytes dropped for a peer that sends on after our close */
};

static const char fatal_text[] = "Fatal error on SSL protocol";

static bool is_readable(TlsObject *tls) {
    return tls->phase == CAM_TLS_WRAPPED || tls->phase == CAM_TLS_FLUSHING;
}

/* Gives ssl the next slice of what was received. 0, or -1. */
static int feed_slice(TlsObject *tls) {
    size_t size = tls->fresh_size < CAM_TLS_SLICE ? tls->fresh_size : CAM_TLS_SLICE;
    const char *data = tls->fresh;
    tls->fresh += size;
    tls->fresh_size -= size;
    return cam_tls_feed(tls, data, size);
}

static int feed_all(TlsObject *tls) {
    while (tls->fresh_size > 0) {
        if (feed_slice(tls) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Asks the BIO what it holds. 0, or -1. */
static int count_held(TlsObject *tls) {
    Py_ssize_t pending = cam_tls_pending(tls, tls->incoming);
    if (pending < 0) {
        return -1;
    }
    tls->held = (size_t)pending;
    if (tls->held <= tls->records.partial) {
        tls->records.whole = 0;
        tls->counted = !tls->records.foreign;
    }
    return 0;
}

/* 1 when ssl has something to decrypt, 0 when it needs more bytes, -1 with an exception. */
static int has_record(TlsObject *tls) {
    if (tls->leftover) {
        return 1;
    }
    if (tls->counted && !tls->records.foreign) {
        return tls->records.whole > 0;
    }
    return count_held(tls) < 0 ? -1 : tls->held > tls->records.partial;
}

/* ssl has read: a record with data, and perhaps others before it. */
static void count_read(TlsObject *tls) {
    if (tls->counted && tls->records.whole == 1) {
        tls->records.whole = 0;
        tls->held = tls->records.partial;
    } else {
        tls->counted = false;
    }
}

/* Makes sure of something to decrypt, as has_record. */
static int prepare(TlsObject *tls) {
    for (;;) {
        int ready = has_record(tls);
        if (ready != 0 || tls->fresh_size == 0) {
            return ready;
        }
        if (feed_slice(tls) < 0) {
            return -1;
        }
    }
}

/* Decrypts until the buffer is full or nothing is left. `*used` is how much, also when it fails;
 * `*ended` is set by the peer's close_notify. 0, or -1. */
static int decrypt(TlsObject *tls, char *buffer, size_t capacity, size_t *used, bool *ended) {
    *used = 0;
    while (*used < capacity && (is_readable(tls) || tls->phase == CAM_TLS_SHUTDOWN)) {
        int ready = prepare(tls);
        if (ready <= 0) {
            return ready;
        }
        size_t room = capacity - *used;
        Py_ssize_t count = cam_tls_ssl_read(tls, buffer + *used, room);
        tls->leftover = count > 0 && (size_t)count == room;
        if (count > 0) {
            count_read(tls);
        } else {
            tls->counted = false;
        }
        if (count == CAM_TLS_AGAIN) {
            if (tls->fresh_size == 0) {
                return 0; /* the records carried no data: tickets, key updates */
            }
            continue;
        }
        if (count < 0) {
            cam_tls_cut_if_torn(tls);
            return -1;
        }
        if (count == 0) {
            *ended = true;
            return 0;
        }
        *used += (size_t)count;
    }
    return 0;
}

/* ---- handing over ---- */

/* Steals the reference; NULL is an exception. */
static int hand_over_bytes(TlsObject *tls, PyObject *bytes) {
    if (bytes == NULL) {
        return -1;
    }
    PyObject *result = cam_tls_call_app(tls, tls->state->str_data_received, bytes);
    Py_DECREF(bytes);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Hands decrypted bytes to a protocol that is no BufferedProtocol, which may be set anew while
 * this runs. 0, or -1. */
static int hand_over(TlsObject *tls, char *data, size_t size) {
    if (tls->app_table != NULL) {
        PyObject *app = Py_NewRef(tls->app);
        int status = tls->app_table->data_received(app, data, (Py_ssize_t)size);
        Py_DECREF(app);
        return status;
    }
    if (tls->app_fed) {
        PyObject *reader = CamReader_Of(tls->state, tls->app);
        if (reader != NULL) {
            int fed = CamReader_Feed(tls->state, reader, data, (Py_ssize_t)size);
            PyObject *exception = fed < 0 ? PyErr_GetRaisedException() : NULL;
            Py_DECREF(reader);
            if (exception != NULL) {
                PyErr_SetRaisedException(exception);
            }
            if (fed != 0) {
                return fed < 0 ? -1 : 0;
            }
        }
    }
    CamSpare *spare = &tls->loop->spare;
    PyObject *bytes = CamSpare_Bytes(spare, data, (Py_ssize_t)size);
    if (bytes == NULL) {
        return -1;
    }
    PyObject *result = cam_tls_call_app(tls, tls->state->str_data_received, bytes);
    CamSpare_Done(spare, bytes);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* How much there may be to decrypt. */
static size_t expected(TlsObject *tls) {
    return tls->held + tls->fresh_size + (tls->leftover ? CAM_TLS_PLAINTEXT : 0);
}

/* An exception that came after bytes which arrived whole: these first, then the exception again,
 * unless they ended the connection already. */
static int after_error(int status, PyObject *exception) {
    if (exception == NULL) {
        return status;
    }
    if (status < 0) {
        Py_DECREF(exception);
        return -1;
    }
    PyErr_SetRaisedException(exception);
    return -1;
}

/* Decrypts into a buffer of the pool and hands it over. 1 when there was something, 0, or -1. */
static int read_copied(TlsObject *tls, size_t capacity, bool *ended) {
    CamTlsPool *pool = cam_tls_pool(tls->loop);
    char *buffer = pool ? cam_tls_borrow(pool, capacity) : NULL;
    if (buffer == NULL) {
        return -1;
    }
    size_t used;
    int status = decrypt(tls, buffer, capacity, &used, ended);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    status = used > 0 && tls->app != NULL ? hand_over(tls, buffer, used) : 0;
    cam_tls_give_back(pool, buffer);
    status = after_error(status, exception);
    return status < 0 ? -1 : used > 0;
}

/* Decrypts into a bytes object of its own and hands it over. As read_copied. */
static int read_bulk(TlsObject *tls, size_t capacity, bool *ended) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)capacity);
    if (bytes == NULL) {
        return -1;
    }
    size_t used;
    int status = decrypt(tls, PyBytes_AS_STRING(bytes), capacity, &used, ended);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    status = 0;
    if (used == 0 || tls->app == NULL) {
        Py_DECREF(bytes);
    } else {
        if (used < capacity && _PyBytes_Resize(&bytes, (Py_ssize_t)used) < 0) {
            bytes = NULL; /* MemoryError is set */
        }
        status = hand_over_bytes(tls, bytes);
    }
    status = after_error(status, exception);
    return status < 0 ? -1 : used > 0;
}

/* The buffered protocol's own buffer, exported for writing. 0, or -1 with an exception. */
static int get_buffer(TlsObject *tls, Py_ssize_t hint, Py_buffer *view) {
    PyObject *size = PyLong_FromSsize_t(hint);
    PyObject *buffer = size ? cam_tls_call_app(tls, tls->state->str_get_buffer, size) : NULL;
    Py_XDECREF(size);
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

/* Decrypts into the protocol's buffer and tells it. As read_copied. */
static int read_buffered(TlsObject *tls, bool *ended, size_t *used) {
    Py_ssize_t waiting = cam_tls_pending(tls, tls->incoming);
    Py_buffer view;
    if (waiting < 0 || get_buffer(tls, waiting, &view) < 0) {
        return -1;
    }
    int status = decrypt(tls, view.buf, (size_t)view.len, used, ended);
    PyObject *exception = status < 0 ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view); /* may run user code */
    status = 0;
    if (*used > 0 && tls->app != NULL) {
        PyObject *count = PyLong_FromSize_t(*used);
        PyObject *result =
            count ? cam_tls_call_app(tls, tls->state->str_buffer_updated, count) : NULL;
        Py_XDECREF(count);
        Py_XDECREF(result);
        status = result ? 0 : -1;
    }
    status = after_error(status, exception);
    return status < 0 ? -1 : *used > 0;
}

/* ---- reading ---- */

static int step_read(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    TlsObject *tls = (TlsObject *)owner;
    switch (tls->phase) {
    case CAM_TLS_WRAPPED:
        return cam_tls_read(tls);
    case CAM_TLS_FLUSHING:
        return tls->reading ? 0 : cam_tls_finish(tls);
    case CAM_TLS_SHUTDOWN:
        return cam_tls_shutdown(tls);
    default:
        return 0;
    }
}

/* Hands over all there is. 0, or -1 with an exception that is not dealt with yet. */
static int deliver(TlsObject *tls, bool *ended) {
    size_t bytes = 0;
    for (int pieces = 0; !*ended && !tls->app_paused && is_readable(tls); pieces++) {
        int ready = prepare(tls);
        if (ready <= 0) {
            return ready;
        }
        int status;
        size_t used = 0;
        if (tls->app_buffered) {
            if (pieces == BUFFERED_PIECES || bytes > BUFFERED_BYTES) {
                return cam_tls_read_soon(tls);
            }
            status = read_buffered(tls, ended, &used);
            bytes += used;
        } else {
            size_t size = expected(tls);
            bool bulk = size > COPY_LIMIT && tls->app_table == NULL && !tls->app_fed;
            status = bulk ? read_bulk(tls, size, ended) : read_copied(tls, size, ended);
        }
        if (status <= 0) {
            return status;
        }
    }
    return 0;
}

/* Sends what waited for the peer's bytes, and what ssl has to say to them. 0, or -1. */
static int send_answers(TlsObject *tls) {
    if (tls->base_full) {
        return 0;
    }
    if (tls->outbox.size > 0) {
        /* Mostly written just now, and sent by the end of the turn. */
        return tls->write_waits || !tls->flush.queued ? cam_tls_encrypt(tls, false) : 0;
    }
    Py_ssize_t pending = cam_tls_pending(tls, tls->outgoing);
    return pending > 0 ? cam_tls_send_outgoing(tls) : pending < 0 ? -1 : 0;
}

static int read_guarded(TlsObject *tls) {
    bool ended = false;
    tls->reading = true;
    int status = deliver(tls, &ended);
    tls->reading = false;
    if (status < 0) {
        return -1;
    }
    if (ended) {
        if (cam_tls_tell_eof(tls) < 0) {
            return -1;
        }
        /* The peer awaits our close_notify. */
        if (tls->phase == CAM_TLS_WRAPPED && cam_tls_close(tls) < 0) {
            return -1;
        }
    }
    if (!is_readable(tls)) {
        return 0;
    }
    return send_answers(tls) < 0 || cam_tls_control_reading(tls) < 0 ? -1 : 0;
}

int cam_tls_read(TlsObject *tls) {
    if (!is_readable(tls) || tls->reading) {
        return 0;
    }
    if (tls->app_paused) {
        return cam_tls_control_reading(tls);
    }
    return read_guarded(tls) < 0 ? cam_tls_failed(tls, fatal_text) : 0;
}

/* Decrypts into nowhere; 0, or -1 with an exception. */
static int discard(TlsObject *tls, char *buffer) {
    bool ended = false;
    size_t used;
    do {
        if (decrypt(tls, buffer, CAM_TLS_PLAINTEXT, &used, &ended) < 0) {
            return -1;
        }
        tls->discarded += used;
    } while (used > 0 && !ended && tls->discarded <= DISCARD_LIMIT);
    return 0;
}

int cam_tls_discard(TlsObject *tls) {
    int ready = tls->discarded <= DISCARD_LIMIT ? prepare(tls) : 0;
    if (ready <= 0) {
        return ready;
    }
    CamTlsPool *pool = cam_tls_pool(tls->loop);
    char *buffer = pool ? cam_tls_borrow(pool, CAM_TLS_PLAINTEXT) : NULL;
    if (buffer == NULL) {
        return -1;
    }
    int status = discard(tls, buffer);
    cam_tls_give_back(pool, buffer);
    tls->leftover = false;
    if (status < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear(); /* the shutdown meets the same, and both close_notify are an error here */
    }
    return cam_tls_control_reading(tls);
}

int cam_tls_data_received(PyObject *self, char *data, Py_ssize_t size) {
    TlsObject *tls = (TlsObject *)self;
    if (tls->phase == CAM_TLS_UNWRAPPED || tls->loop == NULL) {
        return 0;
    }
    tls->fresh = data;
    tls->fresh_size = (size_t)size;
    int status = 0;
    if (!is_readable(tls) || tls->app_paused || tls->app_buffered) {
        status = feed_all(tls);
    }
    if (status == 0) {
        switch (tls->phase) {
        case CAM_TLS_HANDSHAKE:
            status = cam_tls_handshake(tls);
            break;
        case CAM_TLS_WRAPPED:
            status = cam_tls_read(tls);
            break;
        case CAM_TLS_FLUSHING:
            status = cam_tls_finish(tls);
            break;
        case CAM_TLS_SHUTDOWN:
            status = cam_tls_shutdown(tls);
            break;
        default:
            break;
        }
    }
    /* The application paused reading, or swapped its protocol, before all of it was decrypted. */
    if (status == 0 && tls->fresh_size > 0 && is_readable(tls)) {
        status = feed_all(tls);
        if (status == 0) {
            status = cam_tls_control_reading(tls);
        }
    }
    tls->fresh = NULL;
    tls->fresh_size = 0;
    return status;
}

/* ---- flow control ---- */

int cam_tls_control_reading(TlsObject *tls) {
    if (!tls->counted && count_held(tls) < 0) {
        return -1;
    }
    bool full = tls->held >= tls->read_high && tls->held > 0;
    bool empty = tls->held <= tls->read_low;
    if (tls->base_full) {
        /* A peer that does not read can still make ssl answer (key updates). */
        Py_ssize_t answers = cam_tls_pending(tls, tls->outgoing);
        if (answers < 0) {
            return -1;
        }
        full = full || answers > CAM_TLS_ANSWERS;
        empty = empty && answers <= CAM_TLS_ANSWERS;
    }
    if (full && !tls->base_paused) {
        tls->base_paused = true;
        return cam_tls_base_pause(tls);
    }
    if (empty && tls->base_paused) {
        tls->base_paused = false;
        return cam_tls_base_resume(tls);
    }
    return 0;
}

void cam_tls_pause_reading(TlsObject *tls) {
    tls->app_paused = true;
}

int cam_tls_read_soon(TlsObject *tls) {
    return CamLoop_Enqueue(tls->loop, step_read, (PyObject *)tls);
}

int cam_tls_resume_reading(TlsObject *tls) {
    if (!tls->app_paused) {
        return 0;
    }
    tls->app_paused = false;
    return tls->phase == CAM_TLS_UNWRAPPED ? 0 : cam_tls_read_soon(tls);
}
