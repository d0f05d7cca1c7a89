/* SPDX-License-Identifier: MIT */
#include "fastapi/middleware.h"

#include "fastapi/header_list.h"

/* ---- reading camshaft.fastapi.plan's layers ---- */

/* Whether something is a tuple of bytes, or of fields. */
static bool is_tuple_of(PyObject *tuple, bool fields) {
    bool good = PyTuple_CheckExact(tuple);
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        good = fields ? CamHeaderList_IsField(item) : PyBytes_CheckExact(item);
    }
    return good;
}

/* Each takes the members in the order of their class. */

static bool read_cors(PyObject *settings, cam_cors *cors) {
    return PyArg_ParseTuple(settings, "OOOOOOppppp:Cors", &cors->simple, &cors->preflight,
                            &cors->origins, &cors->methods, &cors->headers, &cors->fullmatch,
                            &cors->all_origins, &cors->all_headers, &cors->credentials,
                            &cors->explicit_preflight, &cors->private_network) &&
           is_tuple_of(cors->simple, true) && is_tuple_of(cors->preflight, true);
}

static bool read_gzip(PyObject *settings, cam_gzip *gzip) {
    return PyArg_ParseTuple(settings, "nOnO:GZip", &gzip->minimum_size, &gzip->level,
                            &gzip->thread_minimum_size, &gzip->excluded) &&
           is_tuple_of(gzip->excluded, false);
}

static bool read_hosts(PyObject *settings, cam_trusted_host *hosts) {
    return PyArg_ParseTuple(settings, "Op:TrustedHost", &hosts->patterns, &hosts->any) &&
           is_tuple_of(hosts->patterns, false);
}

static bool read_layer(PyObject *pair, struct cam_layer *layer) {
    int kind;
    PyObject *settings;
    if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "iO!", &kind, &PyTuple_Type, &settings)) {
        return false;
    }
    layer->kind = (uint8_t)kind;
    switch (kind) {
    case CAM_LAYER_CORS:
        return read_cors(settings, &layer->cors);
    case CAM_LAYER_GZIP:
        return read_gzip(settings, &layer->gzip);
    case CAM_LAYER_TRUSTED_HOST:
        return read_hosts(settings, &layer->hosts);
    case CAM_LAYER_HTTPS_REDIRECT:
        return true;
    default:
        return false;
    }
}

int CamMiddleware_Read(TableObject *table, PyObject *source) {
    PyObject *layers = PyObject_GetAttrString(source, "layers");
    Py_XSETREF(layers, layers ? PySequence_Tuple(layers) : NULL);
    if (layers == NULL || PyList_Append(table->kept, layers) < 0) {
        Py_XDECREF(layers);
        return -1;
    }
    Py_DECREF(layers);
    Py_ssize_t count = PyTuple_GET_SIZE(layers);
    table->layers = PyMem_Calloc((size_t)(count ? count : 1), sizeof *table->layers);
    if (table->layers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!read_layer(PyTuple_GET_ITEM(layers, i), &table->layers[i])) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "a layer has members of another kind");
            }
            return -1;
        }
    }
    table->layer_count = count;
    return 0;
}

/* ---- the way in ---- */

/* The headers that a layer may look at: the first of each name, borrowed, or NULL. */
typedef struct looked_at {
    PyObject *host;
    PyObject *accept_encoding;
    cam_preflight asked;
} looked_at;

static void take_first(PyObject **slot, PyObject *value) {
    if (*slot == NULL) {
        *slot = value;
    }
}

