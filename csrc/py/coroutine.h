/* SPDX-License-Identifier: MIT */
/*
 * What awaitables written in C share to look like coroutines: the outcomes of send(), the
 * arguments of throw().
 */
#ifndef CAM_PY_COROUTINE_H
#define CAM_PY_COROUTINE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The outcome of am_send as send() and __next__ give it; steals result. */
PyObject *CamCoroutine_Result(PySendResult outcome, PyObject *result);

/* Sets the exception that a throw(type_or_exception[, value[, traceback]]) was given. */
void CamCoroutine_Raise(PyObject *const *args, Py_ssize_t nargs);

#endif
