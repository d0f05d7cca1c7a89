/* SPDX-License-Identifier: MIT */
#include "asgi/scope.h"

#include "asgi/response.h"

#include "http/chars.h"

/* ---- addresses ---- */

/* (host, port) of what get_extra_info gives for a socket's name: a new tuple or None. A Unix
 * socket has (path, None) as a server and nothing as a client, as in uvicorn. */
static PyObject *address_of(HttpProtocolObject *connection, PyObject *name, bool is_server) {
    PyObject *info = CamTransport_ExtraInfo(connection->state, connection->transport, name);
    if (info == NULL) {
        return NULL;
    }
    PyObject *address = NULL;
    if (PyTuple_Check(info) && PyTuple_GET_SIZE(info) >= 2) {
        address = PyTuple_GetSlice(info, 0, 2);
    } else if (is_server && PyUnicode_Check(info)) {
        address = PyTuple_Pack(2, info, Py_None);
    } else {
        address = Py_NewRef(Py_None);
    }
    Py_DECREF(info);
    return address;
}

/* What a connection over TLS has beside the others': the scheme, and the extension "tls" (ASGI TLS
 * extension, version 0.2) where the server can tell. Runs user code. 0, or -1. */
static int add_tls(HttpProtocolObject *connection, PyObject *template) {
    const cam_asgi_constants *c = &connection->state->asgi;
    HttpServerObject *server = connection->server;
    if (PyDict_SetItem(template, c->str_scheme, c->str_https) < 0) {
        return -1;
    }
    if (server->tls_info == NULL) {
        return 0;
    }
    PyObject *others = PyDict_GetItemWithError(template, c->str_extensions);
    if (others == NULL && PyErr_Occurred()) {
        return -1;
    }
    PyObject *extensions = others ? PyDict_Copy(others) : PyDict_New();
    PyObject *ssl =
        CamTransport_ExtraInfo(connection->state, connection->transport, c->str_ssl_object);
    PyObject *tls_info = Py_NewRef(server->tls_info);
    PyObject *info = ssl && extensions ? PyObject_CallOneArg(tls_info, ssl) : NULL;
    int result = -1;
    if (info != NULL && PyDict_SetItem(extensions, c->str_tls, info) == 0) {
        result = PyDict_SetItem(template, c->str_extensions, extensions);
    }
    Py_XDECREF(info);
    Py_DECREF(tls_info);
    Py_XDECREF(ssl);
    Py_XDECREF(extensions);
    return result;
}

static PyObject *make_template(HttpProtocolObject *connection) {
    const cam_asgi_constants *c = &connection->state->asgi;
    PyObject *template = PyDict_Copy(connection->server->scope_template);
    PyObject *server = template ? address_of(connection, c->str_sockname, true) : NULL;
    PyObject *client = server ? address_of(connection, c->str_peername, false) : NULL;
    if (client == NULL || PyDict_SetItem(template, c->str_server, server) < 0 ||
        PyDict_SetItem(template, c->str_client, client) < 0 ||
        (connection->secure && add_tls(connection, template) < 0)) {
        Py_CLEAR(template);
    }
    Py_XDECREF(server);
    Py_XDECREF(client);
    return template;
}

PyObject *CamScope_ClientAddress(HttpProtocolObject *connection) {
    if (connection->client_address == NULL) {
        PyObject *client = connection->forwarded_client ? connection->forwarded_client
                           : connection->scope_template
                               ? PyDict_GetItemWithError(connection->scope_template,
                                                         connection->state->asgi.str_client)
                               : NULL;
        if (client == NULL && PyErr_Occurred()) {
            return NULL;
        }
        connection->client_address =
            client != NULL && PyTuple_Check(client)
                ? PyUnicode_FromFormat("%S:%S", PyTuple_GET_ITEM(client, 0),
                                       PyTuple_GET_ITEM(client, 1))
                : PyUnicode_FromStringAndSize(NULL, 0);
    }
    return Py_XNewRef(connection->client_address);
}

/* ---- request line ---- */

