/* SPDX-License-Identifier: MIT */
/* The arguments that come from the request: found, validated, or missing. */
#include "fastapi/call.h"

#include "http/chars.h"

#include "compat.h"

/* Beyond these the query is left to Starlette's parser, which does not look at it anew for every
 * parameter. */
enum { QUERY_LIMIT = 4096 };

/* ---- finding ---- */

/* Starlette's mapping of a source. Runs user code. Borrowed; NULL with an exception. */
static PyObject *mapping(CallObject *call, cam_source source) {
    if (source == CAM_SOURCE_PATH) {
        return call->path_params;
    }
    if (call->received[source] == NULL) {
        PyObject *number = PyLong_FromLong(source);
        PyObject *args[] = {call->scope, call->request ? call->request : Py_None, number};
        PyObject *found =
            number ? PyObject_Vectorcall(call->state->fastapi.received, args, 3, NULL) : NULL;
        Py_XDECREF(number);
        Py_XSETREF(call->received[source], found);
    }
    return call->received[source];
}

/* Decodes a name or value of a query as urllib.parse.parse_qsl does. New reference. */
static PyObject *decode_query(const char *text, size_t len) {
    if (memchr(text, '%', len) == NULL && memchr(text, '+', len) == NULL) {
        return PyUnicode_DecodeASCII(text, (Py_ssize_t)len, NULL);
    }
    char *decoded = PyMem_Malloc(len);
    if (decoded == NULL) {
        return PyErr_NoMemory();
    }
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        char ch = text[i];
        if (ch == '+') {
            ch = ' ';
        } else if (ch == '%' && len - i > 2 && cam_char_is(text[i + 1], CAM_CHAR_HEX) &&
                   cam_char_is(text[i + 2], CAM_CHAR_HEX)) {
            ch = (char)(cam_char_hex(text[i + 1]) << 4 | cam_char_hex(text[i + 2]));
            i += 2;
        }
        decoded[count++] = ch;
    }
    PyObject *string = PyUnicode_DecodeUTF8(decoded, (Py_ssize_t)count, "replace");
    PyMem_Free(decoded);
    return string;
}

/* Whether a name of the query is the key: 1, 0, or -1 with an exception. */
static int names_key(const char *name, size_t len, PyObject *key, const char *utf8,
                     Py_ssize_t utf8_len) {
    if (memchr(name, '%', len) == NULL && memchr(name, '+', len) == NULL) {
        return len == (size_t)utf8_len && memcmp(name, utf8, len) == 0;
    }
    PyObject *decoded = decode_query(name, len);
    if (decoded == NULL) {
        return -1;
    }
    int order = PyUnicode_Compare(decoded, key);
    Py_DECREF(decoded);
    return order == -1 && PyErr_Occurred() ? -1 : order == 0;
}

/* The last value of the key in the query, or a list of all: *value is a new reference, or NULL if
 * it is not there. 0, or -1 with an exception. Whoever calls owns the query: to make a list may run
 * the collector (Python 3.11), and that user code. */
static int find_in_query(PyObject *query, PyObject *key, bool all, PyObject **value) {
    const char *at = PyBytes_AS_STRING(query), *end = at + PyBytes_GET_SIZE(query);
    Py_ssize_t key_len;
    const char *key_text = PyUnicode_AsUTF8AndSize(key, &key_len);
    *value = NULL;
    if (key_text == NULL) {
        return -1;
    }
    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        size_t name_len = (size_t)((equals ? equals : stop) - at);
        int same = stop == at ? 0 : names_key(at, name_len, key, key_text, key_len);
        if (same > 0) {
            const char *text = equals ? equals + 1 : stop;
            PyObject *one = decode_query(text, (size_t)(stop - text));
            if (one != NULL && all && *value == NULL) {
                *value = PyList_New(0);
            }
            if (one == NULL || (all && (*value == NULL || PyList_Append(*value, one) < 0))) {
                Py_XDECREF(one);
                same = -1;
            } else if (all) {
                Py_DECREF(one);
            } else {
                Py_XSETREF(*value, one);
            }
        }
        if (same < 0) {
            Py_CLEAR(*value);
            return -1;
        }
        at = stop + 1;
    }
    return 0;
}

/* The same for a header, of which the first counts. 1 instead if that is for Starlette to say.
 * Fields are looked at anew after each list or item that was made. */
