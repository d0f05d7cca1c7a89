/* SPDX-License-Identifier: MIT */
#include "fastapi/body.h"

#include "compat.h"

/* Whether a Content-Type says JSON as FastAPI reads it: 1, 0, or -1 when it is an odd one. */
static int is_json_type(const char *text, Py_ssize_t len) {
    const char *semicolon = memchr(text, ';', (size_t)len);
    Py_ssize_t end = semicolon ? semicolon - text : len;
    char lower[64];
    for (Py_ssize_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x7f || (unsigned char)text[i] < 0x20) {
            return -1;
        }
    }
    while (end > 0 && text[end - 1] == ' ') {
        end--;
    }
    while (end > 0 && text[0] == ' ') {
        text++;
        end--;
    }
    if (end >= (Py_ssize_t)sizeof lower) {
        return -1;
    }
    int slashes = 0;
    for (Py_ssize_t i = 0; i < end; i++) {
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
        slashes += text[i] == '/';
    }
    static const char main_type[] = "application/";
    Py_ssize_t prefix = sizeof main_type - 1;
    if (slashes != 1 || end < prefix || memcmp(lower, main_type, (size_t)prefix) != 0) {
        return 0;
    }
    const char *subtype = lower + prefix;
    Py_ssize_t rest = end - prefix;
    return (rest == 4 && memcmp(subtype, "json", 4) == 0) ||
           (rest >= 5 && memcmp(subtype + rest - 5, "+json", 5) == 0);
}

/* Whether the body is JSON, by the first Content-Type: 1, 0, or -1 to leave it to FastAPI. */
static int body_is_json(CallObject *call) {
    PyObject *headers = PyDict_GetItemWithError(call->scope, call->state->asgi.str_headers);
    if (headers == NULL || !PyList_CheckExact(headers)) {
        PyErr_Clear();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1))) {
            return -1;
        }
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (PyBytes_GET_SIZE(name) == 12 &&
            memcmp(PyBytes_AS_STRING(name), "content-type", 12) == 0) {
            if (PyBytes_GET_SIZE(value) == 0) {
                break;
            }
            return is_json_type(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
        }
    }
    return !call->plan->strict_content_type;
}

/* json.loads(bytes), by the scanner that it ends in where that is known to be the same. */
static PyObject *load_json(CallObject *call, PyObject *bytes) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    Py_ssize_t len = PyBytes_GET_SIZE(bytes);
    const char *text = PyBytes_AS_STRING(bytes);
    /* UTF-16 and -32 and a byte order mark begin or go on with a NUL or a byte above ASCII. */
    if (len >= 4 && (text[0] == '{' || text[0] == '[') && text[1] != '\0' && text[2] != '\0' &&
        (text[len - 1] == '}' || text[len - 1] == ']')) {
        PyObject *string = PyUnicode_DecodeUTF8(text, len, NULL);
        PyObject *zero = string ? PyLong_FromLong(0) : NULL;
        PyObject *args[] = {string, zero};
        PyObject *both = zero ? PyObject_Vectorcall(c->scan_once, args, 2, NULL) : NULL;
        PyObject *value = NULL;
        if (both != NULL && PyTuple_CheckExact(both) && PyTuple_GET_SIZE(both) == 2 &&
            PyLong_AsSsize_t(PyTuple_GET_ITEM(both, 1)) == PyUnicode_GET_LENGTH(string)) {
            value = Py_NewRef(PyTuple_GET_ITEM(both, 0));
        }
        Py_XDECREF(both);
        Py_XDECREF(zero);
        Py_XDECREF(string);
        if (value != NULL || (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))) {
            return value;
        }
        PyErr_Clear();
    }
    return PyObject_CallOneArg(c->loads, bytes);
}

