/* SPDX-License-Identifier: MIT */
#include "fastapi/answer.h"

#include "asgi/buffer.h"

#include "compat.h"

/* ---- the model ---- */

/* The content did not pass the model, by the exception that is set: -1 with FastAPI's. */
static int refuse_content(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    if (!PyErr_ExceptionMatches(c->validation_error)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *args[] = {exception, call->plan->source, call->scope, call->content};
    PyObject *error = PyObject_Vectorcall(c->invalid_response, args, 4, NULL);
    Py_DECREF(exception);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return -1;
}

int CamAnswer_Serialize(CallObject *call, bool validated) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    const cam_answer_plan *answer = &call->plan->answer;
    if (!validated) {
        PyObject *args[] = {NULL, call->content, Py_True};
        PyObject *valid = PyObject_Vectorcall(
            answer->validate, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, c->kw_from_attributes);
        if (valid == NULL) {
            return refuse_content(call);
        }
        Py_SETREF(call->content, valid);
    }
    /* The options are the plan's; their first place is for the value, and is ours as long as
     * nothing else of this thread serialises, which a serialiser in Python may. So it is a copy. */
    Py_ssize_t count = PyTuple_GET_SIZE(answer->names) + 1;
    PyObject *stack[16];
    if (count > (Py_ssize_t)(sizeof stack / sizeof stack[0])) {
        PyErr_SetString(PyExc_ValueError, "an answer has too many options");
        return -1;
    }
    memcpy(stack, answer->options, (size_t)count * sizeof(PyObject *));
    PyObject *content = stack[0] = Py_NewRef(call->content);
    PyObject *serialized = PyObject_Vectorcall(answer->serialize, stack, 1, answer->names);
    Py_DECREF(content);
    if (serialized == NULL) {
        return -1;
    }
    Py_SETREF(call->content, serialized);
    return 0;
}

/* ---- JSON ---- */

/* As json.dumps(ensure_ascii=False, allow_nan=False, separators=(",", ":")) writes it. Each: 1, 0
 * if Python must be asked, -1 with an exception. */

enum { DEPTH = 64 };

static int write_value(cam_buffer *out, PyObject *value, bool encode, int depth);

static int put(cam_buffer *out, const char *text, size_t len) {
    return cam_buffer_append(out, text, len) < 0 ? -1 : 1;
}

static int write_escaped(cam_buffer *out, const char *text, size_t len) {
    static const char digits[] = "0123456789abcdef";
    if (put(out, "\"", 1) < 0) {
        return -1;
    }
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch >= 0x20 && ch != '"' && ch != '\\') {
            continue;
        }
        char escape[6] = {'\\', (char)ch};
        size_t size = 2;
        switch (ch) {
        case '"':
        case '\\':
            break;
        case '\n':
            escape[1] = 'n';
            break;
        case '\r':
            escape[1] = 'r';
            break;
        case '\t':
            escape[1] = 't';
            break;
        case '\f':
            escape[1] = 'f';
            break;
        case '\b':
            escape[1] = 'b';
            break;
        default:
            memcpy(escape, "\\u00", 4);
            escape[4] = digits[ch >> 4];
            escape[5] = digits[ch & 15];
            size = 6;
        }
        if (put(out, text + from, i - from) < 0 || put(out, escape, size) < 0) {
            return -1;
        }
        from = i + 1;
    }
    return put(out, text + from, len - from) < 0 ? -1 : put(out, "\"", 1);
}

static int write_string(cam_buffer *out, PyObject *value) {
    if (PyUnicode_IS_COMPACT_ASCII(value)) {
        return write_escaped(out, (const char *)PyUnicode_1BYTE_DATA(value),
                             (size_t)PyUnicode_GET_LENGTH(value));
    }
    PyObject *utf8 = PyUnicode_AsUTF8String(value);
    if (utf8 == NULL) { /* a lone surrogate: Python says what it thinks of it */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int status = write_escaped(out, PyBytes_AS_STRING(utf8), (size_t)PyBytes_GET_SIZE(utf8));
    Py_DECREF(utf8);
    return status;
}

static int write_long(cam_buffer *out, PyObject *value) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) {
        return 0;
    }
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    char digits[24], *at = digits + sizeof digits;
    unsigned long long rest =
        number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        *--at = '-';
    }
    return put(out, at, (size_t)(digits + sizeof digits - at));
}

static int write_float(cam_buffer *out, double value) {
    if (!isfinite(value)) {
        return 0;
    }
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (text == NULL) {
        return -1;
    }
    int status = put(out, text, strlen(text));
    PyMem_Free(text);
    return status;
}

/* SQLAlchemy's own attributes are left out by jsonable_encoder(). */
static bool is_sqlalchemys(PyObject *key) {
    return PyUnicode_GET_LENGTH(key) >= 3 && PyUnicode_READ_CHAR(key, 0) == '_' &&
           PyUnicode_READ_CHAR(key, 1) == 's' && PyUnicode_READ_CHAR(key, 2) == 'a';
}

