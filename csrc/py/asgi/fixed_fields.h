/* SPDX-License-Identifier: MIT */
/*
 * The header lines that a server adds to every response, made once of pairs of bytes: apart from
 * the others those of Date and Server, of which a response has the application's or ours.
 *
 * Embedded in who has them; on the loop's thread.
 */
#ifndef CAM_ASGI_FIXED_FIELDS_H
#define CAM_ASGI_FIXED_FIELDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* Each bytes and strong, whole lines; NULL before any are made. */
typedef struct cam_fixed_fields {
    PyObject *date; /* or NULL: none is named */
    PyObject *server;
    PyObject *others;
} cam_fixed_fields;

/*
 * Takes the lines of an iterable of pairs, which messages call `called`, in the place of those
 * before; of several for Date or Server the last. NULL and None are no pairs. Without
 * `framing` it refuses what tells where a response ends, or how long its connection lasts. 0, or
 * -1 with TypeError, ValueError or MemoryError, and the lines as they were. Runs user code.
 */
int CamFixedFields_Set(cam_fixed_fields *fields, PyObject *pairs, const char *called, bool framing);

void CamFixedFields_Clear(cam_fixed_fields *fields);

#endif
