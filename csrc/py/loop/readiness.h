/* SPDX-License-Identifier: MIT */
/*
 * Readiness: what a coroutine in C awaits until a descriptor can be read or written.
 *
 * To a Task it is a future (it has what Tasks ask of one), without a Future's cost: no value, no
 * second turn of the loop between the event and the Task's step. Belongs to the loop's thread.
 * The loop holds a reference while the descriptor is watched; a wait that was displaced by a later
 * watcher of the same descriptor stays pending, as on asyncio.
 */
#ifndef CAM_LOOP_READINESS_H
#define CAM_LOOP_READINESS_H

#include "loop/loop.h"

typedef enum CamReadinessState {
    CAM_READINESS_PENDING,
    CAM_READINESS_READY,
    CAM_READINESS_CANCELLED,
} CamReadinessState;

typedef struct ReadinessObject {
    PyObject_HEAD
    LoopObject *loop;    /* strong */
    HandleObject *first; /* strong or NULL: the callback to run, with this object as argument */
    PyObject *more;      /* strong or NULL: list of further ones */
    PyObject *message;   /* strong or NULL: cancel(msg) */
    int fd;              /* watched when `watched`; the caller's */
    uint32_t side;       /* CAM_POLL_IN or CAM_POLL_OUT */
    uint8_t state;       /* CamReadinessState */
    bool watched;        /* it is the watcher of fd */
    bool blocking;       /* _asyncio_future_blocking: yielded, and not yet taken by a Task */
} ReadinessObject;

int cam_readiness_exec(PyObject *module, cam_state *state);

/* A pending one that watches fd, to be yielded to a Task; arguments as for CamWatch_Wait.
 * NULL with an exception. Runs user code. */
PyObject *CamReadiness_New(LoopObject *loop, int fd, uint32_t side, PyObject *sock, bool drained);

/* Stops watching; it stays pending. No user code. */
void CamReadiness_Abandon(ReadinessObject *readiness);

/* A CamStep: the descriptor is ready. Resumes the Task. */
int CamReadiness_Wake(LoopObject *loop, PyObject *readiness);

#endif
