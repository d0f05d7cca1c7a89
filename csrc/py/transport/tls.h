/* SPDX-License-Identifier: MIT */
/*
 * TLS on top of a stream: `_core.SSLProtocol` and `_core.SSLTransport`, which the
 * application holds; named as in asyncio, for some programs look at the names.
 *
 * The TLS protocol is the protocol of the transport below (`base`: our Stream, another TLS
 * transport, or any that Python offers) and drives the application's protocol (`app`). Files:
 * tls.c (type, methods), tls_life.c (handshake, shutdown, errors), tls_read.c, tls_write.c,
 * tls_transport.c, tls_library.c (the ssl module).
 *
 * Life, with asyncio's names: UNWRAPPED -> HANDSHAKE -> WRAPPED -> FLUSHING (the peer has ended
 * its direction, or close() was called; what was received is still delivered) -> SHUTDOWN
 * (close_notify is sent, the peer's awaited) -> UNWRAPPED. The application sees connection_made,
 * data_received, eof_received and connection_lost in this order, each but data_received at most
 * once.
 *
 * What a peer can make a connection hold: received and undelivered, the read high-water mark and
 * one read of the base; to be sent, what the application wrote and one slice of it encrypted;
 * answers that TLS itself makes, CAM_TLS_ANSWERS bytes, above which the peer is not read.
 *
 * All on the loop's thread. Every call into ssl may run user code (its callbacks, signal
 * handlers), as may every call of a protocol: callers hold a reference to the TlsObject and look
 * at `phase` again afterwards.
 */
#ifndef CAM_TRANSPORT_TLS_H
#define CAM_TRANSPORT_TLS_H

#include "protocol.h"
#include "state.h"
#include "loop/loop.h"
#include "transport/outbox.h"
#include "transport/tls_library.h"
#include "net/tls_record.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CAM_TLS_SLICE = 64 * 1024,       /* ciphertext given to ssl, and taken from it, at a time */
    CAM_TLS_WRITE_HIGH = 512 * 1024, /* asyncio.constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE */
    CAM_TLS_READ_HIGH = 256 * 1024,  /* asyncio.constants.FLOW_CONTROL_HIGH_WATER_SSL_READ */
    CAM_TLS_ANSWERS = 64 * 1024,
};

/* What the ssl functions below return when they need more of the peer's bytes first. */
enum { CAM_TLS_AGAIN = -2 };

typedef enum CamTlsPhase {
    CAM_TLS_UNWRAPPED,
    CAM_TLS_HANDSHAKE,
    CAM_TLS_WRAPPED,
    CAM_TLS_FLUSHING,
    CAM_TLS_SHUTDOWN,
} CamTlsPhase;

/* What the application's protocol was told last. */
typedef enum CamTlsTold {
    CAM_TLS_TOLD_NOTHING,
    CAM_TLS_TOLD_MADE,
    CAM_TLS_TOLD_EOF,
    CAM_TLS_TOLD_LOST,
} CamTlsTold;

struct TlsTransportObject;

typedef struct TlsObject {
    CamProtocolObject native; /* with the table by which a Stream calls this protocol */
    cam_state *state;
    LoopObject *loop;                     /* strong */
    PyObject *base;                       /* strong; NULL before it is made and once it is lost */
    struct TlsTransportObject *transport; /* strong; NULL once the connection is lost */
    PyObject *app;                        /* strong; NULL once the connection is lost */
    const CamProtocolTable *app_table;    /* the app's, when it is written in C */
    PyObject *context;     /* strong: contextvars.Context that the app is called in */
    PyObject *waiter;      /* strong or NULL: future that awaits the handshake */
    PyObject *ssl_context; /* strong */
    PyObject *ssl_object;  /* strong: what the context's wrap_bio() gave */
    PyObject *ssl_socket;  /* strong or NULL: the _ssl._SSLSocket inside of it */
    PyObject *incoming;    /* strong: MemoryBIO of what the peer sent */
    PyObject *outgoing;    /* strong: MemoryBIO of what it is to be sent */
    PyObject *peercert;    /* strong or NULL, as the two below: see get_extra_info */
    PyObject *cipher;
    PyObject *compression;
    PyObject *handshake_timeout; /* strong: seconds, as they were given; NULL: watched by others */
    PyObject *shutdown_timeout;
    PyObject *handshake_timer; /* strong or NULL */
    PyObject *shutdown_timer;
    PyObject *watcher; /* strong or NULL: told once, by settled, that the handshake is over */
    void (*settled)(PyObject *watcher);
    PyObject *lost_app;    /* strong or NULL: the protocol that connection_lost is queued for */
    PyObject *lost_reason; /* strong with it: an exception or None */
    PyObject *weakrefs;
    CamFlush flush;
    CamOutbox outbox; /* written by the application, not encrypted yet */
    cam_tls_records records;
    const char *fresh; /* borrowed for one call: received, not yet given to ssl */
    size_t fresh_size;
    size_t
        held; /* bytes in the incoming BIO, at most; exact where `counted` and no record is whole */
    size_t write_high;
    size_t write_low;
    size_t read_high;
    size_t read_low;
    int64_t handshake_begin; /* debug mode; nanoseconds on the loop's clock */
    size_t discarded;        /* bytes received and dropped while closing */
    unsigned lost_writes;    /* counts writes to a closed connection */
    CamTlsPhase phase;
    CamTlsTold told;
    bool app_buffered; /* the app is an asyncio.BufferedProtocol */
    bool app_fed;      /* it is a StreamReaderProtocol, whose reader C may feed */
    bool base_is_stream;
    bool own_read; /* a subclass of SSLObject has its own read(), write() ... */
    bool own_write;
    bool own_handshake;
    bool own_unwrap;
    bool handshaken;   /* the handshake has succeeded */
    bool counted;      /* records.whole is what the incoming BIO holds: no need to ask it */
    bool leftover;     /* ssl may hold decrypted bytes of a record that was read in part */
    bool reading;      /* tls_read.c is at work: do not enter it again */
    bool encrypting;   /* tls_write.c is at work: the outbox must keep its chunks */
    bool base_full;    /* the base has called pause_writing() */
    bool base_paused;  /* we have paused the base's reading */
    bool app_paused;   /* the application's reading is paused */
    bool write_paused; /* the application's writing is paused */
    bool write_waits;  /* ssl wants the peer's bytes before it goes on writing */
    bool dismissed;    /* close() was called on what was closed: nobody asks it anything more */
    bool base_eof;     /* the base's peer has ended its direction */
} TlsObject;

