/* SPDX-License-Identifier: MIT */
/* parse_url(), and the URL it gives. */
#include <stddef.h>

#include "http/http.h"
#include "http/url.h"

/* httptools' limit, for the same answer to the same URL. */
#define MAX_URL_BYTES 65535

typedef struct UrlObject {
    PyObject_HEAD
    PyObject *schema; /* bytes or None, as the others but port, which is an int or None */
    PyObject *host;
    PyObject *port;
    PyObject *path;
    PyObject *query;
    PyObject *fragment;
    PyObject *userinfo;
} UrlObject;

static void url_dealloc(PyObject *self) {
    UrlObject *url = (UrlObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(url->schema);
    Py_XDECREF(url->host);
    Py_XDECREF(url->port);
    Py_XDECREF(url->path);
    Py_XDECREF(url->query);
    Py_XDECREF(url->fragment);
    Py_XDECREF(url->userinfo);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *url_repr(PyObject *self) {
    UrlObject *url = (UrlObject *)self;
    return PyUnicode_FromFormat("<URL schema: %R, host: %R, port: %R, path: %R, query: %R, "
                                "fragment: %R, userinfo: %R>",
                                url->schema, url->host, url->port, url->path, url->query,
                                url->fragment, url->userinfo);
}

/* Bytes, or None for an empty slice. New reference. */
static PyObject *bytes_or_none(cam_slice slice) {
    if (slice.len == 0) {
        return Py_NewRef(Py_None);
    }
    return PyBytes_FromStringAndSize(slice.ptr, (Py_ssize_t)slice.len);
}

static PyObject *new_url(cam_state *state, const cam_url *parts) {
    PyTypeObject *type = (PyTypeObject *)state->http.url_type;
    UrlObject *url = (UrlObject *)type->tp_alloc(type, 0);
    if (url == NULL) {
        return NULL;
    }
    if ((url->schema = bytes_or_none(parts->scheme)) == NULL ||
        (url->host = bytes_or_none(parts->host)) == NULL ||
        (url->port = parts->port < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(parts->port)) == NULL ||
        (url->path = bytes_or_none(parts->path)) == NULL ||
        (url->query = bytes_or_none(parts->query)) == NULL ||
        (url->fragment = bytes_or_none(parts->fragment)) == NULL ||
        (url->userinfo = bytes_or_none(parts->userinfo)) == NULL) {
        Py_DECREF(url);
        return NULL;
    }
    return (PyObject *)url;
}

PyDoc_STRVAR(
    parse_url_doc,
    "parse_url($module, url, /)\n--\n\n"
    "The parts of a URL or request target, up to 65,535 bytes, as a URL (RFC 3986 section 3).\n"
    "\n"
    "Raises HttpParserInvalidURLError for what is none. As httptools' function; differently,\n"
    "the host is checked by RFC 3986: an IPv6 address has to be one and has no zone, and a\n"
    "name may hold '_', '~' and percent-encoded bytes.");

static PyObject *parse_url(PyObject *module, PyObject *argument) {
    cam_state *state = PyModule_GetState(module);
    Py_buffer view;
    if (PyObject_GetBuffer(argument, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    cam_url parts;
    if (view.len > MAX_URL_BYTES) {
        PyErr_Format(state->http.invalid_url_error,
                     "url is too long: its length of %zd bytes exceeds the maximum of %d bytes",
                     view.len, MAX_URL_BYTES);
    } else if (!cam_url_parse(&parts, view.buf, (size_t)view.len)) {
        PyErr_Format(state->http.invalid_url_error, "invalid url %R", argument);
    } else {
        result = new_url(state, &parts);
    }
    PyBuffer_Release(&view);
    return result;
}

/* Attributes are read by offset; there is nothing to set them by. */
static PyObject *url_get(PyObject *self, void *closure) {
    PyObject *const *slot = (PyObject *const *)(void *)((char *)self + (uintptr_t)closure);
    return Py_NewRef(*slot);
}

#define ATTRIBUTE(name, text)                                                                      \
    {#name, url_get, NULL, PyDoc_STR(text), (void *)(uintptr_t)offsetof(UrlObject, name)}

static PyGetSetDef url_attributes[] = {
    ATTRIBUTE(schema, "The scheme, or None."),
    ATTRIBUTE(host, "The host without brackets, or None."),
    ATTRIBUTE(port, "The port as an int, or None."),
    ATTRIBUTE(path, "The path, percent-encoded, or None."),
    ATTRIBUTE(query, "What follows '?', or None."),
    ATTRIBUTE(fragment, "What follows '#', or None."),
    ATTRIBUTE(userinfo, "What comes before '@', or None."),
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(url_doc, "The parts of a URL; made by parse_url().");

static PyType_Slot url_slots[] = {
    {Py_tp_doc, (void *)url_doc},
    {Py_tp_dealloc, url_dealloc},
    {Py_tp_repr, url_repr},
    {Py_tp_getset, url_attributes},
    {0, NULL},
};

/* It holds bytes and numbers alone, so no cycle can go through it. */
static PyType_Spec url_spec = {
    .name = "camshaft._core.URL",
    .basicsize = sizeof(UrlObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = url_slots,
};

static PyMethodDef url_functions[] = {
    {"parse_url", parse_url, METH_O, parse_url_doc},
    {NULL, NULL, 0, NULL},
};

int cam_http_url_exec(PyObject *module, cam_state *state) {
    if (CamState_AddType(module, &url_spec, NULL, 1, &state->http.url_type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, url_functions);
}
