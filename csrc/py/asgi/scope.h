/* SPDX-License-Identifier: MIT */
/*
 * The scope of a request: the dict that tells the application what is asked (ASGI HTTP & WebSocket
 * specification, "HTTP Connection Scope").
 *
 * What all requests of a connection have in common is kept in a template that is copied. The
 * header tuples of the last request are kept beside the bytes they were made of, and used again
 * when the next one sends the same bytes; tuples cannot be changed, and the list is always new.
 */
#ifndef CAM_ASGI_SCOPE_H
#define CAM_ASGI_SCOPE_H

#include "asgi/connection.h"

/* A new dict; NULL with an exception. Runs user code (the transport's get_extra_info). */
PyObject *CamScope_New(HttpProtocolObject *connection, const cam_h1_request *request);

/* "host:port" of the client, "" when it has no such address; for the access log. New reference. */
PyObject *CamScope_ClientAddress(HttpProtocolObject *connection);

/* Path (percent-quoted anew, so that no control character comes through) and query of a scope.
 * New reference. */
PyObject *CamScope_FullPath(PyObject *path, PyObject *query_string);

/* The same, added to a buffer: ASCII without control characters. 0 or -1. */
int CamScope_PutFullPath(cam_buffer *out, PyObject *path, PyObject *query_string);

#endif