static PyObject *method_of(const cam_asgi_constants *c, cam_slice method) {
#define X(name)                                                                                    \
    if (method.len == sizeof #name - 1 && memcmp(method.ptr, #name, method.len) == 0) {            \
        return Py_NewRef(c->method_##name);                                                        \
    }
    CAM_ASGI_METHODS(X)
#undef X
    PyObject *text = PyUnicode_New((Py_ssize_t)method.len, 127);
    if (text != NULL) {
        /* In upper case, as the ASGI specification has it. */
        Py_UCS1 *out = PyUnicode_1BYTE_DATA(text);
        for (size_t i = 0; i < method.len; i++) {
            char ch = method.ptr[i];
            out[i] = (Py_UCS1)(ch >= 'a' && ch <= 'z' ? ch - 'a' + 'A' : ch);
        }
    }
    return text;
}

/* Percent-decodes as urllib.parse.unquote does: what is no pair of hexadecimal digits stays, and
 * what is not UTF-8 becomes U+FFFD. */
static PyObject *unquote(cam_slice path) {
    if (memchr(path.ptr, '%', path.len) == NULL) {
        return PyUnicode_DecodeASCII(path.ptr, (Py_ssize_t)path.len, NULL);
    }
    char *decoded = PyMem_Malloc(path.len);
    if (decoded == NULL) {
        return PyErr_NoMemory();
    }
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        char ch = path.ptr[i];
        if (ch == '%' && path.len - i > 2 && cam_char_is(path.ptr[i + 1], CAM_CHAR_HEX) &&
            cam_char_is(path.ptr[i + 2], CAM_CHAR_HEX)) {
            ch = (char)(cam_char_hex(path.ptr[i + 1]) << 4 | cam_char_hex(path.ptr[i + 2]));
            i += 2;
        }
        decoded[len++] = ch;
    }
    PyObject *text = PyUnicode_DecodeUTF8(decoded, (Py_ssize_t)len, "replace");
    PyMem_Free(decoded);
    return text;
}

static PyObject *path_of(HttpServerObject *server, const cam_h1_request *request) {
    PyObject *path = unquote(request->path);
    if (path == NULL || PyUnicode_GET_LENGTH(server->root_path) == 0 ||
        request->target_form == CAM_H1_TARGET_ASTERISK) {
        return path;
    }
    PyObject *full = PyUnicode_Concat(server->root_path, path);
    Py_DECREF(path);
    return full;
}

static PyObject *raw_path_of(HttpServerObject *server, const cam_h1_request *request) {
    cam_slice path = request->path;
    Py_ssize_t prefix = request->target_form == CAM_H1_TARGET_ASTERISK
                            ? 0
                            : PyBytes_GET_SIZE(server->raw_root_path);
    PyObject *raw = PyBytes_FromStringAndSize(NULL, prefix + (Py_ssize_t)path.len);
    if (raw != NULL) {
        memcpy(PyBytes_AS_STRING(raw), PyBytes_AS_STRING(server->raw_root_path), (size_t)prefix);
        memcpy(PyBytes_AS_STRING(raw) + prefix, path.ptr, path.len);
    }
    return raw;
}

/* ---- headers ---- */

static PyObject *header_name(const cam_asgi_constants *c, const cam_h1_header *header) {
    if (header->name_id != CAM_H1_NAME_UNKNOWN) {
        return Py_NewRef(c->header_names[header->name_id]);
    }
    PyObject *name = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)header->name.len);
    if (name != NULL) {
        char *out = PyBytes_AS_STRING(name);
        for (size_t i = 0; i < header->name.len; i++) {
            out[i] = (char)cam_char_lower[(uint8_t)header->name.ptr[i]];
        }
    }
    return name;
}

