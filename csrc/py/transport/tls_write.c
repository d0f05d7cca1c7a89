/* SPDX-License-Identifier: MIT */
/*
 * The writing half of a TLS connection.
 *
 * What the application writes in a turn is collected and encrypted at the end of it, small pieces
 * together in one record, and goes to the base at once; or earlier, as the stream does, when more
 * than CAM_FLUSH_BUDGET bytes wait or no end of a turn is near. While the base is full nothing is
 * encrypted: what waits is the application's own bytes objects, and counts against its high-water
 * mark.
 */
#include "transport/tls.h"

#include "compat.h"
#include "transport/notify.h"

#include <pythread.h>
#include <string.h>

enum {
    RECORD = CAM_TLS_PLAINTEXT,
    WRITES_BEFORE_WARNING = 5, /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */
};

static const char fatal_text[] = "Fatal error on SSL protocol";

int cam_tls_send_outgoing(TlsObject *tls) {
    if (tls->outgoing == NULL) {
        return 0; /* lost and dismissed while ssl was at work */
    }
    PyObject *bytes = cam_tls_take_outgoing(tls);
    if (bytes == NULL) {
        return -1;
    }
    int status = PyBytes_GET_SIZE(bytes) > 0 ? cam_tls_base_write(tls, bytes) : 0;
    Py_DECREF(bytes); /* exactly bytes: no user code */
    return status;
}

/* The oldest chunks' bytes, as many as fit into one record. */
static size_t gather(const CamOutbox *outbox, char *buffer) {
    size_t used = 0;
    for (CamChunk *chunk = outbox->first; chunk != NULL && used < RECORD; chunk = chunk->next) {
        size_t size = chunk->size < RECORD - used ? chunk->size : RECORD - used;
        memcpy(buffer + used, chunk->data, size);
        used += size;
    }
    return used;
}

/* Encrypts some of the outbox, which is not empty. As cam_tls_ssl_write. */
static Py_ssize_t encrypt_some(TlsObject *tls) {
    CamChunk *first = tls->outbox.first;
    if (first->next != NULL && first->size < RECORD) {
        CamTlsPool *pool = cam_tls_pool(tls->loop);
        char *buffer = pool ? cam_tls_borrow(pool, RECORD) : NULL;
        if (buffer == NULL) {
            return -1;
        }
        Py_ssize_t count = cam_tls_ssl_write(tls, NULL, buffer, gather(&tls->outbox, buffer));
        cam_tls_give_back(pool, buffer);
        return count;
    }
    if (first->size > CAM_TLS_SLICE) {
        return cam_tls_ssl_write(tls, NULL, first->data, CAM_TLS_SLICE);
    }
    if (first->keep != NULL && first->size == (size_t)PyBytes_GET_SIZE(first->keep)) {
        return cam_tls_ssl_write(tls, first->keep, NULL, 0);
    }
    return cam_tls_ssl_write(tls, NULL, first->data, first->size);
}

/* The outbox keeps its chunks meanwhile: `encrypting` is set. */
static int encrypt_guarded(TlsObject *tls, bool all) {
    CamTlsPhase phase = tls->phase;
    size_t encrypted = 0;
    while (tls->outbox.first != NULL && (all || !tls->base_full) && tls->phase == phase) {
        Py_ssize_t count = encrypt_some(tls);
        if (count == CAM_TLS_AGAIN) {
            tls->write_waits = true;
            tls->counted = false; /* it has read */
            break;
        }
        if (count < 0) {
            cam_tls_cut_if_torn(tls);
            return -1;
        }
        tls->write_waits = false;
        cam_outbox_consume(&tls->outbox, (size_t)count);
        encrypted += (size_t)count;
        if (encrypted >= CAM_TLS_SLICE) {
            encrypted = 0;
            if (cam_tls_send_outgoing(tls) < 0) {
                return -1;
            }
        }
    }
    return encrypted > 0 || !tls->base_full ? cam_tls_send_outgoing(tls) : 0;
}

int cam_tls_encrypt(TlsObject *tls, bool all) {
    if (tls->encrypting || tls->base == NULL ||
        (tls->phase != CAM_TLS_WRAPPED && tls->phase != CAM_TLS_FLUSHING)) {
        return 0;
    }
    tls->encrypting = true;
    int status = encrypt_guarded(tls, all);
    tls->encrypting = false;
    if (tls->phase == CAM_TLS_UNWRAPPED) {
        cam_outbox_clear(&tls->outbox); /* it was closed meanwhile */
    }
    return status;
}

/* Leaves the loop with an exception that came up where none may. */
static int step_raise(LoopObject *Py_UNUSED(loop), PyObject *exception) {
    PyErr_SetRaisedException(Py_NewRef(exception));
    return -1;
}