static int find_in_headers(PyObject *headers, PyObject *key, bool all, PyObject **value) {
    *value = NULL;
    if (!PyList_CheckExact(headers) || !PyUnicode_IS_ASCII(key)) {
        return 1;
    }
    const char *name = (const char *)PyUnicode_1BYTE_DATA(key);
    Py_ssize_t len = PyUnicode_GET_LENGTH(key);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1))) {
            Py_CLEAR(*value);
            return 1;
        }
        PyObject *field = PyTuple_GET_ITEM(pair, 0), *text = PyTuple_GET_ITEM(pair, 1);
        if (PyBytes_GET_SIZE(field) != len || memcmp(PyBytes_AS_STRING(field), name, (size_t)len)) {
            continue;
        }
        PyObject *one =
            PyUnicode_DecodeLatin1(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL);
        if (!all) {
            *value = one;
            return one ? 0 : -1;
        }
        if (*value == NULL) {
            *value = PyList_New(0);
        }
        int appended = one && *value ? PyList_Append(*value, one) : -1;
        Py_XDECREF(one);
        if (appended < 0) {
            Py_CLEAR(*value);
            return -1;
        }
    }
    return 0;
}

/* As FastAPI's _get_multidict_value() for one key, by Starlette's mapping. */
static int find_in_mapping(CallObject *call, const cam_parameter *parameter, PyObject *key,
                           PyObject **value) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    *value = NULL;
    PyObject *from = mapping(call, (cam_source)parameter->source);
    if (from == NULL) {
        return -1;
    }
    if (PyDict_CheckExact(from)) {
        PyObject *found = PyDict_GetItemWithError(from, key);
        *value = Py_XNewRef(found == Py_None ? NULL : found);
        return *value == NULL && PyErr_Occurred() ? -1 : 0;
    }
    bool all = parameter->sequence;
    PyObject *found = PyObject_CallMethodOneArg(from, all ? c->str_getlist : c->str_get, key);
    if (found == NULL) {
        return -1;
    }
    Py_ssize_t size = all ? PyObject_Size(found) : 1;
    if (found == Py_None || size <= 0) {
        Py_DECREF(found);
        return size < 0 ? -1 : 0;
    }
    *value = found;
    return 0;
}

/* Whether a query is plain enough for find_in_query(). */
static bool is_plain_query(PyObject *query) {
    if (!PyBytes_CheckExact(query) || PyBytes_GET_SIZE(query) > QUERY_LIMIT) {
        return false;
    }
    bool ascii = true;
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(query); i++) {
        ascii &= ((unsigned char)PyBytes_AS_STRING(query)[i] & 0x80) == 0;
    }
    return ascii;
}

/* The same in the scope as it came: 1 instead if that is for Starlette to say. */
static int find_in_scope(CallObject *call, const cam_parameter *parameter, PyObject *key,
                         PyObject **value) {
    const cam_asgi_constants *asgi = &call->state->asgi;
    bool in_query = parameter->source == CAM_SOURCE_QUERY;
    if ((!in_query && parameter->source != CAM_SOURCE_HEADER) ||
        (in_query && call->received[CAM_SOURCE_QUERY] != NULL)) {
        return 1;
    }
    PyObject *from =
        PyDict_GetItemWithError(call->scope, in_query ? asgi->str_query_string : asgi->str_headers);
    if (from == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    Py_INCREF(from); /* the scope is not ours alone */
    int found = 1;
    if (!in_query) {
        found = find_in_headers(from, key, parameter->sequence, value);
    } else if (is_plain_query(from)) {
        found = find_in_query(from, key, parameter->sequence, value);
    }
    Py_DECREF(from);
    return found;
}

static int find(CallObject *call, const cam_parameter *parameter, PyObject *key, PyObject **value) {
    int found = find_in_scope(call, parameter, key, value);
    return found <= 0 ? found : find_in_mapping(call, parameter, key, value);
}

/* ---- validating ---- */

/* Adds to call->errors what helper(a, b, c) returns, a list or one error. */
static cam_filled add_errors(CallObject *call, PyObject *errors) {
    if (errors == NULL) {
        return CAM_FILL_RAISED;
    }
    if (call->errors == NULL) {
        call->errors = PyList_New(0);
    }
    int status = -1;
    if (call->errors != NULL) {
        Py_ssize_t end = PyList_GET_SIZE(call->errors);
        status = PyList_Check(errors) ? PyList_SetSlice(call->errors, end, end, errors)
                                      : PyList_Append(call->errors, errors);
    }
    Py_DECREF(errors);
    return status < 0 ? CAM_FILL_RAISED : CAM_FILLED_WITH_ERRORS;
}

static cam_filled missing(CallObject *call, PyObject *location, bool collect) {
    return collect
               ? add_errors(call, PyObject_CallOneArg(call->state->fastapi.missing_error, location))
               : CAM_FILLED_WITH_ERRORS;
}

/* The validator has raised what is set. */
static cam_filled refused(CallObject *call, PyObject *location, bool collect) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    if (!PyErr_ExceptionMatches(c->validation_error)) {
        return CAM_FILL_RAISED;
    }
    PyObject *exception = PyErr_GetRaisedException();
    cam_filled filled = CAM_FILLED_WITH_ERRORS;
    if (collect) {
        PyObject *args[] = {exception, location};
        filled = add_errors(call, PyObject_Vectorcall(c->field_errors, args, 2, NULL));
    }
    Py_DECREF(exception);
    return filled;
}

