/* SPDX-License-Identifier: MIT */
#include "transport/limits.h"

int cam_limits_read(PyObject *args, PyObject *keywords, Py_ssize_t fallback, size_t *high_water,
                    size_t *low_water) {
    static char *names[] = {"high", "low", NULL};
    PyObject *high_object = Py_None, *low_object = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:set_write_buffer_limits", names,
                                     &high_object, &low_object)) {
        return -1;
    }
    /* Cut to what fits: more than can be held is as good as no limit. */
    Py_ssize_t low = low_object != Py_None ? PyNumber_AsSsize_t(low_object, NULL) : 0;
    if (low == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_ssize_t high;
    if (high_object != Py_None) {
        high = PyNumber_AsSsize_t(high_object, NULL);
        if (high == -1 && PyErr_Occurred()) {
            return -1;
        }
    } else if (low_object == Py_None) {
        high = fallback;
    } else {
        high = low > PY_SSIZE_T_MAX / 4 ? PY_SSIZE_T_MAX : 4 * low;
    }
    if (low_object == Py_None) {
        low = high / 4;
    }
    if (high < low || low < 0) {
        PyErr_Format(PyExc_ValueError, "high (%zd) must be >= low (%zd) must be >= 0", high, low);
        return -1;
    }
    *high_water = (size_t)high;
    *low_water = (size_t)low;
    return 0;
}
