/* SPDX-License-Identifier: MIT */
/*
 * The stream transport's object and what its files ask of each other: stream.c (type, methods),
 * stream_life.c, stream_read.c, stream_write.c, stream_info.c (socket object, addresses).
 *
 * Life: made (connection_made, reading and the waiter each queued as a step) -> open -> closing
 * (close() with unsent bytes) -> lost (connection_lost queued; `lost` is not 0) -> finished
 * (connection_lost called, descriptor closed, references dropped, `loop` NULL).
 *
 * The descriptor has one owner: `socket` when there is one (given, or made for somebody who asked
 * for it), closed by its close(); else the stream itself. It is taken out of the poller first.
 * The loop holds a reference to the stream while it is watched or has bytes to flush, so that a
 * connection lives without the user holding the transport; a transport that waits for nothing and
 * that nobody holds is closed with a ResourceWarning, as asyncio does.
 *
 * Protocols in Python are called in `context`, entered for each call.
 */
#ifndef CAM_TRANSPORT_STREAM_OBJECT_H
#define CAM_TRANSPORT_STREAM_OBJECT_H

#include "state.h"
#include "protocol.h"
#include "transport/address.h"
#include "transport/inbox.h"
#include "loop/loop.h"
#include "net/unsent.h"
#include "transport/notify.h"
#include "transport/outbox.h"

#include <stdbool.h>

/* The type derives from asyncio.transports._FlowControlMixin, which loop.sendfile asks for and
 * which is an asyncio.Transport. Its instances carry five slots. */
enum { CAM_STREAM_BASE_SLOTS = 5 };

/* What every message touches comes first and close together: with a thousand connections it is in
 * no cache, and each line of it has to be fetched. */
typedef struct StreamObject {
    PyObject_HEAD
    PyObject *base_slots[CAM_STREAM_BASE_SLOTS]; /* asyncio's, unused: our attributes hide them */
    cam_state *state;
    LoopObject *loop;               /* strong; NULL before it is made and once finished */
    PyObject *protocol;             /* strong; NULL with loop */
    const CamProtocolTable *native; /* the protocol's, when it is written in C */
    PyObject *context;              /* strong */
    CamIo io;
    unsigned lost; /* not 0 once connection_lost is queued; counts writes after that */
    bool buffered; /* the protocol gives the buffer that is read into */
    bool fed;      /* the protocol is asyncio's for a StreamReader: see reader.h */
    bool closing;
    bool paused;
    bool at_eof;          /* the peer has ended its half */
    bool eof_written;     /* write_eof() was called */
    bool eof_sent;        /* and our half was shut down, all before it being sent */
    bool protocol_paused; /* pause_writing() was called last */
    bool finished;        /* connection_lost was called */
    bool held;            /* more will be written soon: see CamStream_Hold */
    bool told_ends;       /* near_end and far_end are what a proxy told, not the socket's */
    cam_unsent unsent;    /* what the kernel was told to take, from the first large output on */
    CamOutbox outbox;
    size_t high_water;
    CamInbox inbox;
    CamFlush flush;
    size_t low_water;
    PyObject *server;              /* strong or NULL */
    PyObject *socket;              /* strong or NULL: socket.socket that owns the descriptor */
    PyObject *reason;              /* strong or NULL: what connection_lost will be given */
    PyObject *empty_waiter;        /* strong or NULL: future of loop.sendfile */
    PyObject *sendfile_compatible; /* strong or NULL: set on this instance */
    PyObject *extra; /* strong or NULL: dict behind get_extra_info, filled when asked */
    PyObject *dict;  /* what users set on the instance: mocks of its methods, say */
    PyObject *weakrefs;
    int shown_fd;     /* the descriptor's number, also after it was closed */
    int reason_errno; /* connection_lost's OSError, when reason is NULL and this is not 0 */
    CamAddress near_end;
    CamAddress far_end;
} StreamObject;

/* A new transport for a connected, non-blocking descriptor that nobody else knows. Takes it over
 * when it succeeds, and only then. `waiter`, `server` and `context` may be NULL. Runs user code
 * (server._attach). */
PyObject *CamStream_OfDescriptor(LoopObject *loop, int fd, const CamAddress *far_end,
                                 PyObject *protocol, PyObject *waiter, PyObject *server,
                                 PyObject *context);

/* ---- stream_life.c ---- */

/* An empty stream, not begun. */
StreamObject *cam_stream_allocate(PyTypeObject *type, cam_state *state);

/* Starts the life of a stream whose descriptor, socket, extra and addresses are set: queues
 * connection_made, reading and the waiter's result (waiter, server, context may be NULL). When it
 * fails the descriptor is still the caller's. Runs user code (server._attach). */
int cam_stream_begin(StreamObject *stream, LoopObject *loop, PyObject *protocol, PyObject *waiter,
                     PyObject *server, PyObject *context);

int cam_stream_set_protocol(StreamObject *stream, PyObject *protocol);
void cam_stream_set_nodelay(int fd, int family, int type, int proto);

