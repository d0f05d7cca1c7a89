/* SPDX-License-Identifier: MIT */
/* CORSMiddleware: https://fetch.spec.whatwg.org/#http-cors-protocol as Starlette has it. */
#include "fastapi/header_list.h"
#include "fastapi/middleware.h"

/* What `value in container` says in Python, for latin-1 in bytes: 1, 0, or -1 with an exception. */
static int is_among(PyObject *container, PyObject *value) {
    PyObject *text =
        PyUnicode_DecodeLatin1(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), NULL);
    int among = text ? PySequence_Contains(container, text) : -1;
    Py_XDECREF(text);
    return among;
}

/* Whether an origin may have answers: as is_among(). */
static int is_allowed(const cam_cors *cors, PyObject *origin) {
    if (cors->all_origins) {
        return 1;
    }
    if (cors->fullmatch != Py_None) {
        PyObject *text =
            PyUnicode_DecodeLatin1(PyBytes_AS_STRING(origin), PyBytes_GET_SIZE(origin), NULL);
        PyObject *match = text ? PyObject_CallOneArg(cors->fullmatch, text) : NULL;
        Py_XDECREF(text);
        if (match == NULL) {
            return -1;
        }
        bool matches = match != Py_None;
        Py_DECREF(match);
        if (matches) {
            return 1;
        }
    }
    return is_among(cors->origins, origin);
}

int CamCors_Answer(cam_state *state, const cam_cors *cors, PyObject *origin, PyObject *headers) {
    const cam_fastapi_constants *c = &state->fastapi;
    if (origin != NULL) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(cors->simple); i++) {
            if (CamHeaderList_Set(headers, PyTuple_GET_ITEM(cors->simple, i)) < 0) {
                return -1;
            }
        }
        /* With credentials "*" does not do: the origin itself is named. */
        int named = cors->all_origins ? cors->credentials : is_allowed(cors, origin);
        if (named < 0 || (named > 0 && CamHeaderList_SetValue(headers, c->name_allow_origin,
                                                              Py_NewRef(origin)) < 0)) {
            return -1;
        }
    }
    return CamHeaderList_AddVary(headers, c->field_vary_origin);
}

/* ---- preflights ---- */

/* Whether one of the headers, a list in text of ASCII, is not allowed: as is_among(). */
static int has_disallowed(const cam_cors *cors, PyObject *headers) {
    const char *text = PyBytes_AS_STRING(headers);
    Py_ssize_t len = PyBytes_GET_SIZE(headers);
    for (Py_ssize_t from = 0; from <= len;) {
        const char *comma = memchr(text + from, ',', (size_t)(len - from));
        Py_ssize_t end = comma ? comma - text : len, next = end + 1;
        while (from < end && Py_UNICODE_ISSPACE((Py_UCS4)text[from])) {
            from++;
        }
        while (from < end && Py_UNICODE_ISSPACE((Py_UCS4)text[end - 1])) {
            end--;
        }
        PyObject *name = PyUnicode_New(end - from, 127);
        for (Py_ssize_t i = from; name != NULL && i < end; i++) {
            char ch = text[i];
            PyUnicode_1BYTE_DATA(name)[i - from] =
                (Py_UCS1)(ch >= 'A' && ch <= 'Z' ? ch - 'A' + 'a' : ch);
        }
        int among = name ? PySequence_Contains(cors->headers, name) : -1;
        Py_XDECREF(name);
        if (among <= 0) {
            return among < 0 ? -1 : 1;
        }
        from = next;
    }
    return 0;
}

static bool is_ascii(PyObject *bytes) {
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(bytes); i++) {
        if ((unsigned char)PyBytes_AS_STRING(bytes)[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* What PlainTextResponse adds to the headers it is given. */
static int add_content_headers(cam_state *state, PyObject *headers, PyObject *body) {
    const cam_fastapi_constants *c = &state->fastapi;
    PyObject *length = PyBytes_FromFormat("%zd", PyBytes_GET_SIZE(body));
    return CamHeaderList_SetValue(headers, c->name_content_length, length) < 0 ||
                   CamHeaderList_Set(headers, c->field_plain_text) < 0
               ? -1
               : 0;
}

int CamCors_Preflight(cam_state *state, const cam_cors *cors, const cam_preflight *asked,
                      int *status, PyObject **headers, PyObject **body) {
    const cam_fastapi_constants *c = &state->fastapi;
    if (asked->headers != NULL && !is_ascii(asked->headers)) {
        return 0; /* str.lower() and str.strip() know more of it */
    }
    char text[80] = "Disallowed CORS ";
    const size_t begin = strlen(text);
    PyObject *list = *headers = PySequence_List(cors->preflight);
    int allowed = list ? is_allowed(cors, asked->origin) : -1;
    if (allowed < 0) {
        return -1;
    }
    if (!allowed) {
        strcat(text, "origin, ");
    } else if (cors->explicit_preflight &&
               CamHeaderList_SetValue(list, c->name_allow_origin, Py_NewRef(asked->origin)) < 0) {
        return -1;
    }
    int known = is_among(cors->methods, asked->method);
    if (known == 0) {
        strcat(text, "method, ");
    }
    int disallowed = 0;
    if (known >= 0 && asked->headers != NULL) {
        disallowed = cors->all_headers ? CamHeaderList_SetValue(list, c->name_allow_headers,
                                                                Py_NewRef(asked->headers))
                                       : has_disallowed(cors, asked->headers);
    }
    if (known < 0 || disallowed < 0) {
        return -1;
    }
    if (disallowed > 0) {
        strcat(text, "headers, ");
    }
    if (asked->private_network != NULL && !cors->private_network) {
        strcat(text, "private-network, ");
    } else if (asked->private_network != NULL &&
               CamHeaderList_Set(list, c->field_allow_private_network) < 0) {
        return -1;
    }
    size_t len = strlen(text);
    *status = len == begin ? 200 : 400;
    *body = len == begin ? PyBytes_FromStringAndSize("OK", 2)
                         : PyBytes_FromStringAndSize(text, (Py_ssize_t)len - 2);
    return *body == NULL || add_content_headers(state, list, *body) < 0 ? -1 : 1;
}
