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
 * output empty: TypeError for what is not bytes, RuntimeError for what no header may hold.
 */
int CamResponse_BuildHead(CycleObject *cycle, int status, PyObject *headers);

/* Completes the head in connection->output, now that the first body event is there: `size` bytes,
 * and more events to come or not. 0, or -1 with MemoryError. */
int CamResponse_EndHead(CycleObject *cycle, size_t size, bool more_body);

/* Writes the answer to what is not a request: status and a line of text. */
int CamResponse_WriteError(HttpProtocolObject *connection, int status, const char *reason);

/* Answers 500 "Internal Server Error" and closes; nothing may have been written yet. */
int CamResponse_WriteFailure(CycleObject *cycle);

#endif