/* (source's name or "body", key): where an error is. New reference. */
static PyObject *location_of(const char *source, PyObject *key) {
    return key ? Py_BuildValue("(sO)", source, key) : Py_BuildValue("(s)", source);
}

/* Puts the validated `value` (NULL: it is missing; stolen) in *place. */
static cam_filled validate(CallObject *call, const cam_field *field, PyObject *value,
                           const char *source, PyObject *key, bool collect, PyObject **place) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    bool given = value != NULL;
    if (!given && !field->required) {
        if (field->default_factory != NULL) {
            value = PyObject_CallNoArgs(field->default_factory);
        } else {
            value = Py_NewRef(field->default_value);
        }
        /* FastAPI copies what a factory makes, too. */
        if (value != NULL && (field->default_factory != NULL || !field->shared_default)) {
            Py_SETREF(value, PyObject_CallOneArg(c->deepcopy, value));
        }
        if (value == NULL) {
            return CAM_FILL_RAISED;
        }
    }
    if (value != NULL && (given || field->validate_default)) {
        PyObject *args[] = {NULL, value, Py_True};
        PyObject *valid = PyObject_Vectorcall(
            field->validate, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, c->kw_from_attributes);
        Py_DECREF(value);
        value = valid;
    } else if (value != NULL) {
        Py_XSETREF(*place, value);
        return CAM_FILLED;
    }
    if (value != NULL) {
        Py_XSETREF(*place, value);
        return CAM_FILLED;
    }
    bool raised = PyErr_Occurred() != NULL;
    if (!collect) {
        return raised ? refused(call, NULL, false) : CAM_FILLED_WITH_ERRORS;
    }
    PyObject *exception = raised ? PyErr_GetRaisedException() : NULL;
    PyObject *location = location_of(source, key);
    cam_filled filled = CAM_FILL_RAISED;
    if (location == NULL) {
        Py_XDECREF(exception);
    } else if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        filled = refused(call, location, true);
    } else {
        filled = missing(call, location, true);
    }
    Py_XDECREF(location);
    return filled;
}

/* A parameter that takes more than its own keys: FastAPI's function gives (value, errors). */
static cam_filled extract(CallObject *call, const cam_parameter *parameter, bool collect,
                          PyObject **place) {
    PyObject *from = mapping(call, (cam_source)parameter->source);
    PyObject *both = from ? PyObject_CallOneArg(parameter->extract, from) : NULL;
    if (both == NULL) {
        return CAM_FILL_RAISED;
    }
    if (!PyTuple_Check(both) || PyTuple_GET_SIZE(both) != 2) {
        Py_DECREF(both);
        PyErr_SetString(PyExc_TypeError, "extract() must give (value, errors)");
        return CAM_FILL_RAISED;
    }
    PyObject *errors = PyTuple_GET_ITEM(both, 1);
    int any = PyObject_IsTrue(errors);
    cam_filled filled = CAM_FILLED;
    if (any > 0) {
        filled = collect ? add_errors(call, Py_NewRef(errors)) : CAM_FILLED_WITH_ERRORS;
    } else if (any == 0) {
        Py_XSETREF(*place, Py_NewRef(PyTuple_GET_ITEM(both, 0)));
    } else {
        filled = CAM_FILL_RAISED;
    }
    Py_DECREF(both);
    return filled;
}

