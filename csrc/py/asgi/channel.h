/* SPDX-License-Identifier: MIT */
/* The two callables that an application is given: receive() and send(event). */
#ifndef CAM_ASGI_CHANNEL_H
#define CAM_ASGI_CHANNEL_H

#include "asgi/run.h"

struct CycleObject;

int cam_channel_exec(PyObject *module, cam_state *state);

/* New references; NULL with an exception. */
PyObject *CamChannel_NewReceive(RunObject *run);
PyObject *CamChannel_NewSend(RunObject *run);

/* send(piece, more_body, last) of a file that is sent in pieces: see send_file.c. */
PyObject *CamChannel_NewPiece(struct CycleObject *cycle);

#endif