/* The host of an absolute-form takes the place of Host (RFC 9112 section 3.2.2). */
static PyObject *header_pair(const cam_asgi_constants *c, const cam_h1_header *header,
                             const cam_h1_request *request) {
    PyObject *pair = PyTuple_New(2);
    if (pair == NULL) {
        return NULL;
    }
    PyObject *name = header_name(c, header);
    bool ignored =
        header->name_id == CAM_H1_NAME_HOST && request->target_form == CAM_H1_TARGET_ABSOLUTE;
    cam_slice text = ignored ? request->host : header->value;
    PyObject *value = PyBytes_FromStringAndSize(text.ptr, (Py_ssize_t)text.len);
    if (name == NULL || value == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        Py_DECREF(pair);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

static PyObject *make_headers(HttpProtocolObject *connection, const cam_h1_request *request) {
    const cam_asgi_constants *c = &connection->state->asgi;
    PyObject *headers = PyList_New((Py_ssize_t)request->header_count);
    connection->te_trailers = false;
    for (size_t i = 0; headers != NULL && i < request->header_count; i++) {
        const cam_h1_header *header = &request->headers[i];
        if (header->name_id == CAM_H1_NAME_TE &&
            CamResponse_HasToken(header->value.ptr, header->value.len, "trailers")) {
            connection->te_trailers = true;
        }
        PyObject *pair = header_pair(c, header, request);
        if (pair == NULL) {
            Py_CLEAR(headers);
        } else {
            PyList_SET_ITEM(headers, (Py_ssize_t)i, pair);
        }
    }
    return headers;
}

/* Whether a proxy may have told of its client. */
static bool has_forwarded(const HttpServerObject *server, const cam_h1_request *request) {
    bool standard = server->options.forwarded;
    unsigned first = standard ? CAM_H1_NAME_FORWARDED : CAM_H1_NAME_X_FORWARDED_FOR;
    unsigned second = standard ? CAM_H1_NAME_FORWARDED : CAM_H1_NAME_X_FORWARDED_PROTO;
    for (size_t i = 0; i < request->header_count; i++) {
        unsigned name = request->headers[i].name_id;
        if (name == first || name == second) {
            return true;
        }
    }
    return false;
}

/* Keeps the block and its headers. Nothing is kept of what is too large, or has no memory. */
static void remember(HttpProtocolObject *connection, const cam_h1_request *request,
                     PyObject *headers) {
    cam_slice block = request->header_block;
    cam_kept_head *kept = connection->kept;
    if (kept != NULL) {
        Py_CLEAR(kept->headers);
    }
    if (block.len > CAM_MEMO_LIMIT) {
        return;
    }
    if (kept == NULL || kept->capacity < block.len) {
        kept = PyMem_Realloc(kept, sizeof *kept + block.len);
        if (kept == NULL) {
            return;
        }
        kept->capacity = block.len;
        kept->headers = NULL; /* seen by the collector, which the list below may start */
        connection->kept = kept;
    }
    memcpy(kept->bytes, block.ptr, block.len);
    kept->memo = (cam_h1_memo){{kept->bytes, block.len}, request->fields};
    kept->forwarded = has_forwarded(connection->server, request);
    kept->te_trailers = connection->te_trailers;
    kept->headers = PyList_GetSlice(headers, 0, PyList_GET_SIZE(headers));
    if (kept->headers == NULL) {
        PyErr_Clear();
    }
}

static PyObject *headers_of(HttpProtocolObject *connection, const cam_h1_request *request) {
    if (request->from_memo) {
        connection->te_trailers = connection->kept->te_trailers;
        return PyList_GetSlice(connection->kept->headers, 0, PY_SSIZE_T_MAX);
    }
    PyObject *headers = make_headers(connection, request);
    if (headers != NULL && request->target_form != CAM_H1_TARGET_ABSOLUTE) {
        remember(connection, request, headers);
    }
    return headers;
}

/* ---- the whole ---- */

/* Puts a value, whose reference it steals, into the scope. 0, or -1 (also for NULL). */
static int put(PyObject *scope, PyObject *key, PyObject *value) {
    int result = value ? PyDict_SetItem(scope, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* A copy of the dict that is scope[key], so that what an application does to it stays its own. */
static PyObject *copy_of(PyObject *scope, PyObject *key) {
    PyObject *dict = PyDict_GetItemWithError(scope, key);
    return dict ? PyDict_Copy(dict) : NULL;
}

PyObject *CamScope_New(HttpProtocolObject *connection, const cam_h1_request *request) {
    const cam_asgi_constants *c = &connection->state->asgi;
    HttpServerObject *server = connection->server;
    /* First what does not run user code: afterwards the memo and the bytes may be others. */
    bool forwarded =
        server->trust.hosts != NULL && connection->trusted != CAM_TRUSTED_NO &&
        (request->from_memo ? connection->kept->forwarded : has_forwarded(server, request));
    PyObject *headers = headers_of(connection, request);
    if (headers == NULL) {
        return NULL;
    }
    if (connection->forwarded_client != NULL) {
        /* Of the request before. */
        Py_CLEAR(connection->forwarded_client);
        Py_CLEAR(connection->client_address);
    }
    if (connection->scope_template == NULL) {
        PyObject *template = make_template(connection);
        if (template == NULL) {
            Py_DECREF(headers);
            return NULL;
        }
        Py_XSETREF(connection->scope_template, template);
    }
    PyObject *scope = PyDict_Copy(connection->scope_template);
    if (scope == NULL) {
        Py_DECREF(headers);
        return NULL;
    }
    cam_slice query = request->query;
    if (put(scope, c->str_headers, headers) < 0 ||
        put(scope, c->str_asgi, PyDict_Copy(server->asgi_versions)) < 0 ||
        put(scope, c->str_method, method_of(c, request->method)) < 0 ||
        put(scope, c->str_path, path_of(server, request)) < 0 ||
        put(scope, c->str_raw_path, raw_path_of(server, request)) < 0 ||
        put(scope, c->str_query_string,
            PyBytes_FromStringAndSize(query.ptr, (Py_ssize_t)query.len)) < 0 ||
        put(scope, c->str_state, PyDict_Copy(server->app_state)) < 0 ||
        put(scope, c->str_extensions, copy_of(scope, c->str_extensions)) < 0 ||
        (request->minor_version == 0 &&
         PyDict_SetItem(scope, c->str_http_version, c->str_version_10) < 0) ||
        (forwarded && CamForwarded_Apply(connection, scope, headers) < 0)) {
        Py_DECREF(scope);
        return NULL;
    }
    return scope;
}

/* As urllib.parse.quote leaves it. */
static bool is_plain_in_path(unsigned char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= '-' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
           ch == '_' || ch == '~';
}

/* Adds bytes, percent-encoded but for what is plain: of a query, which is encoded already, all that
 * can be seen. There is room for three times as many. */
static void put_quoted(cam_buffer *out, const char *text, size_t len, bool query) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (query ? ch > 0x20 && ch < 0x7f : is_plain_in_path(ch)) {
            out->ptr[out->len++] = (char)ch;
        } else {
            const char quoted[3] = {'%', digits[ch >> 4], digits[ch & 15]};
            cam_buffer_put(out, quoted, 3);
        }
    }
}

int CamScope_PutFullPath(cam_buffer *out, PyObject *path, PyObject *query_string) {
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(path, &len);
    if (utf8 == NULL) {
        return -1;
    }
    size_t query_len = (size_t)PyBytes_GET_SIZE(query_string);
    if (cam_buffer_reserve(out, ((size_t)len + query_len) * 3 + 1) < 0) {
        return -1;
    }
    put_quoted(out, utf8, (size_t)len, false);
    if (query_len > 0) {
        out->ptr[out->len++] = '?';
        put_quoted(out, PyBytes_AS_STRING(query_string), query_len, true);
    }
    return 0;
}

PyObject *CamScope_FullPath(PyObject *path, PyObject *query_string) {
    cam_buffer text = {0};
    PyObject *full = NULL;
    if (CamScope_PutFullPath(&text, path, query_string) == 0) {
        full = PyUnicode_DecodeASCII(text.ptr, (Py_ssize_t)text.len, NULL);
    }
    cam_buffer_free(&text);
    return full;
}