static cam_filled fill_parameter(CallObject *call, const cam_parameter *parameter, bool collect,
                                 PyObject **place) {
    static const char *const names[] = {"path", "query", "header", "cookie"};
    if (parameter->extract != NULL) {
        return extract(call, parameter, collect, place);
    }
    PyObject *keys = parameter->field.keys, *value = NULL, *key = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys) && value == NULL; i++) {
        key = PyTuple_GET_ITEM(keys, i);
        if (find(call, parameter, PyTuple_GET_ITEM(parameter->lookup, i), &value) < 0) {
            return CAM_FILL_RAISED;
        }
    }
    if (value == NULL) {
        key = PyTuple_GET_ITEM(keys, 0);
    }
    return validate(call, &parameter->field, value, names[parameter->source], key, collect, place);
}

/* A member of the body; with `whole` the body itself. */
static cam_filled fill_from_body(CallObject *call, const cam_field *field, bool whole, bool collect,
                                 PyObject **place) {
    PyObject *body = call->body;
    if (whole) {
        return validate(call, field, Py_XNewRef(body), "body", NULL, collect, place);
    }
    PyObject *value = NULL, *key = PyTuple_GET_ITEM(field->keys, 0);
    if (body != NULL && !PyBytes_Check(body)) {
        if (!PyDict_Check(body)) { /* what FastAPI finds by an AttributeError */
            PyObject *location = location_of("body", key);
            cam_filled filled = location ? missing(call, location, collect) : CAM_FILL_RAISED;
            Py_XDECREF(location);
            return filled;
        }
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(field->keys) && value == NULL; i++) {
            PyObject *found = PyDict_GetItemWithError(body, PyTuple_GET_ITEM(field->keys, i));
            if (found == NULL && PyErr_Occurred()) {
                return CAM_FILL_RAISED;
            }
            if (found != NULL) {
                key = PyTuple_GET_ITEM(field->keys, i);
                value = Py_NewRef(found);
            }
        }
    }
    return validate(call, field, value, "body", key, collect, place);
}

cam_filled CamFields_TakeForm(CallObject *call, const cam_node *node, PyObject *both) {
    PyObject *values =
        PyTuple_Check(both) && PyTuple_GET_SIZE(both) == 2 ? PyTuple_GET_ITEM(both, 0) : NULL;
    if (values == NULL || !PyDict_Check(values)) {
        PyErr_SetString(PyExc_TypeError, "request_body_to_args() must give (values, errors)");
        return CAM_FILL_RAISED;
    }
    PyObject *errors = PyTuple_GET_ITEM(both, 1);
    int any = PyObject_IsTrue(errors);
    if (any != 0) {
        return any < 0 ? CAM_FILL_RAISED : add_errors(call, Py_NewRef(errors));
    }
    Py_ssize_t at = node->child_count + node->parameter_count + node->body_count;
    for (Py_ssize_t i = 0; i < node->form_count; i++, at++) {
        PyObject *name = PyTuple_GET_ITEM(node->names, at);
        PyObject *value = PyDict_GetItemWithError(values, name);
        if (value == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetObject(PyExc_KeyError, name);
            }
            return CAM_FILL_RAISED;
        }
        Py_XSETREF(call->values[node->first + at], Py_NewRef(value));
    }
    return CAM_FILLED;
}

cam_filled CamFields_Fill(CallObject *call, const cam_node *node, bool collect) {
    Py_ssize_t place = node->first + node->child_count;
    cam_filled filled = CAM_FILLED;
    for (Py_ssize_t i = 0; i < node->parameter_count + node->body_count; i++, place++) {
        Py_ssize_t field = i - node->parameter_count;
        cam_filled one =
            field < 0 ? fill_parameter(call, &node->parameters[i], collect, &call->values[place])
                      : fill_from_body(call, &node->body[field], node->body_is_field, collect,
                                       &call->values[place]);
        if (one == CAM_FILL_RAISED || (one == CAM_FILLED_WITH_ERRORS && !collect)) {
            return one;
        }
        filled = one == CAM_FILLED ? filled : one;
    }
    return filled;
}
