/* SPDX-License-Identifier: MIT */
/* What camshaft.http adds to the module and to its state. */
#include "http/http.h"

#include "http/chars.h"

/* The name with a capital letter at the beginning of each word. New reference. */
static PyObject *capitalized(cam_slice name) {
    PyObject *bytes = PyBytes_FromStringAndSize(name.ptr, (Py_ssize_t)name.len);
    if (bytes == NULL) {
        return NULL;
    }
    char *text = PyBytes_AS_STRING(bytes);
    for (size_t i = 0; i < name.len; i++) {
        bool first = i == 0 || text[i - 1] == '-';
        if (first && text[i] >= 'a' && text[i] <= 'z') {
            text[i] = (char)(text[i] - 'a' + 'A');
        }
    }
    return bytes;
}

static int fill_constants(cam_http_constants *constants) {
#define X(identifier, text)                                                                        \
    if ((constants->callback_names[CAM_HTTP_ON_##identifier] =                                     \
             PyUnicode_InternFromString(text)) == NULL) {                                          \
        return -1;                                                                                 \
    }
    CAM_HTTP_CALLBACKS(X)
#undef X
    for (unsigned id = 0; id < CAM_H1_METHOD_COUNT; id++) {
        cam_slice text = cam_h1_method_text(id);
        constants->methods[id] = PyBytes_FromStringAndSize(text.ptr, (Py_ssize_t)text.len);
        if (constants->methods[id] == NULL) {
            return -1;
        }
    }
    for (unsigned id = 1; id < CAM_H1_NAME_COUNT; id++) {
        constants->header_names[id] = capitalized(cam_h1_name_text(id));
        if (constants->header_names[id] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Makes an exception of httptools' name, stores it in *slot and adds it to the module. */
static int add_exception(PyObject *module, const char *name, const char *doc, PyObject *base,
                         PyObject **slot) {
    *slot = PyErr_NewExceptionWithDoc(name, doc, base, NULL);
    return *slot == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)*slot);
}

static int add_exceptions(PyObject *module, cam_http_constants *constants) {
    if (add_exception(module, "camshaft.http.HttpParserError",
                      "What was fed is not HTTP/1.1; every later feed_data() raises it again.",
                      PyExc_Exception, &constants->error) < 0 ||
        add_exception(module, "camshaft.http.HttpParserCallbackError",
                      "A callback raised an exception, which is this one's context.",
                      constants->error, &constants->callback_error) < 0 ||
        add_exception(module, "camshaft.http.HttpParserInvalidStatusError",
                      "The status of a response is not three digits.", constants->error,
                      &constants->invalid_status_error) < 0 ||
        add_exception(module, "camshaft.http.HttpParserInvalidMethodError",
                      "The method of a request is none.", constants->error,
                      &constants->invalid_method_error) < 0 ||
        add_exception(module, "camshaft.http.HttpParserInvalidURLError",
                      "A URL or request target is malformed or too long.", constants->error,
                      &constants->invalid_url_error) < 0 ||
        add_exception(module, "camshaft.http.HttpParserUpgrade",
                      "No error: from args[0] on, what was fed is of another protocol.",
                      PyExc_Exception, &constants->upgrade) < 0) {
        return -1;
    }
    return 0;
}

int cam_http_exec(PyObject *module, cam_state *state) {
    if (fill_constants(&state->http) < 0 || add_exceptions(module, &state->http) < 0 ||
        cam_http_parser_exec(module, state) < 0 || cam_http_url_exec(module, state) < 0) {
        return -1;
    }
    return 0;
}

int cam_http_traverse(cam_state *state, visitproc visit, void *arg) {
#define X(name) Py_VISIT(state->http.name);
    CAM_HTTP_OBJECTS(X)
#undef X
    return 0;
}

void cam_http_free(cam_state *state) {
    cam_http_constants *constants = &state->http;
#define X(name) Py_CLEAR(constants->name);
    CAM_HTTP_OBJECTS(X)
#undef X
    for (unsigned id = 0; id < CAM_HTTP_CALLBACK_COUNT; id++) {
        Py_CLEAR(constants->callback_names[id]);
    }
    for (unsigned id = 0; id < CAM_H1_METHOD_COUNT; id++) {
        Py_CLEAR(constants->methods[id]);
    }
    for (unsigned id = 1; id < CAM_H1_NAME_COUNT; id++) {
        Py_CLEAR(constants->header_names[id]);
    }
}
