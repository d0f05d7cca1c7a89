/* SPDX-License-Identifier: MIT */
/*
 * `camshaft.ClientDisconnected`: what send() raises once the peer is gone (ASGI HTTP & WebSocket
 * specification, "Disconnected Client", from version 2.4 on), and how it is told from a fault when
 * it comes back out of the application.
 */
#ifndef CAM_ASGI_DISCONNECT_H
#define CAM_ASGI_DISCONNECT_H

#include "asgi/cycle.h"

int cam_disconnect_exec(PyObject *module, cam_state *state);

/* Nothing that is sent arrives any more, though the answer is not complete. 1, 0, or -1 with an
 * exception (another loop's transport is asked). */
int CamDisconnect_Check(CycleObject *cycle);

/* Sets ClientDisconnected. Returns -1. */
int CamDisconnect_Raise(cam_state *state);

/*
 * Whether what an application has raised says only that the client has left: ClientDisconnected,
 * one raised from it, a group of nothing else, or the exception of that meaning which frameworks
 * have (Starlette's ClientDisconnect, which hides ours). Leaves no exception set.
 */
bool CamDisconnect_IsTold(CycleObject *cycle, PyObject *exception);

#endif
