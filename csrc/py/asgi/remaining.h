/* SPDX-License-Identifier: MIT */
/*
 * The connections that a server which is ending still has, in words: for the line of the log that
 * says what it did not wait for. On the loop's thread; keeps nothing.
 */
#ifndef CAM_ASGI_REMAINING_H
#define CAM_ASGI_REMAINING_H

#include "asgi/server.h"

/* A new list of str, one for each connection and at most `limit`: what it is at, and its client.
 * NULL with an exception. Runs user code (the transport's get_extra_info). */
PyObject *CamRemaining_List(const HttpServerObject *server, Py_ssize_t limit);

#endif
