/* SPDX-License-Identifier: MIT */
/*
 * One bytes object of a loop that is used for one message after another.
 *
 * What data_received() is given lives, as a rule, until its answer is sent. The loop keeps it until
 * the next message comes: if nobody else has it by then, its memory takes that message, which saves
 * the C library an allocation and a release. An object that anybody still refers to is left alone.
 * On the loop's thread; runs no user code.
 */
#ifndef CAM_TRANSPORT_SPARE_H
#define CAM_TRANSPORT_SPARE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct CamSpare {
    PyObject *bytes;       /* strong or NULL; exactly bytes */
    const PyObject *given; /* the object that was given last, for comparison alone */
    Py_ssize_t capacity;   /* how many bytes that one has room for */
} CamSpare;

/* A bytes object with these contents, as PyBytes_FromStringAndSize makes it. */
PyObject *CamSpare_Bytes(CamSpare *spare, const char *data, Py_ssize_t size);

/* The caller is done with a bytes object that CamSpare_Bytes gave; takes its reference. */
void CamSpare_Done(CamSpare *spare, PyObject *bytes);

void CamSpare_Clear(CamSpare *spare);

#endif
