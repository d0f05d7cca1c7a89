/* SPDX-License-Identifier: MIT */
/*
 * Arguments of METH_FASTCALL methods: the slow way, for positional parameters given by name.
 *
 * asyncio's methods are written in Python, where any parameter may be named:
 * loop.call_later(delay=1, callback=f). Ours read the stack directly and come here only when a
 * positional argument is missing.
 */
#ifndef CAM_PY_ARGS_H
#define CAM_PY_ARGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef PyObject *(*CamFastMethod)(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames);

/* Calls method(self, ...) again with the parameters that were named put into their places.
 * `parameters` are the method's positional ones, in order, ended by NULL; at least one of them is
 * not among the nargs arguments. Returns what the method does, or NULL with TypeError when one is
 * neither given nor named. Runs what the method runs. */
PyObject *CamArgs_ByName(CamFastMethod method, const char *name, const char *const *parameters,
                         PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames);

#endif
