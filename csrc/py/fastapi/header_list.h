/* SPDX-License-Identifier: MIT */
/*
 * The headers of an answer as ASGI has them, edited as Starlette's MutableHeaders does.
 *
 * A list is plain if it is an exact list of pairs of bytes, which all of this is for; names are
 * compared as they are, which is in lower case. Nothing here runs user code.
 */
#ifndef CAM_FASTAPI_HEADER_LIST_H
#define CAM_FASTAPI_HEADER_LIST_H

#include "state.h"

/* Whether an object is a tuple of two bytes objects, of the exact types. */
static inline bool CamHeaderList_IsField(PyObject *field) {
    return PyTuple_CheckExact(field) && PyTuple_GET_SIZE(field) == 2 &&
           PyBytes_CheckExact(PyTuple_GET_ITEM(field, 0)) &&
           PyBytes_CheckExact(PyTuple_GET_ITEM(field, 1));
}

/* Whether bytes are those of a literal. */
#define CAM_BYTES_ARE(bytes, literal)                                                              \
    (PyBytes_GET_SIZE(bytes) == (Py_ssize_t)sizeof(literal) - 1 &&                                 \
     memcmp(PyBytes_AS_STRING(bytes), literal, sizeof(literal) - 1) == 0)

/* Whether all of it is plain. */
bool CamHeaderList_IsPlain(PyObject *list);

/* The value of the first field with a name, borrowed, or NULL (without an exception). */
PyObject *CamHeaderList_Get(PyObject *list, PyObject *name);

/* Puts a field in the place of the first with its name, of which no other stays; or at the end.
 * 0, or -1 with an exception. */
int CamHeaderList_Set(PyObject *list, PyObject *field);

/* The same for a name and a value, which is stolen and may be NULL with an exception. */
int CamHeaderList_SetValue(PyObject *list, PyObject *name, PyObject *value);

/* Adds the value of a field `vary` to what the list has of such: one field for all of them. 0, or
 * -1 with an exception. */
int CamHeaderList_AddVary(PyObject *list, PyObject *field);

#endif
