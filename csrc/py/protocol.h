/* SPDX-License-Identifier: MIT */
/*
 * A protocol written in C: what a stream transport calls without going through Python.
 *
 * `_core.NativeProtocol` is the base type of such protocols. A transport whose protocol is an
 * instance calls the table's functions directly; on any other loop the same object is an
 * ordinary asyncio.Protocol, because its type also offers the Python methods. All functions run
 * on the loop's thread, may run user code, and must expect the transport to be closed by it.
 * -1 means an exception is set; the transport treats it as asyncio treats one raised by a
 * protocol's method (reported, connection aborted; KeyboardInterrupt and SystemExit leave
 * the loop).
 */
#ifndef CAM_PY_PROTOCOL_H
#define CAM_PY_PROTOCOL_H

#include "state.h"

typedef struct CamProtocolTable {
    int (*connection_made)(PyObject *protocol, PyObject *transport);
    /* `data` is the loop's read buffer: borrowed for this call alone, never empty. The protocol
     * may parse in place and may write into it. */
    int (*data_received)(PyObject *protocol, char *data, Py_ssize_t size);
    /* 1: keep the transport open for writing, 0: close it, -1: exception. */
    int (*eof_received)(PyObject *protocol);
    /* `reason` is an exception or None. Called once. */
    int (*connection_lost)(PyObject *protocol, PyObject *reason);
    /* How many bytes it wants of the next read, at least 1; NULL: as many as there are. Runs no
     * user code. */
    size_t (*read_room)(PyObject *protocol);
    int (*pause_writing)(PyObject *protocol);
    int (*resume_writing)(PyObject *protocol);
} CamProtocolTable;

typedef struct CamProtocolObject {
    PyObject_HEAD
    const CamProtocolTable *table; /* set by the subtype before the object is shown */
} CamProtocolObject;

/* The table when `object` is a native protocol, else NULL. Never fails. */
const CamProtocolTable *CamProtocol_TableOf(cam_state *state, PyObject *object);

#endif
