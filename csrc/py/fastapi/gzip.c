/* SPDX-License-Identifier: MIT */
/* GZipMiddleware, for answers that are whole. What is long enough to be compressed in a thread is
 * left to it. */
#include "fastapi/header_list.h"
#include "fastapi/middleware.h"

/* Whether the media type is one of those that are not compressed: 1, 0, or -1 where it is not
 * plain text. `type` is a Content-Type, or NULL. */
static int is_excluded(const cam_gzip *gzip, PyObject *type) {
    const char *text = type ? PyBytes_AS_STRING(type) : "";
    Py_ssize_t len = type ? PyBytes_GET_SIZE(type) : 0;
    const char *semicolon = memchr(text, ';', (size_t)len);
    len = semicolon ? semicolon - text : len;
    char lower[128] = "";
    while (len > 0 && Py_UNICODE_ISSPACE((Py_UCS4)(unsigned char)text[len - 1])) {
        len--;
    }
    while (len > 0 && Py_UNICODE_ISSPACE((Py_UCS4)(unsigned char)text[0])) {
        text++;
        len--;
    }
    if (len > (Py_ssize_t)sizeof lower) {
        return -1;
    }
    Py_ssize_t slash = len;
    for (Py_ssize_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return -1;
        }
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
        slash = lower[i] == '/' && slash == len ? i : slash;
    }
    static const char grpc[] = "application/grpc";
    bool is_grpc = len > 16 && memcmp(lower, "application/grpc+", 17) == 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(gzip->excluded); i++) {
        PyObject *item = PyTuple_GET_ITEM(gzip->excluded, i);
        const char *excluded = PyBytes_AS_STRING(item);
        Py_ssize_t size = PyBytes_GET_SIZE(item);
        bool same = size == len && memcmp(excluded, lower, (size_t)len) == 0;
        bool main_type = size == slash + 2 && memcmp(excluded + slash, "/*", 2) == 0 &&
                         memcmp(excluded, lower, (size_t)slash) == 0;
        if (same || main_type || (is_grpc && CAM_BYTES_ARE(item, grpc))) {
            return 1;
        }
    }
    return 0;
}

/* The body in gzip, by the very calls that GZipMiddleware makes, as the bytes are zlib's. New
 * reference; NULL with an exception. */
static PyObject *compress(cam_state *state, const cam_gzip *gzip, PyObject *body) {
    const cam_fastapi_constants *c = &state->fastapi;
    PyObject *args[] = {gzip->level, c->zlib_deflated, c->zlib_gzip_bits};
    PyObject *compressor = PyObject_Vectorcall(c->compressobj, args, 3, NULL);
    PyObject *first =
        compressor ? PyObject_CallMethodOneArg(compressor, state->asgi.str_compress, body) : NULL;
    PyObject *last = first ? PyObject_CallMethodNoArgs(compressor, state->asgi.str_flush) : NULL;
    Py_XDECREF(compressor);
    if (last == NULL) {
        Py_CLEAR(first);
    } else if (PyBytes_CheckExact(first) && PyBytes_CheckExact(last)) {
        PyBytes_Concat(&first, last);
    } else {
        PyErr_SetString(PyExc_TypeError, "zlib must give bytes");
        Py_CLEAR(first);
    }
    Py_XDECREF(last);
    return first;
}

int CamGzip_Answer(cam_state *state, const cam_gzip *gzip, bool accepted, int status,
                   PyObject *headers, PyObject **body) {
    const cam_fastapi_constants *c = &state->fastapi;
    Py_ssize_t size = PyBytes_GET_SIZE(*body);
    if (size < gzip->minimum_size || status == 206 ||
        CamHeaderList_Get(headers, c->name_content_encoding) != NULL) {
        return 1;
    }
    int excluded = is_excluded(gzip, CamHeaderList_Get(headers, c->name_content_type));
    if (excluded != 0) {
        return excluded > 0 ? 1 : 0;
    }
    if (!accepted) {
        return CamHeaderList_AddVary(headers, c->field_vary_encoding) < 0 ? -1 : 1;
    }
    if (size >= gzip->thread_minimum_size) {
        return 0;
    }
    PyObject *packed = compress(state, gzip, *body);
    if (packed == NULL || CamHeaderList_AddVary(headers, c->field_vary_encoding) < 0 ||
        CamHeaderList_Set(headers, c->field_gzip) < 0 ||
        CamHeaderList_SetValue(headers, c->name_content_length,
                               PyBytes_FromFormat("%zd", PyBytes_GET_SIZE(packed))) < 0) {
        Py_XDECREF(packed);
        return -1;
    }
    Py_SETREF(*body, packed);
    return 1;
}
