/* SPDX-License-Identifier: MIT */
/*
 * What awaitables written in C share to look like coroutines: what is awaited and stepped, the
 * outcomes of send(), throw() and close().
 *
 * They belong to the task that awaits them. All of this may run user code but CamCoroutine_Result
 * and CamCoroutine_CheckStep.
 */
#ifndef CAM_PY_COROUTINE_H
#define CAM_PY_COROUTINE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* What an `await` expression steps for an awaitable, which is stolen: a new reference. NULL with
 * the TypeError of such an expression; for NULL with the exception that is set. */
PyObject *CamCoroutine_Iterator(PyObject *awaitable);

/* 0 when a step may be made now, else -1 with a coroutine's exception. */
int CamCoroutine_CheckStep(bool running, bool ended);

/* The outcome of am_send as send() and __next__ give it; steals result. */
PyObject *CamCoroutine_Result(PySendResult outcome, PyObject *result);

/* send(), a METH_O, and __next__ of a type that has am_send, by that. */
PyObject *CamCoroutine_Send(PyObject *op, PyObject *value);
PyObject *CamCoroutine_Next(PyObject *op);

/* Sets the exception that a throw(type_or_exception[, value[, traceback]]) was given. */
void CamCoroutine_Raise(PyObject *const *args, Py_ssize_t nargs);

/* Throws into what is awaited, `inner` (NULL: nothing is, or it has no throw(), and the exception
 * is raised here). The outcome is that of a step, *result a new reference unless PYGEN_ERROR.
 * `name` is "throw". */
PySendResult CamCoroutine_Throw(PyObject *inner, PyObject *name, PyObject *const *args,
                                Py_ssize_t nargs, PyObject **result);

#endif
