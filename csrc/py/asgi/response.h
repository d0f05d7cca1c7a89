/* SPDX-License-Identifier: MIT */
/*
 * The head of an answer as bytes, and the answers that are the server's own.
 */
#ifndef CAM_ASGI_RESPONSE_H
#define CAM_ASGI_RESPONSE_H

#include "asgi/cycle.h"

/*
 * Writes status line and header lines of a response to connection->output, without the empty
 * line at the end and without what tells the length of the body, and notes in the cycle what
 * they say. `headers` is an iterable of pairs of bytes, or NULL. 0, or -1 with an exception and
 * output empty: TypeError for what is not bytes, RuntimeError for what no header may hold. Runs
 * user code, and notes nothing if that has begun the answer meanwhile.
 */
int CamResponse_BuildHead(CycleObject *cycle, int status, PyObject *headers);

/* Completes the head in connection->output, now that the first body event is there: `size` bytes,
 * and more events to come or not. 0, or -1 with MemoryError. */
int CamResponse_EndHead(CycleObject *cycle, size_t size, bool more_body);

/* Says how long the body will be, in a head that is held and says nothing of it yet. 0 or -1. */
int CamResponse_SetLength(CycleObject *cycle, uint64_t size);

/* Adds the line of a header field. 0, or -1: TypeError, RuntimeError or MemoryError. */
int CamResponse_PutField(cam_buffer *out, PyObject *name, PyObject *value);

/* Calls put(argument, name, value) for each header of an iterable of pairs; ends with the first
 * that is not 0. 0, or -1 with an exception. Runs user code. */
typedef int (*cam_put_field)(void *argument, PyObject *name, PyObject *value);
int CamResponse_EachField(PyObject *headers, cam_put_field put, void *argument);

/* Whether a comma-separated list has the token, which must be in lower case. */
bool CamResponse_HasToken(const char *list, size_t len, const char *token);

/* Writes the answer to what is not a request: status and a line of text. */
int CamResponse_WriteError(HttpProtocolObject *connection, int status, const char *reason);

/* Answers with the status and its phrase, as "Internal Server Error" for 500, and closes; nothing
 * may have been written yet. */
int CamResponse_WriteFailure(CycleObject *cycle, int status);

#endif