/* False for headers that are not plain. */
static bool look_at(PyObject *headers, looked_at *found) {
    if (!PyList_CheckExact(headers)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *field = PyList_GET_ITEM(headers, i);
        if (!CamHeaderList_IsField(field)) {
            return false;
        }
        PyObject *name = PyTuple_GET_ITEM(field, 0), *value = PyTuple_GET_ITEM(field, 1);
        switch (PyBytes_GET_SIZE(name)) {
        case 4:
            if (CAM_BYTES_ARE(name, "host")) {
                take_first(&found->host, value);
            }
            break;
        case 6:
            if (CAM_BYTES_ARE(name, "origin")) {
                take_first(&found->asked.origin, value);
            }
            break;
        case 15:
            if (CAM_BYTES_ARE(name, "accept-encoding")) {
                take_first(&found->accept_encoding, value);
            }
            break;
        case 29:
            if (CAM_BYTES_ARE(name, "access-control-request-method")) {
                take_first(&found->asked.method, value);
            }
            break;
        case 30:
            if (CAM_BYTES_ARE(name, "access-control-request-headers")) {
                take_first(&found->asked.headers, value);
            }
            break;
        case 38:
            if (CAM_BYTES_ARE(name, "access-control-request-private-network")) {
                take_first(&found->asked.private_network, value);
            }
            break;
        default:
            break;
        }
    }
    return true;
}

/* "gzip" in value, as GZipMiddleware has it. */
static bool has_gzip(PyObject *value) {
    return memmem(PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), "gzip", 4) != NULL;
}

/* Whether a Host is one that TrustedHostMiddleware lets through: true only for what is plainly so;
 * a Host of other characters than most have is its own to judge. */