static int write_dict(cam_buffer *out, PyObject *dict, bool encode, int depth) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    bool first = true;
    int status = put(out, "{", 1);
    while (status > 0 && PyDict_Next(dict, &position, &key, &value)) {
        if (!PyUnicode_CheckExact(key)) {
            return 0;
        }
        if (encode && is_sqlalchemys(key)) {
            continue;
        }
        status = first ? 1 : put(out, ",", 1);
        status = status > 0 ? write_string(out, key) : status;
        status = status > 0 ? put(out, ":", 1) : status;
        status = status > 0 ? write_value(out, value, encode, depth) : status;
        first = false;
    }
    return status > 0 ? put(out, "}", 1) : status;
}

static int write_items(cam_buffer *out, PyObject *const *items, Py_ssize_t count, bool encode,
                       int depth) {
    int status = put(out, "[", 1);
    for (Py_ssize_t i = 0; status > 0 && i < count; i++) {
        status = i == 0 ? 1 : put(out, ",", 1);
        status = status > 0 ? write_value(out, items[i], encode, depth) : status;
    }
    return status > 0 ? put(out, "]", 1) : status;
}

/* Only exact builtin types: nothing of the user's runs, so nothing changes meanwhile. */
static int write_value(cam_buffer *out, PyObject *value, bool encode, int depth) {
    if (PyUnicode_CheckExact(value)) {
        return write_string(out, value);
    }
    if (value == Py_None) {
        return put(out, "null", 4);
    }
    if (value == Py_True) {
        return put(out, "true", 4);
    }
    if (value == Py_False) {
        return put(out, "false", 5);
    }
    if (PyLong_CheckExact(value)) {
        return write_long(out, value);
    }
    if (PyFloat_CheckExact(value)) {
        return write_float(out, PyFloat_AS_DOUBLE(value));
    }
    if (depth == DEPTH) { /* it may hold itself */
        return 0;
    }
    if (PyDict_CheckExact(value)) {
        return write_dict(out, value, encode, depth + 1);
    }
    if (PyList_CheckExact(value)) {
        return write_items(out, ((PyListObject *)value)->ob_item, PyList_GET_SIZE(value), encode,
                           depth + 1);
    }
    if (PyTuple_CheckExact(value)) {
        return write_items(out, ((PyTupleObject *)value)->ob_item, PyTuple_GET_SIZE(value), encode,
                           depth + 1);
    }
    return 0;
}

PyObject *CamAnswer_Json(PyObject *content, bool encode) {
    cam_buffer out = {0};
    int status = write_value(&out, content, encode, 0);
    PyObject *bytes = status > 0 ? PyBytes_FromStringAndSize(out.ptr, (Py_ssize_t)out.len) : NULL;
    cam_buffer_free(&out);
    return bytes;
}

/* ---- events ---- */

static PyObject *header(PyObject *name, PyObject *value) {
    PyObject *pair = value ? PyTuple_Pack(2, name, value) : NULL;
    Py_XDECREF(value);
    return pair;
}

PyObject *CamAnswer_JsonHeaders(CallObject *call, PyObject *body) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    PyObject *headers = PyList_New(2);
    PyObject *length =
        headers ? header(c->name_content_length, PyBytes_FromFormat("%zd", PyBytes_GET_SIZE(body)))
                : NULL;
    PyObject *type = length ? header(c->name_content_type, Py_NewRef(c->media_json)) : NULL;
    if (type == NULL) {
        Py_XDECREF(length);
        Py_XDECREF(headers);
        return NULL;
    }
    PyList_SET_ITEM(headers, 0, length);
    PyList_SET_ITEM(headers, 1, type);
    return headers;
}

PyObject *CamAnswer_StartEvent(CallObject *call, PyObject *status, PyObject *headers) {
    const cam_asgi_constants *asgi = &call->state->asgi;
    PyObject *event = PyDict_New();
    if (event != NULL && (PyDict_SetItem(event, asgi->str_type, asgi->str_response_start) < 0 ||
                          PyDict_SetItem(event, asgi->str_status, status) < 0 ||
                          PyDict_SetItem(event, asgi->str_headers, headers) < 0)) {
        Py_CLEAR(event);
    }
    return event;
}

PyObject *CamAnswer_BodyEvent(CallObject *call, PyObject *body) {
    const cam_asgi_constants *asgi = &call->state->asgi;
    PyObject *event = PyDict_New();
    if (event != NULL && (PyDict_SetItem(event, asgi->str_type, asgi->str_response_body) < 0 ||
                          PyDict_SetItem(event, asgi->str_body, body) < 0)) {
        Py_CLEAR(event);
    }
    return event;
}
