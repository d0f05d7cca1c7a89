/* SPDX-License-Identifier: MIT */
/*
 * The connections of a server, each filed by when it is to be looked at next: a timing wheel.
 *
 * One timer of the loop serves them all. It is set for the first slot that is not empty, so a
 * server whose connections only wait wakes up when one of their limits is over and at no other
 * time, and a server without connections never. A sweep costs what it finds in the slots that are
 * over, whatever the number of the others. What is farther away than the wheel is round is looked
 * at early and filed again.
 *
 * Connections are filed once and for all: whoever sets a later deadline leaves the connection
 * where it is, where it is found too early and filed anew. So a busy connection, whose deadline
 * moves with every request, costs a comparison. And each is looked at now and then whatever it is
 * doing, which is how a peer is found that has stopped to read.
 *
 * The wheel owns a reference to each connection, from connection_made to connection_lost: a
 * connection whose reading is paused and whose application waits is in no poller's table and
 * would be garbage. It belongs to the loop's thread.
 */
#ifndef CAM_ASGI_SWEEP_H
#define CAM_ASGI_SWEEP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

struct HttpProtocolObject;
struct HttpServerObject;

enum { CAM_SWEEP_SLOTS = 64 };

typedef struct cam_sweep {
    struct HttpProtocolObject *slots[CAM_SWEEP_SLOTS]; /* strong; doubly linked */
    Py_ssize_t count;
    int64_t tick;     /* number of the last slot that was swept; the next has the number tick + 1 */
    int64_t planned;  /* the slot that `handle` is set for */
    int64_t due;      /* when it is to come, on CamServer_Now()'s clock */
    PyObject *handle; /* TimerHandle or NULL */
    int shift;        /* a slot is 1 << shift nanoseconds wide */
} cam_sweep;

/* Makes the slots narrow enough for a time limit of `shortest` nanoseconds. */
void CamSweep_Init(cam_sweep *sweep, int64_t shortest);

/* The same later, for limits that have become shorter: files all connections anew. 0, or -1 with an
 * exception. Runs user code (the timer's cancel() and the loop's call_later). */
int CamSweep_Narrow(struct HttpServerObject *server, int64_t shortest);

/* Begins and ends to hold a connection; the second of either does nothing. The end may free the
 * connection, unless the caller has a reference of its own. */
void CamSweep_Add(struct HttpServerObject *server, struct HttpProtocolObject *connection);
void CamSweep_Remove(struct HttpServerObject *server, struct HttpProtocolObject *connection);

/* Sees to it that the connection, if it is held, is looked at soon after `when` (CamServer_Now)
 * or before. 0, or -1 with an exception. Runs user code (the loop's call_later). */
int CamSweep_File(struct HttpServerObject *server, struct HttpProtocolObject *connection,
                  int64_t when);

/* The slots that are over: looks at their connections. What one of them raises goes to
 * sys.unraisablehook. 0, or -1 with an exception. Runs user code. */
int CamSweep_Run(struct HttpServerObject *server);

/* A new list of all connections, so that they can be closed while they leave the server. */
PyObject *CamSweep_List(const cam_sweep *sweep);

int CamSweep_Traverse(const cam_sweep *sweep, visitproc visit, void *arg);
void CamSweep_Clear(struct HttpServerObject *server);

#endif