void cam_tls_flush(PyObject *owner) {
    TlsObject *tls = (TlsObject *)owner;
    if (tls->outbox.size == 0 || tls->base_full || tls->loop == NULL ||
        CamLoop_IsForeign(tls->loop)) {
        return; /* a forked child's copy is its parent's to send */
    }
    PyObject *pending = PyErr_GetRaisedException();
    if (cam_tls_encrypt(tls, false) < 0 && cam_tls_failed(tls, fatal_text) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        if (CamLoop_Enqueue(tls->loop, step_raise, exception) < 0) {
            PyErr_WriteUnraisable(owner);
        }
        Py_DECREF(exception);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* ---- flow control ---- */

Py_ssize_t cam_tls_write_size(TlsObject *tls) {
    Py_ssize_t pending = tls->outgoing ? cam_tls_pending(tls, tls->outgoing) : 0;
    return pending < 0 ? -1 : pending + (Py_ssize_t)tls->outbox.size;
}

/* In the connection's context, as every call of the application; in asyncio, pause_writing() has
 * that of whoever wrote. */
static int tell_app(TlsObject *tls, bool pause) {
    tls->write_paused = pause;
    cam_state *state = tls->state;
    PyObject *app = Py_NewRef(tls->app);
    int status;
    if (tls->app_table != NULL) {
        status = pause ? tls->app_table->pause_writing(app) : tls->app_table->resume_writing(app);
    } else {
        PyObject *result = cam_tls_call_app(
            tls, pause ? state->str_pause_writing : state->str_resume_writing, NULL);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
    if (status < 0) {
        status = CamNotify_Report(tls->loop, (PyObject *)tls->transport, (PyObject *)tls,
                                  pause ? "protocol.pause_writing() failed"
                                        : "protocol.resume_writing() failed");
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(app);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

int cam_tls_control_writing(TlsObject *tls) {
    size_t size = tls->outbox.size;
    if (tls->app == NULL) {
        return 0;
    }
    if (size >= tls->write_high && size > 0 && !tls->write_paused) {
        if (tls->phase == CAM_TLS_WRAPPED && !tls->base_full && !tls->write_waits &&
            cam_tls_encrypt(tls, false) < 0) {
            return cam_tls_failed(tls, fatal_text);
        }
        if (tls->outbox.size < tls->write_high || tls->outbox.size == 0 || tls->app == NULL) {
            return 0;
        }
        return tell_app(tls, true);
    }
    if (size <= tls->write_low && tls->write_paused) {
        return tell_app(tls, false);
    }
    return 0;
}

int cam_tls_pause_writing(PyObject *self) {
    ((TlsObject *)self)->base_full = true;
    return 0;
}

int cam_tls_resume_writing(PyObject *self) {
    TlsObject *tls = (TlsObject *)self;
    if (!tls->base_full) {
        return 0;
    }
    tls->base_full = false;
    if (tls->phase == CAM_TLS_UNWRAPPED || tls->loop == NULL) {
        return 0;
    }
    int status = tls->phase == CAM_TLS_WRAPPED || tls->phase == CAM_TLS_FLUSHING
                     ? cam_tls_encrypt(tls, false)
                     : cam_tls_send_outgoing(tls);
    if (status < 0) {
        return cam_tls_failed(tls, fatal_text);
    }
    if (tls->base_paused && cam_tls_control_reading(tls) < 0) {
        return -1;
    }
    return cam_tls_control_writing(tls);
}

/* ---- writing ---- */

bool cam_tls_is_write_lost(TlsObject *tls) {
    if (tls->phase == CAM_TLS_WRAPPED || tls->phase == CAM_TLS_HANDSHAKE) {
        return false;
    }
    if (tls->lost_writes >= WRITES_BEFORE_WARNING) {
        PyObject *done = PyObject_CallMethod(tls->state->asyncio_logger, "warning", "s",
                                             "SSL connection is closed");
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)tls);
        }
        Py_XDECREF(done);
    }
    tls->lost_writes++;
    return true;
}

int cam_tls_queue(TlsObject *tls, PyObject *bytes, const char *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    return bytes ? cam_outbox_add_bytes(&tls->outbox, bytes)
                 : cam_outbox_add_copy(&tls->outbox, data, size);
}

int cam_tls_written(TlsObject *tls, size_t size) {
    LoopObject *loop = tls->loop;
    if (tls->phase == CAM_TLS_WRAPPED && !tls->base_full && !tls->write_waits &&
        tls->outbox.size > 0) {
        if (tls->outbox.size > CAM_FLUSH_BUDGET || loop->thread != PyThread_get_thread_ident()) {
            if (cam_tls_encrypt(tls, false) < 0) {
                return cam_tls_failed(tls, fatal_text);
            }
        } else {
            CamLoop_FlushLater(loop, &tls->flush, size);
        }
    }
    return cam_tls_control_writing(tls);
}
