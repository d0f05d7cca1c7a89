/* SPDX-License-Identifier: MIT */
/*
 * What receive() and send() return: awaitables that end at once if nothing has to be waited for.
 *
 * They look like coroutines (send, throw, close), so that asyncio.create_task(receive()) works. A
 * wait that must suspend does so on an asyncio Future of its own: one shared by several tasks
 * would be cancelled for all of them with the first.
 */
#ifndef CAM_ASGI_WAIT_H
#define CAM_ASGI_WAIT_H

#include "asgi/run.h"

typedef enum cam_wait_kind {
    CAM_WAIT_RECEIVE, /* ends with the next event */
    CAM_WAIT_SEND,    /* ends with None when the peer has caught up */
} cam_wait_kind;

typedef struct WaitObject {
    PyObject_HEAD
    RunObject *run;          /* strong; NULL once ended */
    PyObject *future;        /* strong or NULL: suspended on it */
    struct WaitObject *next; /* in run->waits, which owns it, while suspended */
    struct WaitObject *previous;
    bool linked;
    uint8_t kind; /* cam_wait_kind */
} WaitObject;

int cam_wait_exec(PyObject *module, cam_state *state);

PyObject *CamWait_New(RunObject *run, cam_wait_kind kind);

/* Wakes one wait; it must be linked, and is no longer afterwards. Runs user code. */
void CamWait_Wake(WaitObject *self);

/* Ends a wait that nothing is told any more. */
void CamWait_Forget(WaitObject *self);

#endif