static bool is_trusted(const cam_trusted_host *hosts, PyObject *host) {
    if (hosts->any) {
        return true;
    }
    if (host == NULL) {
        return false;
    }
    const char *text = PyBytes_AS_STRING(host);
    size_t whole = (size_t)PyBytes_GET_SIZE(host), len = 0;
    while (len < whole &&
           ((text[len] >= 'a' && text[len] <= 'z') || (text[len] >= '0' && text[len] <= '9') ||
            text[len] == '.' || text[len] == '-' || text[len] == '_')) {
        len++;
    }
    size_t end = len;
    if (end < whole && text[end] == ':') {
        do {
            end++;
        } while (end < whole && text[end] >= '0' && text[end] <= '9');
        if (end == len + 1) {
            return false;
        }
    }
    if (end != whole || len == 0) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(hosts->patterns); i++) {
        PyObject *item = PyTuple_GET_ITEM(hosts->patterns, i);
        const char *pattern = PyBytes_AS_STRING(item);
        size_t size = (size_t)PyBytes_GET_SIZE(item);
        bool suffix = size > 0 && pattern[0] == '*';
        pattern += suffix;
        size -= suffix;
        if ((suffix ? size <= len : size == len) && memcmp(text + len - size, pattern, size) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether HTTPSRedirectMiddleware lets a request through. */
static bool is_secure(cam_state *state, PyObject *scope) {
    PyObject *scheme = PyDict_GetItemWithError(scope, state->asgi.str_scheme);
    bool secure = scheme != NULL && PyUnicode_CheckExact(scheme) &&
                  PyUnicode_CompareWithASCIIString(scheme, "http") != 0 &&
                  PyUnicode_CompareWithASCIIString(scheme, "ws") != 0;
    if (scheme == NULL) {
        PyErr_Clear();
    }
    return secure;
}

static bool is_options(cam_state *state, PyObject *scope) {
    PyObject *method = PyDict_GetItemWithError(scope, state->asgi.str_method);
    if (method == NULL) {
        PyErr_Clear();
    }
    return method != NULL && PyUnicode_Check(method) &&
           PyUnicode_CompareWithASCIIString(method, "OPTIONS") == 0;
}

/* Sends a whole answer: what is to be awaited, or NULL with an exception. */
static PyObject *send_answer(cam_state *state, PyObject *app, PyObject *const *asgi, int status,
                             PyObject *headers, PyObject *body) {
    PyObject *send = asgi[2];
    if (Py_IS_TYPE(send, (PyTypeObject *)state->asgi.send_type)) {
        PyObject *awaitable = state->asgi.send_whole(send, status, headers, body);
        if (awaitable != Py_None) {
            return awaitable;
        }
        Py_DECREF(awaitable);
    }
    PyObject *code = PyLong_FromLong(status);
    PyObject *args[] = {code, headers, body, asgi[0], asgi[1], send, app};
    PyObject *awaitable =
        code ? PyObject_Vectorcall(state->fastapi.send_answer, args, 7, NULL) : NULL;
    Py_XDECREF(code);
    return awaitable;
}

/* Layer `index` answers a preflight. */
static cam_entered answer_preflight(TableObject *table, Py_ssize_t index, cam_preflight asked,
                                    const cam_passed *passed, PyObject *app, PyObject *const *args,
                                    PyObject **awaitable) {
    cam_state *state = table->state;
    int status;
    PyObject *headers = NULL, *body = NULL;
    /* Strong: what looks into the containers of the application may run its code. */
    PyObject *all[] = {asked.origin, asked.method, asked.headers, asked.private_network};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        Py_XINCREF(all[i]);
    }
    int made =
        CamCors_Preflight(state, &table->layers[index].cors, &asked, &status, &headers, &body);
    if (made > 0) {
        made = CamMiddleware_Answer(table, index, passed, status, headers, &body);
    }
    if (made > 0) {
        *awaitable = send_answer(state, app, args, status, headers, body);
        made = *awaitable ? 1 : -1;
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        Py_XDECREF(all[i]);
    }
    Py_XDECREF(headers);
    Py_XDECREF(body);
    return made > 0 ? CAM_ENTER_ANSWERED : made < 0 ? CAM_ENTER_FAILED : CAM_ENTER_STOPPED;
}

cam_entered CamMiddleware_Enter(TableObject *table, PyObject *app, PyObject *const *args,
                                cam_passed *passed, PyObject **awaitable) {
    cam_state *state = table->state;
    looked_at found = {0};
    /* Looking into the scope may run code of odd keys; what look_at() finds is borrowed. */
    bool options = is_options(state, args[0]), secure = is_secure(state, args[0]);
    PyObject *headers = PyDict_GetItemWithError(args[0], state->asgi.str_headers);
    if (headers == NULL || !look_at(headers, &found)) {
        PyErr_Clear();
        return CAM_ENTER_LEFT;
    }
    bool preflight = options && found.asked.origin != NULL && found.asked.method != NULL;
    passed->layered = true;
    passed->origin = Py_XNewRef(found.asked.origin);
    passed->accepts_gzip = found.accept_encoding != NULL && has_gzip(found.accept_encoding);
    cam_entered entered = CAM_ENTER_PASSED;
    for (Py_ssize_t i = 0; entered == CAM_ENTER_PASSED && i < table->layer_count; i++) {
        switch ((cam_layer_kind)table->layers[i].kind) {
        case CAM_LAYER_CORS:
            if (preflight) {
                entered = answer_preflight(table, i, found.asked, passed, app, args, awaitable);
            }
            break;
        case CAM_LAYER_GZIP:
            break;
        case CAM_LAYER_TRUSTED_HOST:
            if (!is_trusted(&table->layers[i].hosts, found.host)) {
                entered = CAM_ENTER_LEFT;
            }
            break;
        case CAM_LAYER_HTTPS_REDIRECT:
            if (!secure) {
                entered = CAM_ENTER_STOPPED;
            }
            break;
        }
    }
    if (entered != CAM_ENTER_PASSED) {
        Py_CLEAR(passed->origin);
    }
    return entered;
}

/* ---- the way out ---- */

int CamMiddleware_Answer(TableObject *table, Py_ssize_t count, const cam_passed *passed, int status,
                         PyObject *headers, PyObject **body) {
    if (!CamHeaderList_IsPlain(headers) || !PyBytes_CheckExact(*body)) {
        return 0;
    }
    cam_state *state = table->state;
    PyObject *content = Py_NewRef(*body);
    int made = 1;
    for (Py_ssize_t i = count - 1; made > 0 && i >= 0; i--) {
        const struct cam_layer *layer = &table->layers[i];
        if (layer->kind == CAM_LAYER_CORS) {
            made = CamCors_Answer(state, &layer->cors, passed->origin, headers) < 0 ? -1 : 1;
        } else if (layer->kind == CAM_LAYER_GZIP) {
            made = CamGzip_Answer(state, &layer->gzip, passed->accepts_gzip, status, headers,
                                  &content);
        }
    }
    if (made > 0) {
        Py_SETREF(*body, content);
    } else {
        Py_DECREF(content);
    }
    return made;
}
