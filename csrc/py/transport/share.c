/* SPDX-License-Identifier: MIT */
#include "transport/share.h"

#include "compat.h"
#include "transport/stream_object.h"

#include <limits.h>
#include <stddef.h>

/* The table's layout: camshaft.master.table. */
enum {
    ROW_WORDS = 16,
    STATE = 0,
    CONNECTIONS = 3,
    READY = 2,
    USED = 0, /* the word, of row 0, that says how many rows are in use, with that one */
};

/* By how many connections a process may be above the one with the fewest: some, or a part of
 * them. Where connections are short, those there are say little. */
static const uint64_t LEAST_SLACK = 4;
static const uint64_t SLACK_PART = 8;

/* Rests in a row after which a process takes twice as many each time, as nobody else does. */
enum { PATIENCE = 16, MOST_DOUBLINGS = 20 };

/* What comes this much later has not waited for the end of the rest. In nanoseconds. */
static const int64_t AT_ONCE = 2000000;

static uint64_t word(const ShareObject *share, size_t row, size_t field) {
    return __atomic_load_n((const uint64_t *)share->table.buf + row * ROW_WORDS + field,
                           __ATOMIC_RELAXED);
}

static size_t rows_in(const ShareObject *share) {
    return (size_t)share->table.len / (ROW_WORDS * sizeof(uint64_t));
}

/* The fewest connections of another process that accepts; UINT64_MAX if there is none. */
static uint64_t fewest(const ShareObject *share) {
    uint64_t least = UINT64_MAX;
    uint64_t used = word(share, 0, USED);
    size_t rows = used < rows_in(share) ? (size_t)used : rows_in(share);
    for (size_t row = 1; row < rows; row++) {
        if (row != share->row && word(share, row, STATE) == READY) {
            uint64_t count = word(share, row, CONNECTIONS);
            least = count < least ? count : least;
        }
    }
    return least;
}

static int count_own(ShareObject *share, uint64_t *count) {
    if (share->count == NULL) { /* cleared by the garbage collector, before the listener is */
        *count = 0;
        return 0;
    }
    PyObject *number = PyObject_CallNoArgs(share->count);
    if (number == NULL) {
        return -1;
    }
    *count = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    return *count == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}

static int look(ShareObject *share, uint64_t *count, uint64_t *least, uint64_t *most) {
    *least = *most = UINT64_MAX;
    if (count_own(share, count) < 0) {
        return -1;
    }
    if (share->count == NULL) {
        return 0; /* and what the table is in may be gone, too */
    }
    __atomic_store_n((uint64_t *)share->table.buf + share->row * ROW_WORDS + CONNECTIONS, *count,
                     __ATOMIC_RELAXED);
    *most = UINT64_MAX;
    *least = fewest(share);
    if (*least == UINT64_MAX || word(share, share->row, STATE) != READY) {
        return 0;
    }
    if (share->rests > 0 && CamLoop_Now() - share->ended > AT_ONCE) {
        share->rests = 0;
    }
    uint64_t part = *least / SLACK_PART;
    *most = *least + (part > LEAST_SLACK ? part : LEAST_SLACK);
    if (share->rests > PATIENCE) {
        unsigned doublings = share->rests - PATIENCE;
        uint64_t base = *count > *most ? *count : *most;
        *most = base + (UINT64_C(1) << (doublings < MOST_DOUBLINGS ? doublings : MOST_DOUBLINGS));
    }
    return 0;
}

int CamShare_Look(ShareObject *share, uint64_t *count, uint64_t *least, uint64_t *most) {
    Py_INCREF(share); /* count() may stop the listener, which owns it */
    int status = look(share, count, least, most);
    Py_DECREF(share);
    return status;
}

void CamShare_Rests(ShareObject *share) {
    share->rests += share->rests < UINT_MAX;
}

void CamShare_Returns(ShareObject *share) {
    share->ended = CamLoop_Now();
}

/* ---- the object ---- */

static PyObject *share_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"table", "row", "count", NULL};
    PyObject *table, *count;
    Py_ssize_t row;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OnO:Share", names, &table, &row, &count)) {
        return NULL;
    }
    ShareObject *share = (ShareObject *)type->tp_alloc(type, 0);
    if (share == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(table, &share->table, PyBUF_WRITABLE) < 0) {
        Py_DECREF(share);
        return NULL;
    }
    if ((uintptr_t)share->table.buf % sizeof(uint64_t) != 0 || row < 1 ||
        (size_t)row >= rows_in(share)) {
        PyErr_SetString(PyExc_ValueError, "the table has no such row");
        Py_DECREF(share);
        return NULL;
    }
    share->row = (size_t)row;
    share->count = Py_NewRef(count);
    return (PyObject *)share;
}

static int share_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((ShareObject *)self)->count);
    Py_VISIT(((ShareObject *)self)->table.obj);
    return 0;
}

static int share_clear(PyObject *self) {
    Py_CLEAR(((ShareObject *)self)->count);
    return 0;
}

static void share_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)share_clear(self);
    PyBuffer_Release(&((ShareObject *)self)->table);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(share_doc, "Share(table, row, count)\n--\n\n"
                        "A process's part in the listeners that it shares with others.\n\n"
                        "table is a writable buffer as camshaft.master.table lays it out, row the\n"
                        "process's own in it; count() tells how many connections it has.");

static PyType_Slot share_slots[] = {
    {Py_tp_doc, (void *)share_doc},   {Py_tp_new, share_new},     {Py_tp_dealloc, share_dealloc},
    {Py_tp_traverse, share_traverse}, {Py_tp_clear, share_clear}, {0, NULL},
};

static PyType_Spec share_spec = {
    .name = "camshaft._core.Share",
    .basicsize = sizeof(ShareObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = share_slots,
};

int cam_share_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &share_spec, NULL, 1, &state->share_type);
}
