/* SPDX-License-Identifier: MIT */
/*
 * What must not have changed in an application for its plans to hold.
 *
 * Looked at with every request, so nothing is looked up while the dicts that it stands in are as
 * they were: Python 3.11 numbers a dict's states, later ones call back with each change. Belongs to
 * a table, whose `kept` owns every object below. Runs no user code.
 */
#ifndef CAM_FASTAPI_GUARD_H
#define CAM_FASTAPI_GUARD_H

#include "state.h"

typedef struct cam_guard {
    PyObject **lists; /* pairs of a list and a tuple of its items */
    Py_ssize_t list_count;
    PyObject **names; /* triples of a dict, a key and a value (NULL: not there) */
    Py_ssize_t name_count;
    PyObject **empty; /* triples of a dict, a key and what it was last seen to be, or NULL */
    Py_ssize_t empty_count;
    PyObject *states; /* tuple of dicts, of which nothing may change */
    PyObject **homes; /* the dicts of names and empty, each once */
    Py_ssize_t home_count;
    uint64_t *versions;                   /* of states, then of homes, where Python counts them */
    uint64_t state_changes, home_changes; /* else: all changes of such dicts that were known */
    bool seen; /* the dicts of names and empty are as when they were last looked into */
} cam_guard;

/* Reads the members watched_lists, watched_names, watched_empty and watched_dicts of a
 * camshaft.fastapi.plan.Table, of which tuples are given. `missing` is plan.MISSING. 0, or -1 with
 * an exception; CamGuard_Free() is due in both cases. */
int CamGuard_Read(cam_guard *self, cam_state *state, PyObject *const members[4], PyObject *missing);
void CamGuard_Free(cam_guard *self);

/* Whether the application is still what the table was made of: 1, 0, or -1 with an exception. */
int CamGuard_Holds(cam_guard *self);
/* Whether nothing is overridden for this request, right after CamGuard_Holds() gave 1. */
bool CamGuard_IsPlain(const cam_guard *self);

#endif