/* The whole body is there. */
static progress decode_body(CallObject *call) {
    call->stage = CAM_CALL_READY;
    if (!PyBytes_CheckExact(call->body_bytes)) {
        return REPLAY;
    }
    if (PyBytes_GET_SIZE(call->body_bytes) == 0) {
        return GO_ON;
    }
    int json = body_is_json(call);
    if (json < 0) {
        return REPLAY;
    }
    if (json == 0) {
        call->body = Py_NewRef(call->body_bytes);
        return GO_ON;
    }
    call->body = load_json(call, call->body_bytes);
    if (call->body == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return FAILED;
        }
        PyErr_Clear();
        return REPLAY;
    }
    call->body_decoded = true;
    return call->request && PyObject_SetAttr(call->request, call->state->fastapi.str_json_attribute,
                                             call->body) < 0
               ? FAILED
               : GO_ON;
}

static progress receive_more(CallObject *call) {
    call->stage = CAM_CALL_BODY;
    return CamCall_Await(call, PyObject_CallNoArgs(call->receive));
}

/* An event was received. */
progress CamBody_TakeEvent(CallObject *call, PyObject *event) {
    const cam_asgi_constants *asgi = &call->state->asgi;
    if (call->events == NULL && (call->events = PyList_New(0)) == NULL) {
        return FAILED;
    }
    if (PyList_Append(call->events, event) < 0) {
        return FAILED;
    }
    if (!PyDict_CheckExact(event)) {
        return REPLAY;
    }
    PyObject *type = PyDict_GetItemWithError(event, asgi->str_type);
    if (type == NULL || !PyUnicode_Check(type) ||
        PyUnicode_Compare(type, asgi->str_http_request) != 0) {
        PyErr_Clear();
        return REPLAY; /* the peer has gone, above all */
    }
    /* First, as it may be anything's truth, which may change the event. */
    PyObject *more = Py_XNewRef(PyDict_GetItemWithError(event, asgi->str_more_body));
    int goes_on = more ? PyObject_IsTrue(more) : 0;
    Py_XDECREF(more);
    PyObject *piece = goes_on < 0 ? NULL : PyDict_GetItemWithError(event, asgi->str_body);
    if (goes_on < 0 || PyErr_Occurred() || (piece != NULL && !PyBytes_CheckExact(piece))) {
        PyErr_Clear();
        return REPLAY;
    }
    if (call->body_bytes == NULL) {
        call->body_bytes = piece ? Py_NewRef(piece) : PyBytes_FromStringAndSize(NULL, 0);
    } else if (piece != NULL) {
        PyBytes_Concat(&call->body_bytes, piece);
    }
    if (call->body_bytes == NULL) {
        return FAILED;
    }
    int64_t limit = call->plan->max_body_size;
    if (limit >= 0 && PyBytes_GET_SIZE(call->body_bytes) > limit) {
        return REPLAY;
    }
    return goes_on ? receive_more(call) : decode_body(call);
}

progress CamBody_TakeBytes(CallObject *call, PyObject *bytes) {
    Py_XSETREF(call->body_bytes, Py_NewRef(bytes));
    return decode_body(call);
}

progress CamBody_TakeForm(CallObject *call, PyObject *form) {
    Py_XSETREF(call->body, Py_NewRef(form));
    call->stage = CAM_CALL_READY;
    return GO_ON;
}

progress CamBody_Begin(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    if (call->request == NULL) {
        return receive_more(call);
    }
    if (call->plan->reads_form) {
        PyObject *args[] = {call->plan->source, call->request};
        call->stage = CAM_CALL_FORM;
        return CamCall_Await(call, PyObject_Vectorcall(c->read_form, args, 2, NULL));
    }
    call->stage = CAM_CALL_WHOLE_BODY;
    return CamCall_Await(call, PyObject_CallMethodNoArgs(call->request, c->str_body));
}

/* FastAPI reads once more, and is told the same. */
progress CamBody_Failed(CallObject *call) {
    bool reading = call->stage == CAM_CALL_BODY || call->stage == CAM_CALL_WHOLE_BODY ||
                   call->stage == CAM_CALL_FORM;
    if (!reading || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return FAILED;
    }
    PyObject *exception = PyErr_GetRaisedException();
    if (call->request != NULL) {
        Py_XSETREF(call->unread, exception);
        return REPLAY;
    }
    call->events = call->events ? call->events : PyList_New(0);
    int kept = call->events ? PyList_Append(call->events, exception) : -1;
    Py_DECREF(exception);
    return kept < 0 ? FAILED : REPLAY;
}
