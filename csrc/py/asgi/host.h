/* SPDX-License-Identifier: MIT */
/*
 * The server that our connections live in when it is not ours: uvicorn's, by its ServerState.
 *
 * uvicorn's Server looks at the sets `connections` and `tasks` of that object to end them, at
 * `total_requests` to know when it has served enough, and puts what every response begins with
 * into `default_headers`. What is in `connections` is the owner of one of our connections: a
 * protocol of uvicorn's kind (camshaft/http/protocol.py), which is also asked to take over
 * connections that are to speak another protocol.
 *
 * Nothing here is called without a host. Belongs to the loop's thread.
 */
#ifndef CAM_ASGI_HOST_H
#define CAM_ASGI_HOST_H

#include "asgi/buffer.h"
#include "asgi/connection.h"
#include "asgi/fixed_fields.h"

typedef struct cam_host {
    PyObject *state;       /* strong: the ServerState */
    PyObject *connections; /* strong: its set of owners */
    PyObject *tasks;       /* strong: its set of tasks */
    PyObject *headers;     /* strong or NULL: the list that the lines below were made of */
    cam_fixed_fields fixed;
} cam_host;

/* A host from a ServerState; NULL with an exception. */
cam_host *CamHost_New(PyObject *state);
void CamHost_Free(cam_host *host);
int CamHost_Traverse(cam_host *host, visitproc visit, void *arg);

/* Enters and removes one; what goes wrong is told to sys.unraisablehook. */
void CamHost_AddConnection(cam_host *host, PyObject *owner);
void CamHost_RemoveConnection(cam_host *host, PyObject *owner);
void CamHost_AddTask(cam_host *host, PyObject *task);
void CamHost_RemoveTask(cam_host *host, PyObject *task);

/* A response is complete. */
void CamHost_CountRequest(cam_host *host);

/* Looks whether default_headers is another list than before. 0, or -1 with an exception for what
 * is no header. Runs user code. */
int CamHost_RefreshHeaders(cam_host *host);

/* Adds the lines, without those of Date or Server if the response has its own. 0 or -1. */
int CamHost_PutHeaders(const cam_host *host, cam_buffer *out, bool date, bool server);

/* Asks the owner whether it takes the connection over, from the bytes of this head on. 1 when it
 * has, and the connection is no longer ours; 0; -1 with an exception. Runs user code. */
int CamHost_Upgrade(HttpProtocolObject *connection, const char *data, size_t size);

#endif
