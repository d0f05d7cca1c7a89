/* SPDX-License-Identifier: MIT */
/*
 * asyncio's StreamReader, fed by C: what StreamReaderProtocol.data_received() and
 * StreamReader.feed_data() do, without their Python frames and without a bytes object per piece.
 *
 * Only for objects of exactly asyncio's classes whose methods nobody has replaced, neither on the
 * class nor on the object, and only where asyncio's feed_data() reads the attributes that it is
 * known to read; for everything else the protocol's Python methods are called.
 * On the loop's thread. Feeding runs user code only where a done callback of an ordinary Future
 * would: never, but for pause_reading() of a transport that is not ours.
 */
#ifndef CAM_TRANSPORT_READER_H
#define CAM_TRANSPORT_READER_H

#include "state.h"

/* True when `protocol` may have a reader that C feeds: asked once, when it is set. */
int CamReader_IsProtocol(cam_state *state, PyObject *protocol);

/* The reader behind a protocol, ready to be fed; NULL without an exception when Python has to do
 * it. New reference. */
PyObject *CamReader_Of(cam_state *state, PyObject *protocol);

/* The reader behind descriptor `fd` (an int) of a child whose protocol is that of
 * asyncio.create_subprocess_exec(); as CamReader_Of. */
PyObject *CamReader_OfProcess(cam_state *state, PyObject *protocol, PyObject *fd);

/* Gives the reader `size` bytes (not 0) and wakes who waits for them. 1 when that is done; 0 when
 * nothing was done and Python has to do it; -1 with an exception. */
int CamReader_Feed(cam_state *state, PyObject *reader, const char *data, Py_ssize_t size);

/* Room for `size` bytes at the end of the reader's buffer, to receive into; NULL without an
 * exception where there is none to be had. What was written is announced by CamReader_Filled, which
 * must follow before anything else is done, also with 0 bytes. */
char *CamReader_Room(cam_state *state, PyObject *reader, Py_ssize_t size);

/* `filled` of the `room` bytes that CamReader_Room gave were written. 0, or -1 with an exception.
 */
int CamReader_Filled(cam_state *state, PyObject *reader, Py_ssize_t room, Py_ssize_t filled);

#endif
