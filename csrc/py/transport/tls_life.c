/* SPDX-License-Identifier: MIT */
/* A TLS connection's life: handshake, shutdown, errors, and the calls to what is below it. */
#include "transport/tls.h"

#include "compat.h"
#include "transport/notify.h"
#include "transport/reader.h"
#include "transport/stream_object.h"
#include "stream.h"

/* ---- the transport below ---- */

static int call_base(TlsObject *tls, PyObject *name, PyObject *argument) {
    PyObject *result = CamNotify_CallHere(tls->base, name, argument);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int cam_tls_base_write(TlsObject *tls, PyObject *bytes) {
    if (tls->base == NULL) {
        return 0;
    }
    return tls->base_is_stream ? CamStream_WriteBytes(tls->base, bytes)
                               : call_base(tls, tls->state->str_write, bytes);
}

static int base_close(TlsObject *tls) {
    if (tls->base == NULL) {
        return 0;
    }
    return tls->base_is_stream ? CamStream_Close(tls->base)
                               : call_base(tls, tls->state->str_close, NULL);
}

/* Lets the base send what it can at once, and closes it. */
static int base_force_close(TlsObject *tls, PyObject *reason) {
    if (tls->base == NULL) {
        return 0;
    }
    if (!tls->base_is_stream) {
        return call_base(tls, tls->state->str__force_close, reason ? reason : Py_None);
    }
    cam_stream_flush(tls->base);
    return cam_stream_force_close((StreamObject *)tls->base, reason);
}

int cam_tls_base_pause(TlsObject *tls) {
    if (tls->base == NULL) {
        return 0;
    }
    return tls->base_is_stream ? CamStream_PauseReading(tls->base)
                               : call_base(tls, tls->state->str_pause_reading, NULL);
}

int cam_tls_base_resume(TlsObject *tls) {
    if (tls->base == NULL) {
        return 0;
    }
    return tls->base_is_stream ? CamStream_ResumeReading(tls->base)
                               : call_base(tls, tls->state->str_resume_reading, NULL);
}

int cam_tls_base_is_closing(TlsObject *tls) {
    if (tls->base == NULL) {
        return 0;
    }
    if (tls->base_is_stream) {
        return CamStream_IsClosing(tls->base);
    }
    PyObject *base = Py_NewRef(tls->base);
    PyObject *closing = PyObject_CallMethodNoArgs(base, tls->state->str_is_closing);
    Py_DECREF(base);
    int truth = closing ? PyObject_IsTrue(closing) : -1;
    Py_XDECREF(closing);
    return truth;
}

/* ---- the application and whoever waits ---- */

/* An asyncio.BufferedProtocol, or what can be used as nothing else. 1, 0 or -1. */
static int is_buffered(cam_state *state, PyObject *protocol) {
    int buffered = PyObject_IsInstance(protocol, state->buffered_protocol);
    if (buffered != 0 || PyObject_HasAttr(protocol, state->str_data_received)) {
        return buffered;
    }
    return PyObject_HasAttr(protocol, state->str_get_buffer);
}

int cam_tls_set_app(TlsObject *tls, PyObject *protocol) {
    cam_state *state = tls->state;
    const CamProtocolTable *table = CamProtocol_TableOf(state, protocol);
    int buffered = 0;
    if (table == NULL) {
        buffered = is_buffered(state, protocol);
        if (buffered < 0) {
            return -1;
        }
    }
    tls->app_table = table;
    tls->app_buffered = buffered;
    tls->app_fed = table == NULL && CamReader_IsProtocol(state, protocol);
    Py_XSETREF(tls->app, Py_NewRef(protocol));
    return 0;
}

PyObject *cam_tls_call_app(TlsObject *tls, PyObject *name, PyObject *argument) {
    CamLoop_NoteCall(tls->loop, tls->app, name);
    return CamNotify_Call(tls->context, tls->app, name, argument, NULL);
}

/* Ends the waiting of create_connection() and its kin; exception NULL for success. Runs no user
 * code but the waiter's own methods. 0, or -1. */
static int wake_waiter(TlsObject *tls, PyObject *exception) {
    PyObject *waiter = tls->waiter;
    if (waiter == NULL) {
        return 0;
    }
    tls->waiter = NULL;
    cam_state *state = tls->state;
    PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, state->str_cancelled);
    int is_cancelled = cancelled ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    int status = is_cancelled < 0 ? -1 : 0;
    if (is_cancelled == 0) {
        PyObject *done = PyObject_CallMethodOneArg(
            waiter, exception ? state->str_set_exception : state->str_set_result,
            exception ? exception : Py_None);
        Py_XDECREF(done);
        status = done ? 0 : -1;
    }
    Py_DECREF(waiter);
    return status;
}

