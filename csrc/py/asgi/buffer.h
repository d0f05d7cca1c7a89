/* SPDX-License-Identifier: MIT */
/* A growing run of bytes that belongs to the object it is embedded in. All zero is empty. */
#ifndef CAM_ASGI_BUFFER_H
#define CAM_ASGI_BUFFER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

typedef struct cam_buffer {
    char *ptr;
    size_t len;
    size_t capacity;
} cam_buffer;

/* Makes room for `extra` more bytes. 0, or -1 with MemoryError and the buffer as it was. */
static inline int cam_buffer_reserve(cam_buffer *buffer, size_t extra) {
    if (buffer->ptr != NULL && buffer->capacity - buffer->len >= extra) {
        return 0;
    }
    size_t capacity = buffer->capacity ? buffer->capacity * 2 : 512;
    if (capacity - buffer->len < extra) {
        capacity = buffer->len + extra;
    }
    char *ptr = PyMem_Realloc(buffer->ptr, capacity);
    if (ptr == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    buffer->ptr = ptr;
    buffer->capacity = capacity;
    return 0;
}

/* Adds bytes for which there is room. */
static inline void cam_buffer_put(cam_buffer *buffer, const char *data, size_t size) {
    memcpy(buffer->ptr + buffer->len, data, size);
    buffer->len += size;
}

/* Adds bytes. 0, or -1 with MemoryError. */
static inline int cam_buffer_append(cam_buffer *buffer, const char *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (cam_buffer_reserve(buffer, size) < 0) {
        return -1;
    }
    cam_buffer_put(buffer, data, size);
    return 0;
}

static inline void cam_buffer_free(cam_buffer *buffer) {
    PyMem_Free(buffer->ptr);
    *buffer = (cam_buffer){0};
}

/* Forgets the bytes; keeps the memory if it is no more than `keep`. */
static inline void cam_buffer_reset(cam_buffer *buffer, size_t keep) {
    buffer->len = 0;
    if (buffer->capacity > keep) {
        cam_buffer_free(buffer);
    }
}

#endif
