/* SPDX-License-Identifier: MIT */
/*
 * What C code beside the loop may ask of a TLS transport (the object that
 * CamProtocolTable.connection_made is given over TLS). Implemented by transport/tls_transport.c;
 * used by asgi/.
 *
 * As stream.h: on the loop's thread, and nothing here calls connection_lost before it returns.
 * Closing may deliver what was received already, and calls eof_received when the peer has closed;
 * all of it may run the ssl module's callbacks.
 */
#ifndef CAM_PY_TLS_TRANSPORT_H
#define CAM_PY_TLS_TRANSPORT_H

#include "state.h"

/* True when `object` is a TLS transport of ours, so that the calls below apply. */
int CamTls_Check(cam_state *state, PyObject *object);

/* Queues bytes, copied, to be encrypted at the end of the loop's turn. Dropped once the connection
 * is closing. 0, or -1 with an exception. */
int CamTls_Write(PyObject *transport, const char *data, Py_ssize_t size);

/* The same for a bytes object, which is kept and not copied when it is large. */
int CamTls_WriteBytes(PyObject *transport, PyObject *bytes);

int CamTls_Close(PyObject *transport);
int CamTls_Abort(PyObject *transport);
int CamTls_IsClosing(PyObject *transport); /* 1, 0 or -1 */
int CamTls_PauseReading(PyObject *transport);
int CamTls_ResumeReading(PyObject *transport);

/* Bytes queued and not yet given to the kernel, encrypted or not; -1 with an exception. */
Py_ssize_t CamTls_WriteBufferSize(PyObject *transport);

/* The descriptor below, to ask the kernel about; -1 when there is none that is ours. */
int CamTls_Descriptor(PyObject *transport);

#endif