static void cancel_timer(TlsObject *tls, PyObject **slot) {
    PyObject *timer = *slot;
    if (timer != NULL) {
        *slot = NULL;
        CamNotify_Quietly(timer, tls->state->str_cancel, NULL);
        Py_DECREF(timer);
    }
}

/* Calls the method `name` of the protocol after a time limit, unless that is running already or
 * there is none (NULL). */
static int start_timer(TlsObject *tls, PyObject **slot, PyObject *seconds, const char *name) {
    if (*slot != NULL || seconds == NULL) {
        return 0;
    }
    PyObject *method = PyObject_GetAttrString((PyObject *)tls, name);
    PyObject *timer =
        method ? PyObject_CallMethodObjArgs((PyObject *)tls->loop, tls->state->str_call_later,
                                            seconds, method, NULL)
               : NULL;
    Py_XDECREF(method);
    if (timer == NULL) {
        return -1;
    }
    Py_XSETREF(*slot, timer);
    return 0;
}

static int start_shutdown_timer(TlsObject *tls) {
    return start_timer(tls, &tls->shutdown_timer, tls->shutdown_timeout, "_check_shutdown_timeout");
}

/* ---- errors ---- */

static void log_debug(TlsObject *tls, const char *text, PyObject *exception) {
    if (tls->loop->debug) {
        CamNotify_Log(tls->state, "debug", (PyObject *)tls, text, exception);
    }
}

/* Sets phase UNWRAPPED and closes the base with `reason`; the peer is told what ssl has to say
 * (an alert). Keeps no exception; 0, or -1 with one. */
static int cut(TlsObject *tls, PyObject *reason) {
    tls->phase = CAM_TLS_UNWRAPPED;
    if (tls->ssl_object != NULL && tls->base != NULL && !tls->base_full &&
        cam_tls_send_outgoing(tls) < 0) {
        PyErr_Clear(); /* nobody to tell then */
    }
    return base_force_close(tls, reason);
}

int cam_tls_fatal(TlsObject *tls, const char *message) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    /* Where the handshake was under way connection_lost() is what wakes the waiter, and the
     * application, which knows nothing yet, is told nothing. */
    bool shaking = tls->phase == CAM_TLS_HANDSHAKE;
    PyObject *base = Py_XNewRef(tls->base);
    int status = cut(tls, exception);
    if (shaking) {
        tls->phase = CAM_TLS_HANDSHAKE;
    }
    if (status < 0) {
        PyErr_WriteUnraisable((PyObject *)tls);
        status = 0;
    }
    if (PyObject_TypeCheck(exception, (PyTypeObject *)PyExc_OSError)) {
        log_debug(tls, message, exception);
    } else if (!PyErr_GivenExceptionMatches(exception, tls->state->tls.cancelled_error)) {
        PyErr_SetRaisedException(Py_NewRef(exception));
        status = CamNotify_Report(tls->loop, base ? base : Py_None, (PyObject *)tls, message);
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(base);
    Py_DECREF(exception);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

void cam_tls_cut_if_torn(TlsObject *tls) {
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    if (cut(tls, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)tls);
    }
    PyErr_SetRaisedException(exception);
}

int cam_tls_failed(TlsObject *tls, const char *message) {
    return PyErr_ExceptionMatches(PyExc_Exception) ? cam_tls_fatal(tls, message) : -1;
}

/* ---- the handshake ---- */

