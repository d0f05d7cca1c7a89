/* SPDX-License-Identifier: MIT */
/*
 * ProcessPipe: the protocol between one pipe of a child process and the process's own protocol,
 * asyncio.SubprocessProtocol.
 *
 * It has C's speed because every piece of data passes it; what happens once per pipe is left to
 * the process's transport (camshaft/loop/process.py), which calls attach(protocol) when the
 * protocol may be called. Before that the transport is given the data.
 */
#ifndef CAM_TRANSPORT_PROCESS_PIPE_H
#define CAM_TRANSPORT_PROCESS_PIPE_H

#include "state.h"

int CamProcessPipe_Check(cam_state *state, PyObject *object);

/* The StreamReader of asyncio.create_subprocess_exec() that C may feed instead of calling
 * data_received(); NULL without an exception when there is none. New reference. */
PyObject *CamProcessPipe_Reader(PyObject *pipe);

#endif
