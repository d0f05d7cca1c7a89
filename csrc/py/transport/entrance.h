/* SPDX-License-Identifier: MIT */
/*
 * `_core.Entrance`: what a connection has to go through before its protocol is made: the header of
 * the PROXY protocol, if its peer is a proxy that sends one, and TLS.
 *
 * A listener calls the entrance for a protocol and gets an `_core.Arrival`, the stream's protocol
 * until the connection has arrived. The arrival reads the header and changes the stream's
 * addresses; it looks at the first byte of TLS, so that a request in plain text is answered in
 * plain text; and it hands the stream over to the protocol that `factory` makes, or to TLS on top
 * of which that protocol is. Over TLS the connection has arrived when the handshake is done.
 *
 * The entrance holds those that are on their way in a list, the oldest first. There are at most
 * `limit` of them: one more, and the oldest is dropped, for a peer that is slow to begin holds less
 * of a claim than one that has only come. One timer serves all, as all have the same time.
 *
 * All on the loop's thread. An arrival is owned by its stream, or by the TLS protocol whose
 * handshake it waits for; the list borrows. `factory` is user code, and may be anything.
 */
#ifndef CAM_TRANSPORT_ENTRANCE_H
#define CAM_TRANSPORT_ENTRANCE_H

#include "net/peers.h"
#include "net/proxy_protocol.h"
#include "protocol.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct ArrivalObject;

typedef struct EntranceObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    cam_state *state;
    LoopObject *loop;             /* strong */
    PyObject *factory;            /* strong: makes the protocols */
    PyObject *ssl_context;        /* strong or NULL: of the connections to come */
    PyObject *logger;             /* strong */
    PyObject *timer;              /* strong or NULL: TimerHandle for the time of the oldest */
    cam_peers proxies;            /* peers that begin with a PROXY header */
    int64_t time_limit;           /* nanoseconds from the first to the last step */
    int64_t reported;             /* when it last told of too many arrivals; 0: never */
    size_t limit;                 /* arrivals at a time */
    struct ArrivalObject *oldest; /* borrowed; doubly linked */
    struct ArrivalObject *newest;
    size_t count;
    bool proxies_all;   /* every peer begins with a header */
    bool proxies_local; /* the peers of UNIX sockets do */
    bool closed;
} EntranceObject;

/* What the next byte of an arrival belongs to. */
typedef enum cam_arrival_phase {
    CAM_ARRIVAL_NEW,
    CAM_ARRIVAL_PROXY,     /* the PROXY header */
    CAM_ARRIVAL_HELLO,     /* TLS, none of which has come */
    CAM_ARRIVAL_HANDSHAKE, /* TLS has the stream */
    CAM_ARRIVAL_REFUSED,   /* nothing: the answer is written */
    CAM_ARRIVAL_DONE,      /* it is no longer the stream's protocol, or the stream is lost */
} cam_arrival_phase;

typedef struct ArrivalObject {
    CamProtocolObject native;
    cam_state *state;
    EntranceObject *entrance; /* strong */
    PyObject *stream;         /* strong; NULL before it is made and after it is done */
    struct ArrivalObject *newer;
    struct ArrivalObject *older;
    int64_t deadline; /* CamLoop_Now() */
    size_t ignored;   /* bytes received after the refusal */
    cam_proxy proxy;
    uint8_t phase; /* cam_arrival_phase */
    bool listed;
} ArrivalObject;

/* A new arrival, not yet connected. NULL with MemoryError. */
PyObject *cam_arrival_new(EntranceObject *entrance);

/* Lists an arrival and drops the oldest if there are too many. 0, or -1 with an exception. */
int cam_entrance_add(EntranceObject *entrance, ArrivalObject *arrival);
void cam_entrance_remove(EntranceObject *entrance, ArrivalObject *arrival);

/* logger.LEVEL("message from PEER: detail"). Runs user code; what that raises is unraisable. */
void cam_entrance_log(EntranceObject *entrance, const char *level, PyObject *stream,
                      const char *message);

/* Ends an arrival whose time is over, or for which there is no room, and its connection with it;
 * `reason` is logged at `level`, unless it is NULL. Runs user code. */
void cam_arrival_drop(ArrivalObject *arrival, const char *level, const char *reason);

#endif