/* The handshake has failed with the exception that is set. */
static int handshake_failed(TlsObject *tls) {
    bool certificate = PyErr_ExceptionMatches(tls->state->tls.certificate_error);
    cancel_timer(tls, &tls->handshake_timer);
    PyObject *exception = PyErr_GetRaisedException();
    tls->phase = CAM_TLS_UNWRAPPED;
    PyErr_SetRaisedException(Py_NewRef(exception));
    int status =
        cam_tls_fatal(tls, certificate ? "SSL handshake failed on verifying the certificate"
                                       : "SSL handshake failed");
    if (status == 0) {
        status = wake_waiter(tls, exception);
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(exception);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

/* Tells whoever has begun the handshake that it is over, one way or the other. */
static void tell_watcher(TlsObject *tls) {
    PyObject *watcher = tls->watcher;
    if (watcher != NULL) {
        tls->watcher = NULL;
        tls->settled(watcher);
        Py_DECREF(watcher);
    }
}

/* What the handshake made known, as asyncio notes it at once: a certificate that cannot be
 * decoded is a handshake that fails. */
static int note_results(TlsObject *tls) {
    struct {
        const char *method;
        PyObject **slot;
    } const asked[] = {
        {"getpeercert", &tls->peercert},
        {"cipher", &tls->cipher},
        {"compression", &tls->compression},
    };
    for (int i = 0; i < 3; i++) {
        PyObject *value = PyObject_CallMethod(tls->ssl_object, asked[i].method, NULL);
        if (value == NULL) {
            return -1;
        }
        Py_XSETREF(*asked[i].slot, value);
    }
    return 0;
}

static void log_handshake(TlsObject *tls) {
    if (tls->loop->debug && tls->handshake_begin != 0) {
        char text[64];
        double milliseconds = (double)(CamLoop_Now() - tls->handshake_begin) / 1e6;
        PyOS_snprintf(text, sizeof(text), "SSL handshake took %.1f ms", milliseconds);
        /* asyncio has a colon here, as before the text of an exception. */
        PyObject *done = PyObject_CallMethod(tls->state->asyncio_logger, "debug", "sOs", "%r: %s",
                                             (PyObject *)tls, text);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)tls);
        }
        Py_XDECREF(done);
    }
}

/* Calls the application's connection_made(). 0, or -1 with an exception. */
static int tell_made(TlsObject *tls) {
    tls->told = CAM_TLS_TOLD_MADE;
    PyObject *transport = Py_NewRef((PyObject *)tls->transport);
    int status;
    if (tls->app_table != NULL) {
        PyObject *app = Py_NewRef(tls->app);
        status = tls->app_table->connection_made(app, transport);
        Py_DECREF(app);
    } else {
        PyObject *result = cam_tls_call_app(tls, tls->state->str_connection_made, transport);
        Py_XDECREF(result);
        status = result ? 0 : -1;
    }
    Py_DECREF(transport);
    return status;
}

static int handshake_done(TlsObject *tls) {
    tls->phase = CAM_TLS_WRAPPED;
    if (note_results(tls) < 0) {
        return handshake_failed(tls);
    }
    cancel_timer(tls, &tls->handshake_timer);
    tell_watcher(tls);
    tls->handshaken = true;
    log_handshake(tls);
    if (tls->told != CAM_TLS_TOLD_NOTHING) {
        /* Whoever called start_tls() is to have the transport before data that came along. */
        return wake_waiter(tls, NULL) < 0 || cam_tls_send_outgoing(tls) < 0 ||
                       cam_tls_read_soon(tls) < 0
                   ? -1
                   : 0;
    }
    if (tell_made(tls) < 0) {
        /* asyncio lets it pass to the transport below, which says so. */
        return cam_tls_fatal(tls, "Fatal error: protocol.buffer_updated() call failed.");
    }
    return wake_waiter(tls, NULL) < 0 ? -1 : cam_tls_read(tls);
}

int cam_tls_handshake(TlsObject *tls) {
    int status = cam_tls_ssl_handshake(tls);
    if (tls->phase != CAM_TLS_HANDSHAKE) { /* a callback of ssl has aborted it */
        if (status == -1) {
            return cam_tls_failed(tls, "SSL handshake failed");
        }
        return 0;
    }
    if (status == CAM_TLS_AGAIN) {
        return cam_tls_send_outgoing(tls);
    }
    if (status == -1) {
        return PyErr_ExceptionMatches(tls->state->tls.error) ? handshake_failed(tls) : -1;
    }
    return handshake_done(tls);
}

/* The application goes on being called in the context of its connection, whichever start_tls() was
 * called in; a copy, as the connection's own may be entered just then. 0, or -1 with MemoryError.
 */
static int adopt_context(TlsObject *tls, PyObject *base) {
    PyObject *context = NULL;
    if (tls->base_is_stream) {
        context = ((StreamObject *)base)->context;
    } else if (Py_TYPE(base) == (PyTypeObject *)tls->state->tls_transport_type) {
        context = ((TlsTransportObject *)base)->tls->context;
    }
    if (context == NULL) {
        return 0; /* another's transport, or one that is finished */
    }
    PyObject *copy = PyContext_Copy(context);
    if (copy == NULL) {
        return -1;
    }
    Py_XSETREF(tls->context, copy);
    return 0;
}

