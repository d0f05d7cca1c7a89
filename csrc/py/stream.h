/* SPDX-License-Identifier: MIT */
/*
 * What C code beside the loop may ask of a stream transport (the object that
 * CamProtocolTable.connection_made is given). Implemented by transport/stream.c; used by asgi/.
 *
 * Everything here must be called on the loop's thread. None of it calls connection_lost or any
 * other protocol function before it returns, except pause_writing (as asyncio's write() does).
 */
#ifndef CAM_PY_STREAM_H
#define CAM_PY_STREAM_H

#include "state.h"

#include <sys/types.h>

/* True when `object` is a stream transport of this loop, so that the calls below apply; other
 * transports (TLS, another loop's) are driven by their Python methods. */
int CamStream_Check(cam_state *state, PyObject *object);

/* Queues bytes for sending, copied; they go out at the end of the loop's turn, or at once when
 * more than 64 KiB are waiting. Once the connection is lost (closed with nothing left to send,
 * aborted or broken) or after write_eof(), what is written is silently dropped. 0, or -1 with
 * MemoryError or an exception of the protocol's pause_writing. */
int CamStream_Write(PyObject *stream, const char *data, Py_ssize_t size);

/* The same for a bytes object, which is kept and not copied when it is large. */
int CamStream_WriteBytes(PyObject *stream, PyObject *bytes);

/* The same for a str of exactly that type whose characters are all ASCII. */
int CamStream_WriteText(PyObject *stream, PyObject *text);

/* Queues `size` bytes (not 0) of a regular file, from `offset` on, which go out by sendfile(2) in
 * their turn; they count as bytes queued. Takes the descriptor over, whatever comes of it. If the
 * file is shorter by then, or cannot be read, the connection is lost. Linux only. 0 or -1. */
int CamStream_WriteFile(PyObject *stream, int fd, off_t offset, size_t size);

/* What is written waits, beyond the end of the turn, until CamStream_Release() or until more than
 * 64 KiB wait; for answers that are sure to follow each other in the next turns. Closing sends it.
 */
void CamStream_Hold(PyObject *stream);
void CamStream_Release(PyObject *stream);

/* Flushes what is queued, then closes; connection_lost follows in a later callback. */
int CamStream_Close(PyObject *stream);

/* Drops what the kernel does not take at once and closes; connection_lost follows. */
int CamStream_Abort(PyObject *stream);

int CamStream_IsClosing(PyObject *stream);

/* Back-pressure towards the peer; both are idempotent and ignored when closing. */
int CamStream_PauseReading(PyObject *stream);
int CamStream_ResumeReading(PyObject *stream);

/* The same, for a protocol that is held by others: the poller is told when something arrives and
 * reading is still paused, and never if it is resumed before. */
int CamStream_PauseReadingLazily(PyObject *stream);

/* Bytes queued and not yet given to the kernel. */
Py_ssize_t CamStream_WriteBufferSize(PyObject *stream);

/* What get_extra_info(name) gives, without keeping it for the next time: a new reference, None when
 * it is not known; NULL with an exception. */
PyObject *CamStream_Info(PyObject *stream, PyObject *name);

/* The descriptor, to ask the kernel about; -1 once it is closed. */
int CamStream_Descriptor(PyObject *stream);

#endif
