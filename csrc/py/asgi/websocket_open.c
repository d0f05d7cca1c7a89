/* SPDX-License-Identifier: MIT */
/* The opening handshake of a WebSocket (RFC 6455 section 4), and the answers to it. */
#include "asgi/websocket.h"

#include "compat.h"
#include "asgi/admission.h"
#include "asgi/cycle.h"
#include "asgi/response.h"
#include "asgi/scope.h"
#include "asgi/send.h"
#include "asgi/timing.h"
#include "http/chars.h"

#define PUT_LITERAL(out, text) cam_buffer_append(out, text, sizeof(text) - 1)

static cam_slice slice_of(PyObject *bytes) {
    return (cam_slice){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

/* ---- the request ---- */

/* Which header of a handshake this is, by its name in lower case; -1 for none. */
static int field_of(cam_slice name) {
    static const struct {
        const char *name;
        cam_ws_field field;
    } fields[] = {
        {"upgrade", CAM_WS_FIELD_UPGRADE},
        {"sec-websocket-key", CAM_WS_FIELD_KEY},
        {"sec-websocket-version", CAM_WS_FIELD_VERSION},
        {"sec-websocket-protocol", CAM_WS_FIELD_PROTOCOL},
        {"sec-websocket-extensions", CAM_WS_FIELD_EXTENSIONS},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strlen(fields[i].name) == name.len && memcmp(fields[i].name, name.ptr, name.len) == 0) {
            return (int)fields[i].field;
        }
    }
    return -1;
}

/* Adds the subprotocols of a line. A malformed one is refused afterwards. */
static int add_subprotocols(PyObject *list, cam_slice line) {
    cam_slice token;
    while (cam_ws_list_token(&line, &token) == CAM_WS_LIST_ITEM) {
        PyObject *text = PyUnicode_DecodeASCII(token.ptr, (Py_ssize_t)token.len, "replace");
        int result = text ? PyList_Append(list, text) : -1;
        Py_XDECREF(text);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* Reads what concerns the handshake out of a scope's headers, which it borrows from. 0 or -1. */
static int read_headers(const cam_asgi_constants *c, PyObject *scope, cam_ws_handshake *handshake,
                        PyObject *subprotocols) {
    PyObject *headers = PyDict_GetItemWithError(scope, c->str_headers);
    if (headers == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        int field = field_of(slice_of(PyTuple_GET_ITEM(pair, 0)));
        if (field < 0) {
            continue;
        }
        cam_slice value = slice_of(PyTuple_GET_ITEM(pair, 1));
        cam_ws_handshake_add(handshake, (cam_ws_field)field, value);
        if (field == CAM_WS_FIELD_PROTOCOL && add_subprotocols(subprotocols, value) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The cycle of an answer that the application has no part in, now the connection's: a new
 * reference, or NULL with an exception. */
static CycleObject *begin_answer(HttpProtocolObject *connection) {
    CycleObject *answer = CamCycle_NewAnswer(connection);
    if (answer != NULL) {
        Py_XSETREF(connection->cycle, (CycleObject *)Py_NewRef(answer));
    }
    return answer;
}

/* The answer is written, or cannot be. Steals `answer`; returns `result`. */
static int end_answer(HttpProtocolObject *connection, CycleObject *answer, int result) {
    if (connection->cycle == answer) {
        PyObject *error = PyErr_GetRaisedException();
        CamHttpProtocol_DropCycle(connection);
        if (error != NULL) {
            PyErr_SetRaisedException(error);
        }
    }
    Py_DECREF(answer);
    return result;
}

/* Too many requests are being served: what a request would get. */
static int decline(HttpProtocolObject *connection) {
    CycleObject *answer = begin_answer(connection);
    return answer ? end_answer(connection, answer, CamAdmission_Decline(answer)) : -1;
}

/* Answers a handshake that is none, as uvicorn does, and closes: `fields` are more header lines,
 * each a name and a value. */
static int refuse(HttpProtocolObject *connection, int status, const char *reason,
                  PyObject *fields) {
    const cam_asgi_constants *c = &connection->state->asgi;
    CycleObject *answer = begin_answer(connection);
    PyObject *start = fields && answer
                          ? Py_BuildValue("{s:O,s:i,s:O}", "type", c->str_response_start, "status",
                                          status, "headers", fields)
                          : NULL;
    PyObject *text = PyBytes_FromFormat("Failed to open a WebSocket connection: %s.\n", reason);
    PyObject *body = start && text
                         ? Py_BuildValue("{s:O,s:O}", "type", c->str_response_body, "body", text)
                         : NULL;
    int result = -1;
    if (body != NULL) {
        result = CamCycle_Send((RunObject *)answer, start);
        if (result == 0) {
            result = CamCycle_Send((RunObject *)answer, body);
        }
    }
    Py_XDECREF(body);
    Py_XDECREF(text);
    Py_XDECREF(start);
    Py_XDECREF(fields);
    return answer ? end_answer(connection, answer, result) : -1;
}

/* The same for what the core says of a handshake. */
static int refuse_handshake(HttpProtocolObject *connection, int error) {
    int status = cam_ws_handshake_status(error);
    /* 426: the version to use (RFC 6455 section 4.4), and what to upgrade to (RFC 9110 section
     * 15.5.22). */
    PyObject *fields =
        status == 426 ? Py_BuildValue("((yy)(yy)(yy)(yy))", "content-type",
                                      "text/plain; charset=utf-8", "sec-websocket-version", "13",
                                      "upgrade", "websocket", "connection", "upgrade, close")
                      : Py_BuildValue("((yy))", "content-type", "text/plain; charset=utf-8");
    return refuse(connection, status, cam_ws_handshake_text(error), fields);
}

/* Makes the scope of a request that of a WebSocket (ASGI HTTP & WebSocket specification,
 * "WebSocket Connection Scope"). */
static int convert_scope(const cam_asgi_constants *c, PyObject *scope, PyObject *subprotocols) {
    PyObject *scheme = PyDict_GetItemWithError(scope, c->str_scheme);
    if (scheme == NULL) {
        return -1;
    }
    /* A proxy may say either. */
    int secure = PyObject_RichCompareBool(scheme, c->str_https, Py_EQ);
    if (secure == 0) {
        secure = PyObject_RichCompareBool(scheme, c->str_wss, Py_EQ);
    }
    PyObject *given = PyDict_GetItemWithError(scope, c->str_extensions);
    PyObject *tls =
        given != NULL && PyDict_Check(given) ? PyDict_GetItemWithError(given, c->str_tls) : NULL;
    if (secure < 0 || PyErr_Occurred()) {
        return -1;
    }
    /* Of the extensions of a request, those that are about the connection stay. */
    PyObject *extensions = PyDict_New();
    PyObject *response = PyDict_New();
    int result = -1;
    if (extensions != NULL && response != NULL &&
        PyDict_SetItem(extensions, c->str_websocket_http_response, response) == 0 &&
        (tls == NULL || PyDict_SetItem(extensions, c->str_tls, tls) == 0) &&
        PyDict_SetItem(scope, c->str_extensions, extensions) == 0 &&
        PyDict_SetItem(scope, c->str_type, c->str_websocket) == 0 &&
        PyDict_SetItem(scope, c->str_scheme, secure ? c->str_wss : c->str_ws) == 0 &&
        PyDict_SetItem(scope, c->str_subprotocols, subprotocols) == 0 &&
        PyDict_DelItem(scope, c->str_method) == 0) {
        result = 0;
    }
    Py_XDECREF(extensions);
    Py_XDECREF(response);
    return result;
}

/* Begins the run of a good handshake. Steals `scope`. */
static int begin(HttpProtocolObject *connection, const cam_ws_handshake *handshake,
                 PyObject *scope) {
    WebSocketObject *self;
    char accept[CAM_WS_ACCEPT];
    cam_ws_accept(accept, handshake->key);
    self = CamWebSocket_New(connection, scope);
    if (self == NULL) {
        return -1;
    }
    memcpy(self->accept, accept, sizeof accept);
    if (handshake->deflated && (self->codec = CamDeflate_New(&handshake->deflate)) == NULL) {
        Py_DECREF(self);
        return -1;
    }
    connection->websocket = (WebSocketObject *)Py_NewRef(self);
    connection->phase = CAM_PHASE_WEBSOCKET;
    connection->upgraded = true;
    int result = CamTiming_Set(connection, CAM_TIMING_NONE);
    if (result == 0 && connection->server->options.trace) {
        cam_websocket_trace(self, "%sUpgrading to WebSocket");
        cam_websocket_trace(self, "%sWebSocket connection made");
    }
    if (result == 0) {
        result = CamRun_Start((RunObject *)self);
    }
    if (result < 0) {
        PyObject *error = PyErr_GetRaisedException();
        cam_websocket_detach(self);
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(self);
    return result;
}

int CamWebSocket_Begin(HttpProtocolObject *connection, const cam_h1_request *request) {
    cam_state *state = connection->state;
    const cam_asgi_constants *c = &state->asgi;
    bool is_get = request->method.len == 3 && memcmp(request->method.ptr, "GET", 3) == 0;
    bool has_body = !cam_h1_has_no_body(request);
    PyObject *scope = CamScope_New(connection, request);
    PyObject *subprotocols = scope ? PyList_New(0) : NULL;
    cam_ws_handshake handshake;
    cam_ws_handshake_init(&handshake, connection->server->options.ws_per_message_deflate
                                          ? CamDeflate_Wanted(state)
                                          : NULL);
    int result = -1;
    if (subprotocols == NULL || read_headers(c, scope, &handshake, subprotocols) < 0) {
        goto done;
    }
    if (connection->transport.object == NULL || connection->phase == CAM_PHASE_CLOSED) {
        result = 1; /* closed by what ran meanwhile */
        goto done;
    }
    if (!handshake.is_websocket) {
        result = 0;
        goto done;
    }
    int error = cam_ws_handshake_check(&handshake);
    if (!is_get) {
        result = refuse(connection, 405, "unsupported HTTP method; expected GET",
                        Py_BuildValue("((yy)(yy))", "content-type", "text/plain; charset=utf-8",
                                      "allow", "GET"));
    } else if (has_body) {
        result = refuse(connection, 400, "the handshake has a body",
                        Py_BuildValue("((yy))", "content-type", "text/plain; charset=utf-8"));
    } else if (error < 0) {
        result = refuse_handshake(connection, error);
    } else if (connection->server->shutting_down) {
        /* A conversation is not for a server that ends: there is another to be asked. */
        result = refuse(connection, 503, "the server is shutting down",
                        Py_BuildValue("((yy))", "content-type", "text/plain; charset=utf-8"));
    } else if (CamAdmission_IsFull(connection->server)) {
        result = decline(connection);
    } else {
        result = convert_scope(c, scope, subprotocols);
        if (result == 0) {
            result = begin(connection, &handshake, Py_NewRef(scope));
        }
    }
    result = result < 0 ? -1 : 1;
done:
    Py_XDECREF(subprotocols);
    Py_XDECREF(scope);
    return result;
}

/* ---- what the log says ---- */

void cam_websocket_log(WebSocketObject *self, int status) {
    const cam_asgi_constants *c = &self->state->asgi;
    if (self->connection == NULL || self->path == NULL || self->query_string == NULL) {
        return;
    }
    PyObject *logger = Py_NewRef(self->server->logger);
    PyObject *client = CamScope_ClientAddress(self->connection);
    PyObject *path = client ? CamScope_FullPath(self->path, self->query_string) : NULL;
    PyObject *number = path && status ? PyLong_FromLong(status) : NULL;
    PyObject *result = NULL;
    if (path != NULL && (number != NULL || !status)) {
        PyObject *stack[] = {logger, status ? c->str_log_status : c->str_log_accepted, client, path,
                             number};
        result = PyObject_VectorcallMethod(
            c->str_info, stack, (status ? 5U : 4U) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (result == NULL) {
        PyErr_WriteUnraisable(logger);
    }
    Py_XDECREF(result);
    Py_XDECREF(number);
    Py_XDECREF(path);
    Py_XDECREF(client);
    Py_DECREF(logger);
}

void cam_websocket_trace(WebSocketObject *self, const char *format) {
    enum { TRACE = 5 }; /* camshaft.logging.TRACE_LOG_LEVEL */
    if (self->connection == NULL) {
        return;
    }
    PyObject *logger = Py_NewRef(self->server->logger);
    PyObject *client = CamScope_ClientAddress(self->connection);
    bool known = client != NULL && PyUnicode_GET_LENGTH(client) > 0;
    PyObject *prefix = known ? PyUnicode_FromFormat("%U - ", client) : Py_XNewRef(client);
    PyObject *result =
        prefix ? PyObject_CallMethod(logger, "log", "isO", (int)TRACE, format, prefix) : NULL;
    if (result == NULL) {
        PyErr_WriteUnraisable(logger);
    }
    Py_XDECREF(result);
    Py_XDECREF(prefix);
    Py_XDECREF(client);
    Py_DECREF(logger);
}

/* ---- 101 ---- */

/* What of the application's headers is the server's own business in a 101. */
static bool is_reserved(cam_slice name) {
    static const char *const names[] = {
        "upgrade",        "connection",        "sec-websocket-accept", "sec-websocket-extensions",
        "content-length", "transfer-encoding",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == name.len && cam_char_equal(name.ptr, names[i], name.len)) {
            return true;
        }
    }
    return false;
}

/* The application's headers without the reserved ones: a new list, or NULL with an exception.
 * *names_protocol becomes whether Sec-WebSocket-Protocol is among them. */
static PyObject *own_headers(PyObject *headers, bool *names_protocol) {
    PyObject *sequence = PySequence_Fast(headers, "headers must be an iterable of pairs");
    PyObject *list = sequence ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; list != NULL && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *pair = PySequence_Tuple(PySequence_Fast_GET_ITEM(sequence, i));
        bool wanted = pair != NULL;
        if (pair != NULL && PyTuple_GET_SIZE(pair) == 2 &&
            PyBytes_Check(PyTuple_GET_ITEM(pair, 0))) {
            cam_slice name = slice_of(PyTuple_GET_ITEM(pair, 0));
            wanted = !is_reserved(name);
            *names_protocol =
                *names_protocol ||
                (name.len == 22 && cam_char_equal(name.ptr, "sec-websocket-protocol", 22));
        }
        if (pair == NULL || (wanted && PyList_Append(list, pair) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    Py_XDECREF(sequence);
    return list;
}

/* The lines of a 101 that the server knows (RFC 6455 section 4.2.2). */
static int put_lines(WebSocketObject *self, cam_buffer *out, PyObject *subprotocol) {
    if (PUT_LITERAL(out, "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ") <
            0 ||
        cam_buffer_append(out, self->accept, CAM_WS_ACCEPT) < 0 || PUT_LITERAL(out, "\r\n") < 0) {
        return -1;
    }
    if (self->codec != NULL) {
        char line[CAM_WS_DEFLATE_RESPONSE];
        size_t len = cam_ws_deflate_write(line, &self->codec->agreed);
        if (PUT_LITERAL(out, "sec-websocket-extensions: ") < 0 ||
            cam_buffer_append(out, line, len) < 0 || PUT_LITERAL(out, "\r\n") < 0) {
            return -1;
        }
    }
    if (subprotocol != NULL) {
        Py_ssize_t len;
        const char *text = PyUnicode_AsUTF8AndSize(subprotocol, &len);
        if (text == NULL || PUT_LITERAL(out, "sec-websocket-protocol: ") < 0 ||
            cam_buffer_append(out, text, (size_t)len) < 0 || PUT_LITERAL(out, "\r\n") < 0) {
            return -1;
        }
    }
    return PUT_LITERAL(out, "\r\n");
}

/* Writes the 101. Runs user code. */
static int write_accept(WebSocketObject *self, PyObject *headers, PyObject *subprotocol) {
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
    CycleObject *head = CamCycle_NewAnswer(connection);
    int result = head ? CamResponse_BuildHead(head, 101, headers) : -1;
    Py_XDECREF(head);
    if (result == 0 && self->connection != NULL && self->phase == CAM_WEBSOCKET_CONNECTING) {
        cam_buffer out = connection->output;
        connection->output = (cam_buffer){0};
        result = put_lines(self, &out, subprotocol);
        if (result == 0) {
            /* From here on it counts as open: to write may run user code. */
            self->phase = CAM_WEBSOCKET_OPEN;
            self->server->request_count++;
            if (self->server->metrics != NULL) {
                CamMetrics_Answered(self->server->metrics, 101, 0);
                self->server->metrics->websockets++;
            }
            cam_ws_decoder_init(&self->decoder,
                                self->server->options.ws_max_size == SIZE_MAX
                                    ? UINT64_MAX
                                    : self->server->options.ws_max_size,
                                self->codec ? CAM_WS_DEFLATE : 0);
            result = CamTransport_Write(self->state, connection->transport, out.ptr, out.len);
        }
        cam_buffer_free(&out);
    }
    Py_DECREF(connection);
    return result;
}

/* 0 when it may be named in a header, or -1 with TypeError or RuntimeError. */
static int check_subprotocol(PyObject *subprotocol) {
    if (!PyUnicode_Check(subprotocol)) {
        PyErr_Format(PyExc_TypeError, "a subprotocol must be a str, not %.100s",
                     Py_TYPE(subprotocol)->tp_name);
        return -1;
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(subprotocol, &len);
    if (text == NULL) {
        return -1;
    }
    if (cam_char_span(text, (size_t)len, CAM_CHAR_TOKEN) != (size_t)len) {
        PyErr_Format(PyExc_RuntimeError, "Invalid WebSocket subprotocol %R: it must be a token.",
                     subprotocol);
        return -1;
    }
    return 0;
}

int cam_websocket_accept(WebSocketObject *self, PyObject *event) {
    const cam_asgi_constants *c = &self->state->asgi;
    PyObject *subprotocol = NULL;
    PyObject *given = NULL;
    PyObject *headers = NULL;
    bool names_protocol = false;
    int result = -1;
    if (CamSend_Lookup(event, c->str_subprotocol, &subprotocol) < 0 ||
        CamSend_Lookup(event, c->str_headers, &given) < 0) {
        goto done;
    }
    if (subprotocol != NULL &&
        (subprotocol == Py_None ||
         (PyUnicode_Check(subprotocol) && PyUnicode_GET_LENGTH(subprotocol) == 0))) {
        Py_CLEAR(subprotocol);
    }
    if (subprotocol != NULL && check_subprotocol(subprotocol) < 0) {
        goto done;
    }
    if (given != NULL && given != Py_None &&
        (headers = own_headers(given, &names_protocol)) == NULL) {
        goto done;
    }
    if (names_protocol && subprotocol != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "websocket.accept names the subprotocol twice, in 'headers' as well.");
        goto done;
    }
    if (self->connection == NULL || self->phase != CAM_WEBSOCKET_CONNECTING) {
        result = 0; /* lost while the event was looked at */
        goto done;
    }
    cam_websocket_log(self, 0);
    if (self->connection == NULL || self->phase != CAM_WEBSOCKET_CONNECTING) {
        result = 0;
        goto done;
    }
    result = write_accept(self, headers, subprotocol);
    if (result == 0 && self->phase == CAM_WEBSOCKET_OPEN) {
        CamServer_Log(self->server, c->str_info, "connection open", NULL);
    }
    Py_CLEAR(self->path);
    Py_CLEAR(self->query_string);
    if (result == 0 && self->phase == CAM_WEBSOCKET_OPEN) {
        HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(self->connection);
        self->ping_time = CamServer_Now();
        CamHttpProtocol_Shed(connection); /* there is no next request */
        result = self->connection ? cam_websocket_time_ping(self) : 0;
        /* What a peer sent before it was allowed to. */
        if (result == 0 && connection->input.len > 0) {
            result = CamInput_Resume(connection);
        }
        Py_DECREF(connection);
    }
done:
    Py_XDECREF(subprotocol);
    Py_XDECREF(given);
    Py_XDECREF(headers);
    return result;
}

/* ---- an HTTP response instead ---- */

/* The answer is complete, or the connection is lost: the WebSocket is at its end. */
static int settle_denial(WebSocketObject *self, int result) {
    if (self->answer != NULL && self->answer->connection == NULL) {
        cam_websocket_detach(self);
    }
    return result;
}

/* Gets ready to answer by HTTP. */
static int begin_denial(WebSocketObject *self) {
    HttpProtocolObject *connection = self->connection;
    CycleObject *answer = CamCycle_NewAnswer(connection);
    if (answer == NULL) {
        return -1;
    }
    Py_XSETREF(self->answer, answer);
    Py_XSETREF(connection->cycle, (CycleObject *)Py_NewRef(answer));
    /* As after a request without a body: what the peer has sent is for nobody. */
    connection->phase = CAM_PHASE_HEAD;
    self->phase = CAM_WEBSOCKET_DENYING;
    return 0;
}

/* Sends an event of the answer's; `event` is stolen, NULL is an error. */
static int send_answer(WebSocketObject *self, PyObject *event) {
    CycleObject *answer = (CycleObject *)Py_XNewRef(self->answer);
    int result = event && answer ? CamCycle_Send((RunObject *)answer, event) : event ? 0 : -1;
    Py_XDECREF(event);
    Py_XDECREF(answer);
    return result;
}

int cam_websocket_forbid(WebSocketObject *self) {
    const cam_asgi_constants *c = &self->state->asgi;
    cam_websocket_log(self, 403);
    if (self->connection == NULL || self->phase != CAM_WEBSOCKET_CONNECTING) {
        return 0;
    }
    if (begin_denial(self) < 0 || cam_websocket_note_end(self, CAM_WS_CLOSE_ABNORMAL, NULL) < 0 ||
        send_answer(self, Py_BuildValue("{s:O,s:i,s:((yy))}", "type", c->str_response_start,
                                        "status", 403, "headers", "content-type",
                                        "text/plain; charset=utf-8")) < 0) {
        return -1;
    }
    return settle_denial(self, send_answer(self, Py_BuildValue("{s:O,s:y}", "type",
                                                               c->str_response_body, "body", "")));
}

int cam_websocket_fail(WebSocketObject *self, int status) {
    if (self->connection == NULL) {
        return 0;
    }
    if (cam_websocket_note_end(self, CAM_WS_CLOSE_ABNORMAL, NULL) < 0) {
        return -1;
    }
    if (self->phase == CAM_WEBSOCKET_CONNECTING && begin_denial(self) < 0) {
        return -1;
    }
    CycleObject *answer = (CycleObject *)Py_XNewRef(self->answer);
    int result = 0;
    if (answer != NULL && !CamCycle_HasBegun(answer)) {
        result = CamResponse_WriteFailure(answer, status);
    } else {
        /* Half of an answer is out. */
        result = CamTransport_Abort(self->state, self->connection->transport);
    }
    Py_XDECREF(answer);
    return settle_denial(self, result);
}

/* The event as it would be of a request: "websocket.http.response.start" without "websocket.". */
static PyObject *as_request_event(WebSocketObject *self, PyObject *event, PyObject *type) {
    PyObject *copy = PyDict_New();
    if (copy == NULL || PyDict_Update(copy, event) < 0 ||
        PyDict_SetItem(copy, self->state->asgi.str_type, type) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

int cam_websocket_deny(WebSocketObject *self, PyObject *event, PyObject *type) {
    const cam_asgi_constants *c = &self->state->asgi;
    bool starts = self->phase == CAM_WEBSOCKET_CONNECTING;
    PyObject *wanted = starts ? c->str_websocket_response_start : c->str_websocket_response_body;
    int same = PyObject_RichCompareBool(type, wanted, Py_EQ);
    if (same <= 0) {
        if (same == 0) {
            PyErr_Format(PyExc_RuntimeError, "Expected ASGI message '%U' but got '%S'.", wanted,
                         type);
        }
        return -1;
    }
    PyObject *copy =
        as_request_event(self, event, starts ? c->str_response_start : c->str_response_body);
    if (copy == NULL) {
        return -1;
    }
    if (self->connection == NULL || (starts && self->phase != CAM_WEBSOCKET_CONNECTING)) {
        Py_DECREF(copy);
        return 0;
    }
    if (!starts) {
        int result = send_answer(self, copy);
        if (result == 0 && self->answer != NULL && self->answer->connection == NULL) {
            result = cam_websocket_note_end(self, CAM_WS_CLOSE_ABNORMAL, NULL);
        }
        return settle_denial(self, result);
    }
    if (begin_denial(self) < 0) {
        Py_DECREF(copy);
        return -1;
    }
    int result = send_answer(self, copy);
    if (result < 0) {
        /* Not a response: the handshake is unanswered still, and 500 can be said. */
        if (self->phase == CAM_WEBSOCKET_DENYING && self->connection != NULL) {
            PyObject *error = PyErr_GetRaisedException();
            HttpProtocolObject *connection = self->connection;
            CamHttpProtocol_DropCycle(connection);
            Py_CLEAR(self->answer);
            if (self->connection != NULL) {
                connection->phase = CAM_PHASE_WEBSOCKET;
                self->phase = CAM_WEBSOCKET_CONNECTING;
            }
            PyErr_SetRaisedException(error);
        }
        return -1;
    }
    if (self->answer != NULL) {
        cam_websocket_log(self, self->answer->status);
    }
    return settle_denial(self, 0);
}