int cam_tls_connection_made(PyObject *self, PyObject *base) {
    TlsObject *tls = (TlsObject *)self;
    if (tls->base != NULL || tls->phase != CAM_TLS_UNWRAPPED || tls->told == CAM_TLS_TOLD_LOST ||
        tls->transport == NULL) {
        return 0; /* made already, or aborted before it was */
    }
    tls->base = Py_NewRef(base);
    tls->base_is_stream = CamStream_Check(tls->state, base);
    if (adopt_context(tls, base) < 0) {
        return -1;
    }
    if (tls->transport->closed) {
        return base_force_close(tls, NULL); /* whoever wanted it has given up */
    }
    if (tls->loop->debug) {
        CamNotify_Log(tls->state, "debug", self, "starts SSL handshake", NULL);
        tls->handshake_begin = CamLoop_Now();
    }
    tls->phase = CAM_TLS_HANDSHAKE;
    if (start_timer(tls, &tls->handshake_timer, tls->handshake_timeout,
                    "_check_handshake_timeout") < 0) {
        return -1;
    }
    return cam_tls_handshake(tls);
}

void cam_tls_handshake_expired(TlsObject *tls) {
    if (tls->phase != CAM_TLS_HANDSHAKE) {
        return;
    }
    PyErr_Format(PyExc_ConnectionAbortedError,
                 "SSL handshake is taking longer than %S seconds: aborting the connection",
                 tls->handshake_timeout ? tls->handshake_timeout : Py_None);
    PyObject *exception = PyErr_GetRaisedException();
    PyErr_SetRaisedException(Py_NewRef(exception));
    (void)cam_tls_fatal(tls, "Fatal error on transport"); /* an OSError: logged at most */
    /* Not left to connection_lost(): a base that was lost before TLS began does not call it. */
    if (wake_waiter(tls, exception) < 0) {
        PyErr_WriteUnraisable((PyObject *)tls);
    }
    Py_DECREF(exception);
}

/* ---- the end ---- */