/* The application's transport. Derives from asyncio.transports._FlowControlMixin, as Stream does;
 * its instances carry five slots. */
typedef struct TlsTransportObject {
    PyObject_HEAD
    PyObject *base_slots[5]; /* asyncio's, unused: our attributes hide them */
    TlsObject *tls;          /* strong */
    PyObject *dict;          /* strong or NULL: attributes that applications set */
    PyObject *weakrefs;
    bool closed; /* close() or abort() was called, or the connection is lost */
} TlsTransportObject;

/* ---- tls.c ---- */

/* A server's TLS protocol for an application's, not yet connected, without a time limit of its own
 * for the handshake. `settled` is called once, without an exception set, when the handshake has
 * succeeded, or else when the connection is lost; it is given `watcher`, to which a reference is
 * kept until then. NULL with an exception. Runs user code (the context may be of any class). */
PyObject *cam_tls_accept(LoopObject *loop, PyObject *app, PyObject *ssl_context, PyObject *watcher,
                         void (*settled)(PyObject *watcher));

/* ---- tls_library.c ---- */

/* Imports ssl, once. 0, or -1 with an exception. */
int cam_tls_load(cam_state *state);

/* What this loop's connections share; NULL with MemoryError. */
CamTlsPool *cam_tls_pool(LoopObject *loop);

/* A buffer of `size` bytes: the pool's, if it is free and large enough, or one of its own. NULL
 * with MemoryError. Given back by the second. */
char *cam_tls_borrow(CamTlsPool *pool, size_t size);
void cam_tls_give_back(CamTlsPool *pool, char *buffer);

/* Makes the BIOs and the SSLObject. 0, or -1 with an exception. */
int cam_tls_wrap(TlsObject *tls, int server_side, PyObject *server_hostname);

/* All four: CAM_TLS_AGAIN without an exception, or -1 with one. */

/* Decrypts into the buffer; the size, 0 when the peer has sent its close_notify. */
Py_ssize_t cam_tls_ssl_read(TlsObject *tls, char *buffer, size_t size);
/* Encrypts bytes, or when they are NULL the data; returns how many. */
Py_ssize_t cam_tls_ssl_write(TlsObject *tls, PyObject *bytes, const char *data, size_t size);
int cam_tls_ssl_handshake(TlsObject *tls); /* 0 when complete */
int cam_tls_ssl_shutdown(TlsObject *tls);  /* 0 when both close_notify are through */

/* Gives ssl what the peer sent, the whole of it. 0, or -1 with an exception. */
int cam_tls_feed(TlsObject *tls, const char *data, size_t size);

/* Bytes that wait in a BIO, none in one that is gone (NULL); -1 with an exception. Runs no user
 * code. */
Py_ssize_t cam_tls_pending(TlsObject *tls, PyObject *bio);

/* What waits in the outgoing BIO, taken out of it: bytes, NULL with an exception. */
PyObject *cam_tls_take_outgoing(TlsObject *tls);

/* ---- tls_life.c ---- */

/* The functions of the protocol's table. */
int cam_tls_connection_made(PyObject *self, PyObject *base);
int cam_tls_eof_received(PyObject *self);
int cam_tls_connection_lost(PyObject *self, PyObject *reason);

