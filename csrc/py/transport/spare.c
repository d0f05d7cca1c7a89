/* SPDX-License-Identifier: MIT */
#include "transport/spare.h"

#include <string.h>

enum {
    /* Smaller objects come from Python's own pools, which are as quick; of larger ones the copy is
     * what costs, and they are not worth holding. */
    SMALLEST = 512,
    LARGEST = 16 * 1024,
};

/* Gives an object that only we know other contents. */
static void rewrite(PyObject *bytes, const char *data, Py_ssize_t size) {
    Py_SET_SIZE(bytes, size);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    ((PyBytesObject *)bytes)->ob_shash = -1; /* was that of the contents before */
#pragma GCC diagnostic pop
    char *contents = PyBytes_AS_STRING(bytes);
    memcpy(contents, data, (size_t)size);
    contents[size] = '\0';
}

static int is_fit(Py_ssize_t size) {
    return size >= SMALLEST && size <= LARGEST;
}

PyObject *CamSpare_Bytes(CamSpare *spare, const char *data, Py_ssize_t size) {
    if (!is_fit(size)) {
        return PyBytes_FromStringAndSize(data, size);
    }
    PyObject *bytes = spare->bytes;
    spare->bytes = NULL;
    if (bytes != NULL && Py_REFCNT(bytes) == 1 && size <= spare->capacity) {
        rewrite(bytes, data, size);
        return bytes; /* still the one that was given last */
    }
    Py_XDECREF(bytes);
    bytes = PyBytes_FromStringAndSize(data, size);
    spare->given = bytes;
    spare->capacity = size;
    return bytes;
}

void CamSpare_Done(CamSpare *spare, PyObject *bytes) {
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    if (spare->bytes != NULL || !is_fit(size)) {
        Py_DECREF(bytes);
        return;
    }
    if (bytes != spare->given) { /* another was given since: its room is at least its size */
        spare->given = bytes;
        spare->capacity = size;
    }
    spare->bytes = bytes;
}

void CamSpare_Clear(CamSpare *spare) {
    Py_CLEAR(spare->bytes);
}
