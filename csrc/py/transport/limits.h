/* SPDX-License-Identifier: MIT */
/* How many unsent bytes a transport holds before it asks its protocol to pause. */
#ifndef CAM_TRANSPORT_LIMITS_H
#define CAM_TRANSPORT_LIMITS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* asyncio's default (transports._FlowControlMixin); the low-water mark is a quarter of it. */
enum { CAM_HIGH_WATER = 64 * 1024 };

/* Reads the arguments of set_write_buffer_limits(high=None, low=None) with asyncio's defaults,
 * `fallback` being that of the high-water mark. 0, or -1 with an exception and the two unchanged.
 * May run user code (__index__). */
int cam_limits_read(PyObject *args, PyObject *keywords, Py_ssize_t fallback, size_t *high_water,
                    size_t *low_water);

#endif