/* Goes on with the handshake, or the shutdown, after bytes have come. 0, or -1. */
int cam_tls_handshake(TlsObject *tls);
int cam_tls_shutdown(TlsObject *tls);

/* FLUSHING: delivers what is there, encrypts what was written, sends close_notify. 0, or -1. */
int cam_tls_finish(TlsObject *tls);

/* Begins to close, as close() does. 0, or -1 with an exception. */
int cam_tls_close(TlsObject *tls);

/* Sends what was written, as far as the kernel takes it, and closes at once; `reason` (NULL for
 * none) is what connection_lost gets. 0, or -1 with an exception. */
int cam_tls_abort(TlsObject *tls, PyObject *reason);

/* The application has closed what was closed already. Once the connection is lost the objects of
 * the ssl module are let go: they must not wait for the garbage collector in a circle through the
 * application. Runs user code (deallocations). */
void cam_tls_dismiss(TlsObject *tls);

void cam_tls_handshake_expired(TlsObject *tls);
void cam_tls_shutdown_expired(TlsObject *tls);

/* The exception that is set ends the connection: it is aborted, and reported unless it is an
 * OSError (debug mode logs that). 0, or -1 with KeyboardInterrupt, SystemExit or what the
 * exception handler raised. */
int cam_tls_fatal(TlsObject *tls, const char *message);

/* What a call into ssl or the application left: an Exception is fatal, others are left set and
 * give -1. */
int cam_tls_failed(TlsObject *tls, const char *message);

/* After a call of ssl has failed: when its exception came from a signal's handler (ssl looks for
 * signals), the bytes that the call was about are lost, and what would follow them must not pass
 * for the whole, so the connection is aborted. Keeps the exception. */
void cam_tls_cut_if_torn(TlsObject *tls);

/* Tells the application of the peer's end, once. 0, or -1. */
int cam_tls_tell_eof(TlsObject *tls);

int cam_tls_set_app(TlsObject *tls, PyObject *protocol);

/* Calls app.name(argument), argument may be NULL, in the connection's context. */
PyObject *cam_tls_call_app(TlsObject *tls, PyObject *name, PyObject *argument);

/* Drops all that connects this with others. Runs user code; keeps an exception that is set. */
void cam_tls_release(TlsObject *tls);

/* ---- the transport below: tls_life.c ---- */

int cam_tls_base_write(TlsObject *tls, PyObject *bytes);
int cam_tls_base_pause(TlsObject *tls);
int cam_tls_base_resume(TlsObject *tls);
int cam_tls_base_is_closing(TlsObject *tls); /* 1, 0 or -1; 0 without one */

/* ---- tls_read.c ---- */

int cam_tls_data_received(PyObject *self, char *data, Py_ssize_t size);

/* Decrypts and delivers what is there, then sends what there is to send. 0, or -1. */
int cam_tls_read(TlsObject *tls);

/* Drops what can no longer be delivered, which a shutdown would stumble over: within a bound, as
 * a peer may have sent it before it heard of our close_notify. 0, or -1. */
int cam_tls_discard(TlsObject *tls);

/* Reads in a callback of its own. 0, or -1 with MemoryError. */
int cam_tls_read_soon(TlsObject *tls);

/* Pauses and resumes the base by how much waits to be delivered. 0, or -1. */
int cam_tls_control_reading(TlsObject *tls);

void cam_tls_pause_reading(TlsObject *tls);
int cam_tls_resume_reading(TlsObject *tls);

/* ---- tls_write.c ---- */

int cam_tls_pause_writing(PyObject *self);
int cam_tls_resume_writing(PyObject *self);

/* CamFlush.flush */
void cam_tls_flush(PyObject *owner);

/* True when nothing may be written any more: counts it, and warns from the fifth on. */
bool cam_tls_is_write_lost(TlsObject *tls);

/* Queue bytes (`bytes`, exactly that type, or when it is NULL a copy of data); cam_tls_written
 * follows after the last, with the sum of the sizes. 0, or -1 with an exception. */
int cam_tls_queue(TlsObject *tls, PyObject *bytes, const char *data, size_t size);
int cam_tls_written(TlsObject *tls, size_t size);

/* Encrypts what is queued and gives it to the base, until that is full, or, `all`, whether it is
 * or not. 0, or -1 with an exception, which is the caller's to make fatal. */
int cam_tls_encrypt(TlsObject *tls, bool all);

/* Gives the base what ssl has to say. 0, or -1. */
int cam_tls_send_outgoing(TlsObject *tls);

/* Pauses and resumes the application's writing by how much is queued. 0, or -1. */
int cam_tls_control_writing(TlsObject *tls);

Py_ssize_t cam_tls_write_size(TlsObject *tls); /* -1 with an exception */

/* ---- tls_transport.c ---- */

/* The transport of a connection that is about to be made; NULL with an exception. */
TlsTransportObject *cam_tls_transport_new(TlsObject *tls);

#endif
