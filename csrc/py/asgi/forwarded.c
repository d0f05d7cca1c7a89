/* SPDX-License-Identifier: MIT */
#include "asgi/forwarded.h"

#include "asgi/connection.h"
#include "http/chars.h"
#include "http/forwarded.h"
#include "http/forwarded_element.h"

#include <string.h>

/* ---- whom to trust ---- */

static int add_range(cam_trust *trust, PyObject *range) {
    const char *bytes;
    Py_ssize_t size;
    int bits;
    if (!PyTuple_Check(range)) {
        PyErr_SetString(PyExc_TypeError, "trusted_proxies: a range is (bytes, int)");
        return -1;
    }
    if (!PyArg_ParseTuple(range, "y#i", &bytes, &size, &bits)) {
        return -1;
    }
    cam_ip ip = {.size = (uint8_t)size};
    if ((size != 4 && size != 16) || bits < 0 || bits > size * 8) {
        PyErr_SetString(PyExc_ValueError, "trusted_proxies: no range of addresses");
        return -1;
    }
    memcpy(ip.bytes, bytes, (size_t)size);
    if (cam_peers_add(&trust->peers, &ip, (unsigned)bits) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int truth_of(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return truth;
}

int CamTrust_Set(cam_trust *trust, PyObject *hosts) {
    int always = truth_of(hosts, "always_trust");
    int literals = always < 0 ? -1 : truth_of(hosts, "trusted_literals");
    PyObject *given = literals < 0 ? NULL : PyObject_GetAttrString(hosts, "ranges");
    PyObject *ranges = given ? PySequence_Tuple(given) : NULL;
    Py_XDECREF(given);
    if (ranges == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(ranges); i++) {
        result = add_range(trust, PyTuple_GET_ITEM(ranges, i));
    }
    Py_DECREF(ranges);
    trust->always = always;
    trust->literals = literals;
    trust->hosts = Py_NewRef(hosts);
    return result;
}

void CamTrust_Clear(cam_trust *trust) {
    cam_peers_free(&trust->peers);
    Py_CLEAR(trust->hosts);
}

/* 1 or 0; -1 when only the TrustedHosts object can say. */
static int trusts(const cam_trust *trust, const char *host, size_t len) {
    cam_ip ip;
    if (trust->always) {
        return 1;
    }
    if (len == 0) {
        return 0;
    }
    if (cam_ip_parse(&ip, host, len)) {
        return cam_peers_contain(&trust->peers, &ip);
    }
    /* A scope may follow an address, and a name may be one that is trusted. */
    return trust->literals || memchr(host, '%', len) != NULL ? -1 : 0;
}

/* Whether the peer of the connection is trusted: 1, 0, or -1 with an exception. */
static int trusts_peer(HttpProtocolObject *connection, PyObject *scope) {
    if (connection->trusted == CAM_TRUSTED_UNKNOWN) {
        const cam_trust *trust = &connection->server->trust;
        PyObject *client = PyDict_GetItemWithError(scope, connection->state->asgi.str_client);
        if (client == NULL && PyErr_Occurred()) {
            return -1;
        }
        int trusted = trust->always;
        if (client != NULL && PyTuple_Check(client) && PyTuple_GET_SIZE(client) > 0 &&
            PyUnicode_Check(PyTuple_GET_ITEM(client, 0))) {
            PyObject *host = PyTuple_GET_ITEM(client, 0);
            Py_ssize_t len;
            const char *text = PyUnicode_AsUTF8AndSize(host, &len);
            if (text == NULL) {
                return -1;
            }
            trusted = trusts(trust, text, (size_t)len);
            if (trusted < 0) {
                Py_INCREF(host);
                trusted = PySequence_Contains(trust->hosts, host);
                Py_DECREF(host);
            }
        }
        if (trusted < 0) {
            return -1;
        }
        connection->trusted = trusted ? CAM_TRUSTED_YES : CAM_TRUSTED_NO;
    }
    return connection->trusted == CAM_TRUSTED_YES;
}

/* ---- what the headers say ---- */

static bool is_named(PyObject *headers, Py_ssize_t at, PyObject *name) {
    return PyTuple_GET_ITEM(PyList_GET_ITEM(headers, at), 0) == name;
}

static cam_slice value_of(PyObject *headers, Py_ssize_t at) {
    PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(headers, at), 1);
    return (cam_slice){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
}

/* Python's white space, of that in Latin-1 which can be in a header. */
static bool is_space(char c) {
    return c == ' ' || c == '\t' || (uint8_t)c == 0x85 || (uint8_t)c == 0xA0;
}

static cam_slice strip(cam_slice slice) {
    while (slice.len > 0 && is_space(slice.ptr[slice.len - 1])) {
        slice.len--;
    }
    while (slice.len > 0 && is_space(slice.ptr[0])) {
        slice.ptr++;
        slice.len--;
    }
    return slice;
}

/* The scheme of a scope, where it is one that ASGI knows; else NULL without an exception. Borrowed.
 * `lower` is in lower case. */
static PyObject *scheme_named(const cam_asgi_constants *c, cam_slice lower, bool websocket) {
    const struct {
        const char *text;
        PyObject *scheme;
    } schemes[] = {
        {"http", websocket ? c->str_ws : c->str_http},
        {"https", websocket ? c->str_wss : c->str_https},
        {"ws", c->str_ws},
        {"wss", c->str_wss},
    };
    for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++) {
        if (lower.len == strlen(schemes[k].text) &&
            memcmp(lower.ptr, schemes[k].text, lower.len) == 0) {
            return schemes[k].scheme;
        }
    }
    return NULL;
}

/* The last X-Forwarded-Proto is the one that counts. As scheme_named. */
static PyObject *scheme_of(const cam_asgi_constants *c, PyObject *headers, bool websocket) {
    PyObject *name = c->header_names[CAM_H1_NAME_X_FORWARDED_PROTO];
    for (Py_ssize_t i = PyList_GET_SIZE(headers) - 1; i >= 0; i--) {
        if (is_named(headers, i, name)) {
            return scheme_named(c, strip(value_of(headers, i)), websocket);
        }
    }
    return NULL;
}

/* The client as the TrustedHosts object finds it: a tuple, or NULL with an exception. */
static PyObject *ask(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers) {
    PyObject *name = c->header_names[CAM_H1_NAME_X_FORWARDED_FOR];
    PyObject *values = PyList_New(0);
    for (Py_ssize_t i = 0; values != NULL && i < PyList_GET_SIZE(headers); i++) {
        if (is_named(headers, i, name) &&
            PyList_Append(values, PyTuple_GET_ITEM(PyList_GET_ITEM(headers, i), 1)) < 0) {
            Py_CLEAR(values);
        }
    }
    PyObject *comma = values ? PyBytes_FromString(", ") : NULL;
    PyObject *joined = comma ? PyObject_CallMethod(comma, "join", "O", values) : NULL;
    PyObject *text =
        joined ? PyUnicode_DecodeLatin1(PyBytes_AS_STRING(joined), PyBytes_GET_SIZE(joined), NULL)
               : NULL;
    PyObject *hosts = Py_NewRef(trust->hosts);
    PyObject *client =
        text ? PyObject_CallMethod(hosts, "get_trusted_client_address", "O", text) : NULL;
    if (client != NULL && (!PyTuple_Check(client) || PyTuple_GET_SIZE(client) != 2)) {
        PyErr_SetString(PyExc_TypeError, "get_trusted_client_address() returned no pair");
        Py_CLEAR(client);
    }
    Py_DECREF(hosts);
    Py_XDECREF(text);
    Py_XDECREF(joined);
    Py_XDECREF(comma);
    Py_XDECREF(values);
    return client;
}

static bool has_high_bytes(cam_slice value) {
    for (size_t i = 0; i < value.len; i++) {
        if ((uint8_t)value.ptr[i] >= 0x80) {
            return true;
        }
    }
    return false;
}

typedef enum search { FOUND, ABSENT, ODD } search;

/* Looks for the client from the last entry of the last header on. */
static search find_client(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers,
                          cam_slice *host, uint32_t *port) {
    PyObject *name = c->header_names[CAM_H1_NAME_X_FORWARDED_FOR];
    search found = ABSENT;
    for (Py_ssize_t i = PyList_GET_SIZE(headers) - 1; i >= 0; i--) {
        if (!is_named(headers, i, name)) {
            continue;
        }
        cam_slice list = value_of(headers, i);
        cam_slice entry;
        if (has_high_bytes(list)) {
            return ODD; /* in Latin-1 there is more white space */
        }
        while (cam_forwarded_last(&list, &entry)) {
            found = FOUND; /* the first of all, if all are trusted */
            if (!cam_forwarded_split(entry, host, port)) {
                return ODD;
            }
            int trusted = trusts(trust, host->ptr, host->len);
            if (trusted <= 0) {
                return trusted < 0 ? ODD : FOUND;
            }
        }
    }
    return found;
}

/* The client that the headers tell of: a tuple; NULL without an exception when they tell of none,
 * or with one. */
static PyObject *client_of(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers) {
    cam_slice host;
    uint32_t port;
    PyObject *client = NULL;
    switch (find_client(trust, c, headers, &host, &port)) {
    case ABSENT:
        return NULL;
    case FOUND:
        if (host.len == 0) {
            return NULL;
        }
        client = Py_BuildValue("(NI)", PyUnicode_DecodeASCII(host.ptr, (Py_ssize_t)host.len, NULL),
                               (unsigned)port);
        break;
    case ODD:
        client = ask(trust, c, headers);
        if (client != NULL) {
            int empty = PyObject_Not(PyTuple_GET_ITEM(client, 0));
            if (empty != 0) {
                Py_CLEAR(client);
            }
        }
        break;
    }
    return client;
}

/* What the headers tell, each NULL for nothing. */
typedef struct findings {
    PyObject *scheme; /* borrowed */
    PyObject *client; /* new */
} findings;

/* X-Forwarded-Proto and X-Forwarded-For. 0, or -1 with an exception. */
static int read_usual(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers,
                      bool websocket, findings *told) {
    told->scheme = scheme_of(c, headers, websocket);
    told->client = client_of(trust, c, headers);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- Forwarded (RFC 7239) ---- */

/* Whether an element's node is trusted: 1, 0, or -1 with an exception. */
static int trusts_node(const cam_trust *trust, cam_slice node) {
    int trusted = trusts(trust, node.ptr, node.len);
    if (trusted >= 0) {
        return trusted;
    }
    PyObject *host = PyUnicode_DecodeASCII(node.ptr, (Py_ssize_t)node.len, NULL);
    PyObject *hosts = Py_NewRef(trust->hosts);
    trusted = host ? PySequence_Contains(hosts, host) : -1;
    Py_DECREF(hosts);
    Py_XDECREF(host);
    return trusted;
}

/*
 * Finds the element that tells of the client: the last one whose node is not trusted, or the first
 * of all. 1 and the rest of its line, which begins with it; 0 when there is none, or a line is
 * malformed, and then nothing in any of them is believed; or -1 with an exception.
 */
static int find_element(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers,
                        cam_slice *found) {
    PyObject *name = c->header_names[CAM_H1_NAME_FORWARDED];
    cam_forwarded_element element;
    found->ptr = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        if (!is_named(headers, i, name)) {
            continue;
        }
        cam_slice rest = value_of(headers, i);
        for (;;) {
            cam_slice begin = rest;
            int next = cam_forwarded_next(&rest, &element);
            if (next == CAM_FORWARDED_MALFORMED) {
                return 0;
            }
            if (next == CAM_FORWARDED_END) {
                break;
            }
            int trusted = found->ptr == NULL ? 0 : trusts_node(trust, element.node);
            if (trusted < 0) {
                return -1;
            }
            if (!trusted) {
                *found = begin;
            }
        }
    }
    return found->ptr != NULL;
}

/* 0, or -1 with an exception. */
static int read_standard(const cam_trust *trust, const cam_asgi_constants *c, PyObject *headers,
                         bool websocket, findings *told) {
    cam_slice rest;
    int found = find_element(trust, c, headers, &rest);
    if (found <= 0) {
        return found;
    }
    cam_forwarded_element element;
    (void)cam_forwarded_next(&rest, &element);
    char lower[8]; /* more than the longest scheme */
    if (element.scheme.len < sizeof lower) {
        for (size_t i = 0; i < element.scheme.len; i++) {
            lower[i] = (char)cam_char_lower[(uint8_t)element.scheme.ptr[i]];
        }
        told->scheme = scheme_named(c, (cam_slice){lower, element.scheme.len}, websocket);
    }
    if (element.node.len > 0) {
        PyObject *host =
            PyUnicode_DecodeASCII(element.node.ptr, (Py_ssize_t)element.node.len, NULL);
        told->client = Py_BuildValue("(NI)", host, (unsigned)element.port);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- the scope ---- */

int CamForwarded_Apply(HttpProtocolObject *connection, PyObject *scope, PyObject *headers) {
    const cam_asgi_constants *c = &connection->state->asgi;
    /* Calls into Python may end the connection, and the server with it. */
    HttpServerObject *server = (HttpServerObject *)Py_NewRef(connection->server);
    int result = trusts_peer(connection, scope);
    if (result <= 0) {
        goto done;
    }
    bool websocket = PyDict_GetItemWithError(scope, c->str_type) == c->str_websocket;
    findings told = {NULL, NULL};
    result = server->options.forwarded ? read_standard(&server->trust, c, headers, websocket, &told)
                                       : read_usual(&server->trust, c, headers, websocket, &told);
    if (result == 0 && told.scheme != NULL) {
        result = PyDict_SetItem(scope, c->str_scheme, told.scheme);
    }
    if (result == 0 && told.client != NULL) {
        result = PyDict_SetItem(scope, c->str_client, told.client);
        Py_CLEAR(connection->client_address);
        Py_XSETREF(connection->forwarded_client, Py_NewRef(told.client));
    }
    Py_XDECREF(told.client);
done:
    Py_DECREF(server);
    return result;
}