int cam_tls_tell_eof(TlsObject *tls) {
    if (tls->told != CAM_TLS_TOLD_MADE || tls->app == NULL) {
        return 0;
    }
    tls->told = CAM_TLS_TOLD_EOF;
    int keep_open;
    if (tls->app_table != NULL) {
        PyObject *app = Py_NewRef(tls->app);
        keep_open = tls->app_table->eof_received(app);
        /* A protocol in C that writes on after the peer's end does so on plain streams. */
        keep_open = keep_open < 0 ? -1 : 0;
        Py_DECREF(app);
    } else {
        PyObject *result = cam_tls_call_app(tls, tls->state->str_eof_received, NULL);
        keep_open = result ? PyObject_IsTrue(result) : -1;
        Py_XDECREF(result);
    }
    if (keep_open < 0) {
        return cam_tls_fatal(tls, "Error calling eof_received()");
    }
    if (keep_open) {
        PyObject *done =
            PyObject_CallMethod(tls->state->asyncio_logger, "warning", "s",
                                "returning true from eof_received() has no effect when using ssl");
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    return 0;
}

static int step_close_base(LoopObject *Py_UNUSED(loop), PyObject *owner) {
    return base_close((TlsObject *)owner);
}

/* Both directions are closed. Sending the rest may take for ever, hence the timer. */
static int shutdown_done(TlsObject *tls) {
    if (tls->base == NULL) {
        return 0;
    }
    if (start_shutdown_timer(tls) < 0) {
        return -1;
    }
    return CamLoop_Enqueue(tls->loop, step_close_base, (PyObject *)tls);
}

int cam_tls_shutdown(TlsObject *tls) {
    if (tls->phase != CAM_TLS_SHUTDOWN) {
        return 0;
    }
    if (!tls->base_eof) {
        if (cam_tls_discard(tls) < 0) {
            return -1;
        }
        if (tls->phase != CAM_TLS_SHUTDOWN) {
            return 0;
        }
        int status = cam_tls_ssl_shutdown(tls);
        tls->counted = false;                 /* it has read */
        if (tls->phase != CAM_TLS_SHUTDOWN) { /* a callback of ssl has aborted it */
            return status == -1 ? cam_tls_failed(tls, "Fatal error on transport") : 0;
        }
        if (status == CAM_TLS_AGAIN) {
            return cam_tls_send_outgoing(tls);
        }
        if (status == -1) {
            if (!PyErr_ExceptionMatches(tls->state->tls.error)) {
                return -1;
            }
            cancel_timer(tls, &tls->shutdown_timer);
            return cam_tls_fatal(tls, "Fatal error on transport");
        }
    }
    if (cam_tls_send_outgoing(tls) < 0 || cam_tls_tell_eof(tls) < 0) {
        return -1;
    }
    return shutdown_done(tls);
}

int cam_tls_finish(TlsObject *tls) {
    if (cam_tls_read(tls) < 0) {
        return -1;
    }
    if (tls->phase != CAM_TLS_FLUSHING) {
        return 0;
    }
    if (cam_tls_encrypt(tls, true) < 0 && cam_tls_failed(tls, "Fatal error on SSL protocol") < 0) {
        return -1;
    }
    if (tls->phase != CAM_TLS_FLUSHING) {
        return 0;
    }
    tls->phase = CAM_TLS_SHUTDOWN;
    return cam_tls_shutdown(tls);
}

int cam_tls_close(TlsObject *tls) {
    bool stuck = tls->phase == CAM_TLS_FLUSHING && tls->app_paused; /* after the peer's end */
    if (tls->phase != CAM_TLS_HANDSHAKE && tls->phase != CAM_TLS_WRAPPED && !stuck) {
        return 0;
    }
    if (CamLoop_CheckUsable(tls->loop) < 0) {
        return -1;
    }
    if (tls->transport != NULL) {
        tls->transport->closed = true;
    }
    if (tls->phase == CAM_TLS_HANDSHAKE) {
        return cam_tls_abort(tls, NULL);
    }
    tls->phase = CAM_TLS_FLUSHING;
    if (start_shutdown_timer(tls) < 0) {
        return -1;
    }
    return cam_tls_finish(tls);
}

void cam_tls_shutdown_expired(TlsObject *tls) {
    Py_CLEAR(tls->shutdown_timer);
    if (tls->base == NULL) {
        return;
    }
    PyObject *exception = PyObject_CallFunction(PyExc_TimeoutError, "s", "SSL shutdown timed out");
    tls->phase = CAM_TLS_UNWRAPPED;
    if (exception == NULL || base_force_close(tls, exception) < 0) {
        PyErr_WriteUnraisable((PyObject *)tls);
    }
    Py_XDECREF(exception);
}

int cam_tls_abort(TlsObject *tls, PyObject *reason) {
    /* asyncio would have tried to send in write(). */
    if (tls->phase == CAM_TLS_WRAPPED && tls->outbox.size > 0 && cam_tls_encrypt(tls, false) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear(); /* it is closed anyway */
    }
    return cut(tls, reason);
}

int cam_tls_eof_received(PyObject *self) {
    TlsObject *tls = (TlsObject *)self;
    tls->base_eof = true;
    log_debug(tls, "received EOF", NULL);
    switch (tls->phase) {
    case CAM_TLS_HANDSHAKE: {
        PyObject *exception = PyObject_CallNoArgs(PyExc_ConnectionResetError);
        if (exception == NULL) {
            return -1;
        }
        PyErr_SetObject(PyExc_ConnectionResetError, exception);
        Py_DECREF(exception);
        return handshake_failed(tls) < 0 ? -1 : 0;
    }
    case CAM_TLS_WRAPPED:
        tls->phase = CAM_TLS_FLUSHING;
        if (tls->app_paused) {
            return 1; /* what waits is delivered first */
        }
        return cam_tls_finish(tls);
    case CAM_TLS_FLUSHING:
        if (tls->reading) {
            return 0; /* cam_tls_finish is up the stack */
        }
        return cam_tls_finish(tls);
    case CAM_TLS_SHUTDOWN:
        return cam_tls_shutdown(tls);
    default:
        return 0;
    }
}

/* What connection_lost() tells whoever awaits the handshake of a connection that was closed
 * under it: nobody gets a transport that is dead already. */
static PyObject *reason_for_waiter(TlsObject *tls, PyObject *reason) {
    if (reason != Py_None || tls->handshaken) {
        return reason != Py_None ? Py_NewRef(reason) : NULL;
    }
    PyErr_SetString(PyExc_ConnectionAbortedError, "the connection was closed during SSL handshake");
    return PyErr_GetRaisedException();
}

static int step_tell_lost(LoopObject *loop, PyObject *owner) {
    TlsObject *tls = (TlsObject *)owner;
    PyObject *app = tls->lost_app;
    PyObject *reason = tls->lost_reason;
    tls->lost_app = NULL;
    tls->lost_reason = NULL;
    if (app == NULL) {
        return 0;
    }
    const CamProtocolTable *table = CamProtocol_TableOf(tls->state, app);
    int status;
    if (table != NULL) {
        status = table->connection_lost(app, reason);
    } else {
        CamLoop_NoteCall(loop, app, tls->state->str_connection_lost);
        PyObject *result =
            CamNotify_Call(tls->context, app, tls->state->str_connection_lost, reason, NULL);
        Py_XDECREF(result);
        status = result ? 0 : -1;
    }
    if (status < 0) {
        status =
            CamNotify_Report(loop, owner, app, "Exception in callback protocol.connection_lost()");
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(app);
    Py_XDECREF(reason);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

static void drop_ssl(TlsObject *tls) {
    Py_CLEAR(tls->ssl_socket);
    Py_CLEAR(tls->ssl_object);
    Py_CLEAR(tls->ssl_context);
    Py_CLEAR(tls->incoming);
    Py_CLEAR(tls->outgoing);
    Py_CLEAR(tls->peercert);
    Py_CLEAR(tls->cipher);
    Py_CLEAR(tls->compression);
}

void cam_tls_dismiss(TlsObject *tls) {
    tls->dismissed = true;
    if (tls->told == CAM_TLS_TOLD_LOST && tls->base == NULL) {
        drop_ssl(tls);
    }
}

int cam_tls_connection_lost(PyObject *self, PyObject *reason) {
    TlsObject *tls = (TlsObject *)self;
    bool shaking = tls->phase == CAM_TLS_HANDSHAKE;
    tls->phase = CAM_TLS_UNWRAPPED;
    tls->lost_writes++;
    if (!tls->encrypting) {
        cam_outbox_clear(&tls->outbox);
    }
    if (tls->transport != NULL) {
        tls->transport->closed = true;
    }
    int status = 0;
    if (!shaking && (tls->told == CAM_TLS_TOLD_MADE || tls->told == CAM_TLS_TOLD_EOF)) {
        tls->told = CAM_TLS_TOLD_LOST;
        Py_XSETREF(tls->lost_app, Py_XNewRef(tls->app));
        Py_XSETREF(tls->lost_reason, Py_NewRef(reason));
        status = CamLoop_Enqueue(tls->loop, step_tell_lost, self);
    }
    tls->told = CAM_TLS_TOLD_LOST;
    PyObject *transport = (PyObject *)tls->transport;
    PyObject *base = tls->base;
    PyObject *app = tls->app;
    tls->transport = NULL;
    tls->base = NULL;
    tls->app = NULL;
    tls->app_table = NULL;
    cancel_timer(tls, &tls->handshake_timer);
    cancel_timer(tls, &tls->shutdown_timer);
    tell_watcher(tls);
    PyObject *for_waiter = reason_for_waiter(tls, reason);
    if (wake_waiter(tls, for_waiter) < 0 && status == 0) {
        status = -1;
    }
    PyObject *left = status < 0 ? PyErr_GetRaisedException() : NULL;
    if (tls->dismissed) {
        drop_ssl(tls);
    }
    Py_XDECREF(for_waiter);
    Py_XDECREF(transport);
    Py_XDECREF(base);
    Py_XDECREF(app);
    if (left != NULL) {
        PyErr_SetRaisedException(left);
    }
    return status;
}

void cam_tls_release(TlsObject *tls) {
    PyObject *pending = PyErr_GetRaisedException();
    cam_outbox_clear(&tls->outbox);
    tls->app_table = NULL;
    tls->phase = CAM_TLS_UNWRAPPED;
    Py_CLEAR(tls->transport);
    Py_CLEAR(tls->base);
    Py_CLEAR(tls->app);
    Py_CLEAR(tls->context);
    Py_CLEAR(tls->waiter);
    drop_ssl(tls);
    Py_CLEAR(tls->handshake_timeout);
    Py_CLEAR(tls->shutdown_timeout);
    Py_CLEAR(tls->handshake_timer);
    Py_CLEAR(tls->shutdown_timer);
    Py_CLEAR(tls->watcher);
    Py_CLEAR(tls->lost_app);
    Py_CLEAR(tls->lost_reason);
    Py_CLEAR(tls->loop);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}
