/* SPDX-License-Identifier: MIT */
#include "fastapi/guard.h"

static void *array(Py_ssize_t count, size_t size) {
    void *block = PyMem_Calloc((size_t)(count ? count : 1), size);
    return block ? block : PyErr_NoMemory();
}

/* ---- dicts that are as they were ---- */

#if PY_VERSION_HEX < 0x030C0000

static uint64_t version_of(PyObject *dict) {
    return ((PyDictObject *)dict)->ma_version_tag;
}

static int watch(cam_guard *self, cam_state *Py_UNUSED(state)) {
    Py_ssize_t count = PyTuple_GET_SIZE(self->states);
    self->versions = array(count + self->home_count, sizeof *self->versions);
    for (Py_ssize_t i = 0; self->versions != NULL && i < count; i++) {
        self->versions[i] = version_of(PyTuple_GET_ITEM(self->states, i));
    }
    return self->versions ? 0 : -1;
}

static bool states_hold(const cam_guard *self) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->states); i++) {
        if (version_of(PyTuple_GET_ITEM(self->states, i)) != self->versions[i]) {
            return false;
        }
    }
    return true;
}

static bool homes_hold(const cam_guard *self) {
    const uint64_t *versions = self->versions + PyTuple_GET_SIZE(self->states);
    for (Py_ssize_t i = 0; i < self->home_count; i++) {
        if (version_of(self->homes[i]) != versions[i]) {
            return false;
        }
    }
    return true;
}

static void note_homes(cam_guard *self) {
    uint64_t *versions = self->versions + PyTuple_GET_SIZE(self->states);
    for (Py_ssize_t i = 0; i < self->home_count; i++) {
        versions[i] = version_of(self->homes[i]);
    }
}

#else

/* The callbacks are told of nothing but the dict, so these are the process's: a change of one
 * application's objects has the tables of all compiled anew, or their names looked up, which is
 * rare. */
static uint64_t state_changes, home_changes;

static int note_state(PyDict_WatchEvent event, PyObject *Py_UNUSED(dict), PyObject *Py_UNUSED(key),
                      PyObject *Py_UNUSED(value)) {
    state_changes += event != PyDict_EVENT_DEALLOCATED;
    return 0;
}

static int note_home(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict),
                     PyObject *Py_UNUSED(key), PyObject *Py_UNUSED(value)) {
    home_changes++;
    return 0;
}

/* The interpreter's number for a callback, asked for once. -1 with an exception. */
static int watcher(PyDict_WatchCallback callback, cam_dict_watcher *known) {
    if (!known->there) {
        known->number = PyDict_AddWatcher(callback);
        known->there = known->number >= 0;
    }
    return known->there ? known->number : -1;
}

/* Has Python tell of the changes of a dict. One of an instance may share its values with the
 * instance (3.13 and later), whose attributes can then be set past the dict and its watchers: it is
 * given values of its own, as taking out an item does. */
static int watch_dict(int number, PyObject *dict) {
    if (((PyDictObject *)dict)->ma_values != NULL && PyDict_GET_SIZE(dict) > 0) {
        PyObject *last = PyObject_CallMethod(dict, "popitem", NULL);
        int back =
            last ? PyDict_SetItem(dict, PyTuple_GET_ITEM(last, 0), PyTuple_GET_ITEM(last, 1)) : -1;
        Py_XDECREF(last);
        if (back < 0) {
            return -1;
        }
    }
    return PyDict_Watch(number, dict);
}

static int watch(cam_guard *self, cam_state *state) {
    int states = watcher(note_state, &state->fastapi.state_watcher);
    int homes = states < 0 ? -1 : watcher(note_home, &state->fastapi.home_watcher);
    if (homes < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->states); i++) {
        if (watch_dict(states, PyTuple_GET_ITEM(self->states, i)) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < self->home_count; i++) {
        if (watch_dict(homes, self->homes[i]) < 0) {
            return -1;
        }
    }
    self->state_changes = state_changes;
    return 0;
}

static bool states_hold(const cam_guard *self) {
    return self->state_changes == state_changes;
}

static bool homes_hold(const cam_guard *self) {
    return self->home_changes == home_changes;
}

static void note_homes(cam_guard *self) {
    self->home_changes = home_changes;
}

#endif

/* ---- reading ---- */

