/* SPDX-License-Identifier: MIT */
/*
 * The datagram transport's object and what its files ask of each other: datagram.c (type,
 * methods), datagram_life.c, datagram_read.c, datagram_write.c.
 *
 * Life: made (connection_made, reading and the waiter each queued as a step) -> open -> closing
 * (close() with unsent datagrams) -> lost (connection_lost queued; `lost` is not 0) -> finished
 * (connection_lost called, descriptor closed, references dropped, `loop` NULL).
 *
 * `socket` owns the descriptor; the loop holds a reference to the transport while it is watched.
 * What the kernel and socket.socket would do the same way is done here; a socket of a class of
 * its own, a family whose addresses only the socket module can show, and a destination that has
 * to be resolved go through the socket object's methods (`plain` is false, or for the last, one
 * datagram at a time), so that all of what Python can send and receive works, with its errors.
 */
#ifndef CAM_TRANSPORT_DATAGRAM_OBJECT_H
#define CAM_TRANSPORT_DATAGRAM_OBJECT_H

#include "state.h"
#include "transport/address.h"
#include "loop/loop.h"

#include <stdbool.h>

/* A datagram that waits to be sent. */
typedef struct CamUnsent {
    struct CamUnsent *next;
    PyObject *data;        /* strong: exactly bytes */
    PyObject *destination; /* strong: what sendto() was given; NULL: the peer */
    socklen_t length;      /* of name; 0 with a destination: only the socket module can read it */
    char name[];           /* the destination as the kernel takes it */
} CamUnsent;

/* A datagram that was received and could not be given to the protocol yet. */
typedef struct CamReceived {
    PyObject *data;   /* strong */
    PyObject *source; /* strong */
} CamReceived;

enum {
    /* The type's base, asyncio.transports._FlowControlMixin, has five slots. */
    CAM_DATAGRAM_BASE_SLOTS = 5,
    /* Datagrams taken from a socket at most before the poller is asked again. */
    CAM_DATAGRAM_BATCH = 16,
};

typedef struct DatagramObject {
    PyObject_HEAD
    PyObject *base_slots[CAM_DATAGRAM_BASE_SLOTS]; /* asyncio's, hidden by our attributes */
    cam_state *state;
    LoopObject *loop;   /* strong; NULL before it is made and once finished */
    PyObject *protocol; /* strong; NULL with loop */
    PyObject *context;  /* strong */
    PyObject *socket;   /* strong; NULL with loop: owns the descriptor */
    PyObject *address;  /* strong or NULL: the only one that sendto() may be given */
    PyObject *reason;   /* strong or NULL: what connection_lost will be given */
    PyObject *extra;    /* strong or NULL: dict behind get_extra_info */
    PyObject *dict;     /* what users set on the instance */
    PyObject *weakrefs;
    CamIo io;
    CamUnsent *first; /* oldest first */
    CamUnsent *last;
    size_t unsent; /* bytes of those, and from Python 3.13 on 8 for each header */
    size_t high_water;
    size_t low_water;
    CamReceived *waiting; /* room for CAM_DATAGRAM_BATCH, or NULL; in order */
    unsigned waiting_first;
    unsigned waiting_count;
    CamAddress recent;       /* the source of the last datagram ... */
    PyObject *recent_object; /* ... and what was shown for it: strong or NULL */
    Py_ssize_t max_size;     /* longer datagrams are cut */
    int family;
    int shown_fd;   /* the descriptor's number, also after it was closed */
    unsigned lost;  /* not 0 once connection_lost is queued; counts sends after that */
    bool plain;     /* the kernel may be asked past the socket object */
    bool connected; /* to a peer with an address: sendto() goes there, whatever it is given */
    bool paired;    /* to a peer, which may have none: one end of socket.socketpair() */
    bool closing;
    bool paused;          /* pause_reading() */
    bool protocol_paused; /* pause_writing() was called last */
    bool finished;        /* connection_lost was called */
} DatagramObject;

/* ---- datagram_life.c ---- */

/* Starts the life of a transport whose socket and descriptor are set. When it fails the socket is
 * still the caller's. */
int cam_datagram_begin(DatagramObject *datagram, LoopObject *loop, PyObject *waiter);

/* Closes the descriptor and drops all references. Runs user code; keeps the exception set. */
void cam_datagram_release(DatagramObject *datagram);

/* An exception came out of a call that must not fail: reports it (OSError only in debug mode)
 * and closes the transport with it. 0, or -1 with KeyboardInterrupt or SystemExit. */
int cam_datagram_fatal(DatagramObject *datagram, const char *message);

/* Drops what is unsent and queues connection_lost. Takes no reference to reason (NULL: None).
 * Nothing when it is queued already. 0, or -1 with an exception. */
int cam_datagram_force_close(DatagramObject *datagram, PyObject *reason);

/* Sends what waits, then closes. 0, or -1 with an exception. */
int cam_datagram_close(DatagramObject *datagram);

/* Calls connection_lost and lets everything go; a CamStep. */
int cam_datagram_finish(LoopObject *loop, PyObject *owner);

/* Changes what is watched. 0, or -1 with an exception. */
int cam_datagram_watch(DatagramObject *datagram, uint32_t interest);

/* protocol.error_received(the exception that is set), in the context that is current. 0, or -1
 * with what it raised. */
int cam_datagram_error(DatagramObject *datagram);

/* Debug mode: logs "<transport> text" as asyncio does. Never fails; may run user code. */
void cam_datagram_debug(DatagramObject *datagram, const char *text, PyObject *exception);

/* ---- datagram_read.c ---- */

int cam_datagram_readable(LoopObject *loop, PyObject *owner);
int cam_datagram_pause_reading(DatagramObject *datagram);
int cam_datagram_resume_reading(DatagramObject *datagram);

/* Watches for datagrams, unless the transport is paused or closing. 0, or -1. */
int cam_datagram_read_on(DatagramObject *datagram);

/* Forgets what was received and not delivered. Runs user code. */
void cam_datagram_drop_waiting(DatagramObject *datagram);

/* ---- datagram_write.c ---- */

/* sendto(): `destination` is never NULL. 0, or -1 with an exception. */
int cam_datagram_send(DatagramObject *datagram, PyObject *data, PyObject *destination);

int cam_datagram_writable(LoopObject *loop, PyObject *owner);

/* Forgets what is unsent. Runs user code. */
void cam_datagram_drop_unsent(DatagramObject *datagram);

/* pause_writing when more is unsent than the high-water mark. 0, or -1 with an exception. */
int cam_datagram_maybe_pause(DatagramObject *datagram);

#endif
