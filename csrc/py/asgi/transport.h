/* SPDX-License-Identifier: MIT */
/*
 * The transport of a connection: our own stream or TLS transport, called directly, or any other
 * asyncio transport (another loop's), driven by its Python methods.
 *
 * Every call takes a reference of its own, for the call may run user code; with a transport that
 * is not there (object NULL) all of them do nothing. 0, or -1 with an exception.
 */
#ifndef CAM_ASGI_TRANSPORT_H
#define CAM_ASGI_TRANSPORT_H

#include "state.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct cam_transport {
    PyObject *object; /* strong in the connection; NULL before it is made and after it is lost */
    enum { CAM_TRANSPORT_OTHER, CAM_TRANSPORT_STREAM, CAM_TRANSPORT_TLS } kind;
} cam_transport;

/* Of which kind an object is. */
cam_transport CamTransport_Of(cam_state *state, PyObject *object);

/* The bytes are copied. */
int CamTransport_Write(cam_state *state, cam_transport transport, const char *data, size_t size);
int CamTransport_WriteBytes(cam_state *state, cam_transport transport, PyObject *bytes);

/* Whether it takes texts as they are. */
static inline bool CamTransport_KeepsText(cam_transport transport) {
    return transport.kind == CAM_TRANSPORT_STREAM;
}

/* Writes an ASCII str, of exactly that type. Only for a transport that keeps texts. */
int CamTransport_WriteText(cam_state *state, cam_transport transport, PyObject *text);

/* Whether it takes files as they are. */
bool CamTransport_SendsFiles(cam_transport transport);

/* Sends `size` bytes of a regular file, from `offset` on; takes the descriptor over, whatever comes
 * of it. Only for a transport that sends files. */
int CamTransport_WriteFile(cam_state *state, cam_transport transport, int fd, off_t offset,
                           size_t size);

/* Ends our direction once all is sent. 1, 0 when this transport cannot, or -1. */
int CamTransport_WriteEof(cam_state *state, cam_transport transport);

int CamTransport_Close(cam_state *state, cam_transport transport);
int CamTransport_Abort(cam_state *state, cam_transport transport);
/* Aborts, and has the kernel drop what it holds and reset the connection. */
int CamTransport_Reset(cam_state *state, cam_transport transport);
int CamTransport_PauseReading(cam_state *state, cam_transport transport);
int CamTransport_ResumeReading(cam_state *state, cam_transport transport);

/* 1, 0 or -1; 1 without a transport. */
int CamTransport_IsClosing(cam_state *state, cam_transport transport);

/* Bytes written that the peer's system has not acknowledged, wherever they are now; without what
 * the kernel holds where it does not tell. -1 with an exception. */
Py_ssize_t CamTransport_Unacknowledged(cam_state *state, cam_transport transport);

/* Whether bytes that were written have not been given to the kernel yet: 1, 0 or -1. */
int CamTransport_HasUnsent(cam_state *state, cam_transport transport);

/* Whether bytes have arrived that nobody has read; false where the kernel does not tell. */
bool CamTransport_HasUnread(cam_state *state, cam_transport transport);

/* What get_extra_info(name) gives: a new reference, None when it is not known. */
PyObject *CamTransport_ExtraInfo(cam_state *state, cam_transport transport, PyObject *name);

#endif
