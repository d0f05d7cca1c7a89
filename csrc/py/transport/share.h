/* SPDX-License-Identifier: MIT */
/*
 * `_core.Share`: one process's part in listening sockets that several accept from.
 *
 * The processes keep a table in memory that they share, a row of 64-bit words for each; see
 * camshaft.master.table, whose layout this is. A listener with a share is woken for a connection by
 * itself (CAM_POLL_EXCLUSIVE), and leaves what comes to the others once its process has more
 * connections than the one with the fewest, and some: whoever runs first would else take all of a
 * burst, and keep it for as long as its connections live. It leaves it for moments only, so that
 * others that do not accept, as they are blocked, cost time and no connection.
 *
 * Belongs to the loop's thread; the words of other rows are read while their processes write them.
 */
#ifndef CAM_TRANSPORT_SHARE_H
#define CAM_TRANSPORT_SHARE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

typedef struct ShareObject {
    PyObject_HEAD
    Py_buffer table; /* held */
    PyObject *count; /* strong: called for how many connections the process has */
    size_t row;
    unsigned rests; /* in a row, each with connections left when it was over */
    int64_t ended;  /* when the last was over */
} ShareObject;

/* Seconds that a listener leaves to others what comes. */
#define CAM_SHARE_REST 0.002

/* Writes down how many connections the process has, and says how many the one with the fewest
 * has, and at how many this one is to leave the next to others; UINT64_MAX if there are none. 0, or
 * -1 with an exception. Calls share->count. */
int CamShare_Look(ShareObject *share, uint64_t *count, uint64_t *least, uint64_t *most);

/* The listener begins a rest, and has ended it. No user code. */
void CamShare_Rests(ShareObject *share);
void CamShare_Returns(ShareObject *share);

#endif