/* Sends what it can and closes. 0, or -1 with an exception. */
int cam_stream_abort(StreamObject *stream);

/* Closes the descriptor and drops all references. Runs user code; keeps the exception set. */
void cam_stream_release(StreamObject *stream);

/* Calls protocol.name(argument) (argument may be NULL) in the stream's context. */
PyObject *cam_stream_call(StreamObject *stream, PyObject *name, PyObject *argument);

/* An exception came out of the protocol or the kernel: reports it (OSError only in debug mode)
 * and closes the connection with it. 0, or -1 with KeyboardInterrupt or SystemExit. */
int cam_stream_fatal(StreamObject *stream, const char *message);

/* Reports the exception that is set with this transport and protocol. As cam_stream_fatal. */
int cam_stream_report(StreamObject *stream, const char *message);

/* Drops what is unsent and queues connection_lost. Takes no reference to reason (NULL: None).
 * Nothing when it is queued already. 0, or -1 with an exception. */
int cam_stream_force_close(StreamObject *stream, PyObject *reason);

/* Sends what it can, then closes once all is sent. 0, or -1 with an exception. */
int cam_stream_close(StreamObject *stream);

/* Queues connection_lost; no more happens to this connection until then. */
int cam_stream_lose(StreamObject *stream);

/* Calls connection_lost and lets everything go; a CamStep. */
int cam_stream_finish(LoopObject *loop, PyObject *owner);

/* Changes what is watched. 0, or -1 with an exception. */
int cam_stream_watch(StreamObject *stream, uint32_t interest);

/* Gives the descriptor's number up when nothing is watched of it, for loop.sendfile, which waits
 * on it by add_writer. */
void cam_stream_lend(StreamObject *stream);

/* Debug mode: logs "<transport> text". Never fails. */
void cam_stream_debug(StreamObject *stream, const char *text, PyObject *exception);

/* ---- stream_read.c ---- */

int cam_stream_readable(LoopObject *loop, PyObject *owner);

/* Hands the protocol, of whatever kind it is, bytes that were read for it by another; all of them,
 * unless the connection is lost meanwhile. 0, or -1 with the protocol's exception. */
int cam_stream_feed(StreamObject *stream, char *data, size_t size);

int cam_stream_pause_reading(StreamObject *stream);
int cam_stream_resume_reading(StreamObject *stream);

/* Watches for data, unless something keeps the transport from reading now. 0, or -1 with an
 * exception. */
int cam_stream_read_on(StreamObject *stream);

/* ---- stream_info.c ---- */

/* A socket object that was given: its close() closes the descriptor no more, until it is let go. */
int cam_stream_hold_socket(cam_state *state, PyObject *socket);
void cam_stream_let_go_socket(cam_state *state, PyObject *socket);

/* Notes the addresses of a socket whose family only the socket module can show. */
int cam_stream_ask_socket(StreamObject *stream, PyObject *socket);

/* The socket.socket that owns the descriptor, made for the first who asks. Borrowed; NULL with an
 * exception, or without when the transport is finished. */
PyObject *cam_stream_socket(StreamObject *stream);

/* What get_extra_info(name) answers. New reference; NULL with an exception, or without when there
 * is no such name. */
PyObject *cam_stream_info(StreamObject *stream, PyObject *name);

/* The same without keeping it, for those of whom there are ten thousand. */
PyObject *cam_stream_peek(StreamObject *stream, PyObject *name);

/* What was noted of the addresses is no longer true: near_end and far_end have changed. 0, or -1
 * with an exception. */
int cam_stream_forget_addresses(StreamObject *stream);

/* ---- stream_write.c ---- */

int cam_stream_writable(LoopObject *loop, PyObject *owner);

/* CamFlush.flush: sends what waits, unless the socket is known to be full. */
void cam_stream_flush(PyObject *owner);

/* Counts a write to a lost connection and warns from the fifth on. True when it is lost. */
bool cam_stream_is_write_lost(StreamObject *stream);

/* Queue bytes and send them now or at the end of the turn; may call pause_writing. 0 or -1. */
int cam_stream_send_copy(StreamObject *stream, const char *data, size_t size);
/* Of an object of exactly the type bytes, or str and ASCII. */
int cam_stream_send_kept(StreamObject *stream, PyObject *object, const char *data, size_t size);

/* The same for part of a file, whose descriptor it takes over, whatever comes of it. */
int cam_stream_write_file(StreamObject *stream, int fd, off_t offset, size_t size);

/* Queues one buffer (`bytes`, exactly that type, or when it is NULL a copy of data) without
 * sending yet; cam_stream_queued follows after the last, with the sum of sizes. */
int cam_stream_queue(StreamObject *stream, PyObject *bytes, const char *data, size_t size);
int cam_stream_queued(StreamObject *stream, size_t size);

/* Shuts our half down after write_eof() once nothing is unsent. 0, or -1 with OSError. */
int cam_stream_send_eof(StreamObject *stream);

/* pause_writing when more is unsent than the high-water mark, after an attempt to send it. */
int cam_stream_maybe_pause(StreamObject *stream);

#endif
