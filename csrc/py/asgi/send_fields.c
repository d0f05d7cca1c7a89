/* SPDX-License-Identifier: MIT */
/* Header fields before and after a response: early hints and trailers (ASGI extensions). */
#include "asgi/send.h"

#include "asgi/response.h"
#include "http/chars.h"

#include <string.h>

#define PUT_LITERAL(out, text) cam_buffer_append(out, text, sizeof(text) - 1)

/* ---- http.response.early_hint ---- */

/* Adds a Link line for each of an iterable of bytes. 0 or -1. */
static int put_links(cam_buffer *out, PyObject *links) {
    PyObject *sequence = PySequence_Fast(links, "links must be an iterable of bytes");
    PyObject *name = sequence ? PyBytes_FromString("link") : NULL;
    int result = name ? 0 : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *link = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        result = CamResponse_PutField(out, name, link);
        Py_DECREF(link);
    }
    Py_XDECREF(name);
    Py_XDECREF(sequence);
    return result;
}

int CamSend_EarlyHint(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *links;
    int found = CamSend_Lookup(event, c->str_links, &links);
    if (found <= 0) {
        if (found == 0) {
            PyErr_SetString(PyExc_KeyError, "http.response.early_hint has no 'links'");
        }
        return -1;
    }
    cam_buffer out = {0};
    int result = PUT_LITERAL(&out, "HTTP/1.1 103 Early Hints\r\n");
    size_t empty = out.len;
    if (result == 0) {
        result = put_links(&out, links);
    }
    Py_DECREF(links);
    /* RFC 9110 section 15.2: none to an HTTP/1.0 client; and after the head there is no "early". */
    bool wanted = self->minor_version && self->answer < CAM_ANSWER_BEGUN && out.len > empty;
    if (result == 0 && wanted && self->connection != NULL) {
        result = PUT_LITERAL(&out, "\r\n");
        if (result == 0) {
            result = CamTransport_Write(self->state, self->connection->transport, out.ptr, out.len);
        }
    }
    cam_buffer_free(&out);
    return result;
}

/* ---- http.response.trailers ---- */

/* Fields that a trailer section must not hold, because they are needed before the content: for
 * framing, routing, authentication, and to know what the content is (RFC 9110 section 6.5.1). */
static bool is_forbidden(const char *name, size_t len) {
    static const char *const names[] = {
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (len == strlen(names[i]) && cam_char_equal(name, names[i], len)) {
            return true;
        }
    }
    return false;
}

static int put_trailer(void *argument, PyObject *name, PyObject *value) {
    if (CamResponse_PutField(argument, name, value) < 0) {
        return -1;
    }
    if (is_forbidden(PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name))) {
        PyErr_Format(PyExc_RuntimeError, "The header %R cannot be a trailer.", name);
        return -1;
    }
    return 0;
}

int CamSend_Trailers(CycleObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    int more = CamSend_Flag(event, c->str_more_trailers);
    PyObject *headers = NULL;
    if (more < 0 || CamSend_Lookup(event, c->str_headers, &headers) < 0) {
        return -1;
    }
    cam_buffer out = {0};
    /* Checked also when nobody is told of them: what an application may send does not depend on
     * who asks. */
    int result = self->trailers_begun ? 0 : PUT_LITERAL(&out, "0\r\n");
    if (result == 0 && headers != NULL && headers != Py_None) {
        result = CamResponse_EachField(headers, put_trailer, &out);
    }
    Py_XDECREF(headers);
    if (result == 0 && !more) {
        result = PUT_LITERAL(&out, "\r\n");
    }
    if (result == 0 && self->connection != NULL && self->answer == CAM_ANSWER_TRAILERS) {
        if (self->sends_trailers) {
            self->trailers_begun = true;
            result = CamTransport_Write(self->state, self->connection->transport, out.ptr, out.len);
            if (result < 0) {
                result = CamSend_Fail(self);
            }
        }
        if (result == 0 && !more && self->connection != NULL) {
            result = CamSend_Complete(self);
        }
    }
    cam_buffer_free(&out);
    return result;
}