/* The members of a tuple of tuples of `width` in one array, with room for `room` of each. */
static PyObject **read_rows(PyObject *rows, Py_ssize_t width, Py_ssize_t room, Py_ssize_t *count) {
    *count = PyTuple_GET_SIZE(rows);
    PyObject **members = array(*count * room, sizeof(PyObject *));
    for (Py_ssize_t i = 0; members != NULL && i < *count; i++) {
        PyObject *row = PyTuple_GET_ITEM(rows, i);
        if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != width) {
            PyErr_SetString(PyExc_TypeError, "what is watched must be a tuple of tuples");
            PyMem_Free(members);
            return NULL;
        }
        for (Py_ssize_t k = 0; k < width; k++) {
            members[i * room + k] = PyTuple_GET_ITEM(row, k);
        }
    }
    return members;
}

/* Adds the dict of a row to homes, which have room for it. */
static int add_home(cam_guard *self, PyObject *dict) {
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "names can be watched in a dict only");
        return -1;
    }
    for (Py_ssize_t i = 0; i < self->home_count; i++) {
        if (self->homes[i] == dict) {
            return 0;
        }
    }
    self->homes[self->home_count++] = dict;
    return 0;
}

static int check_lists(const cam_guard *self) {
    for (Py_ssize_t i = 0; i < self->list_count; i++) {
        if (!PyList_Check(self->lists[2 * i]) || !PyTuple_Check(self->lists[2 * i + 1])) {
            PyErr_SetString(PyExc_TypeError, "items can be watched in a list only, as a tuple");
            return -1;
        }
    }
    return 0;
}

int CamGuard_Read(cam_guard *self, cam_state *state, PyObject *const members[4],
                  PyObject *missing) {
    self->states = members[3];
    self->lists = read_rows(members[0], 2, 2, &self->list_count);
    self->names = self->lists ? read_rows(members[1], 3, 3, &self->name_count) : NULL;
    self->empty = self->names ? read_rows(members[2], 2, 3, &self->empty_count) : NULL;
    self->homes =
        self->empty ? array(self->name_count + self->empty_count, sizeof(PyObject *)) : NULL;
    if (self->homes == NULL || check_lists(self) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < self->name_count; i++) {
        PyObject **row = &self->names[3 * i];
        if (add_home(self, row[0]) < 0) {
            return -1;
        }
        if (row[2] == missing) {
            row[2] = NULL;
        }
    }
    for (Py_ssize_t i = 0; i < self->empty_count; i++) {
        if (add_home(self, self->empty[3 * i]) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->states); i++) {
        if (!PyDict_Check(PyTuple_GET_ITEM(self->states, i))) {
            PyErr_SetString(PyExc_TypeError, "only dicts can be watched_dicts");
            return -1;
        }
    }
    return watch(self, state);
}

void CamGuard_Free(cam_guard *self) {
    PyMem_Free(self->lists);
    PyMem_Free(self->names);
    PyMem_Free(self->empty);
    PyMem_Free(self->homes);
    PyMem_Free(self->versions);
}

/* ---- asking ---- */

/* Looks everything up: whether the names are what they were, and what the overrides are now. */
static int look(cam_guard *self) {
    self->seen = false;
    note_homes(self);
    for (Py_ssize_t i = 0; i < self->empty_count; i++) {
        PyObject **row = &self->empty[3 * i];
        row[2] = PyDict_GetItemWithError(row[0], row[1]);
        if (row[2] == NULL && PyErr_Occurred()) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < self->name_count; i++) {
        PyObject **row = &self->names[3 * i];
        PyObject *value = PyDict_GetItemWithError(row[0], row[1]);
        if (value != row[2]) {
            return value == NULL && PyErr_Occurred() ? -1 : 0;
        }
    }
    self->seen = true;
    return 1;
}

int CamGuard_Holds(cam_guard *self) {
    if (!states_hold(self)) {
        return 0;
    }
    if (!self->seen || !homes_hold(self)) {
        int held = look(self);
        if (held <= 0) {
            return held;
        }
    }
    for (Py_ssize_t i = 0; i < self->list_count; i++) {
        PyObject *list = self->lists[2 * i], *items = self->lists[2 * i + 1];
        Py_ssize_t count = PyTuple_GET_SIZE(items);
        if (PyList_GET_SIZE(list) != count || /* an empty one has no items to point to */
            (count > 0 && memcmp(((PyListObject *)list)->ob_item, ((PyTupleObject *)items)->ob_item,
                                 (size_t)count * sizeof(PyObject *)) != 0)) {
            return 0;
        }
    }
    return 1;
}

bool CamGuard_IsPlain(const cam_guard *self) {
    for (Py_ssize_t i = 0; i < self->empty_count; i++) {
        PyObject *value = self->empty[3 * i + 2];
        if (value != NULL && (!PyDict_CheckExact(value) || PyDict_GET_SIZE(value) > 0)) {
            return false;
        }
    }
    return true;
}
