/* SPDX-License-Identifier: MIT */
#include "asgi/response.h"

#include "asgi/host.h"
#include "http/chars.h"

/* ---- status lines ---- */

/* The reason phrases of the IANA registry, as http.HTTPStatus has them; "" for others. */
static const char *reason_phrase(int status) {
    switch (status) {
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 203:
        return "Non-Authoritative Information";
    case 204:
        return "No Content";
    case 205:
        return "Reset Content";
    case 206:
        return "Partial Content";
    case 207:
        return "Multi-Status";
    case 208:
        return "Already Reported";
    case 226:
        return "IM Used";
    case 300:
        return "Multiple Choices";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 305:
        return "Use Proxy";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 402:
        return "Payment Required";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 407:
        return "Proxy Authentication Required";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 418:
        return "I'm a Teapot";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Content";
    case 423:
        return "Locked";
    case 424:
        return "Failed Dependency";
    case 425:
        return "Too Early";
    case 426:
        return "Upgrade Required";
    case 428:
        return "Precondition Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 451:
        return "Unavailable For Legal Reasons";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 506:
        return "Variant Also Negotiates";
    case 507:
        return "Insufficient Storage";
    case 508:
        return "Loop Detected";
    case 510:
        return "Not Extended";
    case 511:
        return "Network Authentication Required";
    default:
        return "";
    }
}

static int put_status_line(cam_buffer *out, int status) {
    const char *reason = reason_phrase(status);
    size_t len = strlen(reason);
    if (cam_buffer_reserve(out, 9 + 4 + len + 2) < 0) {
        return -1;
    }
    const char code[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                          (char)('0' + status % 10), ' '};
    cam_buffer_put(out, "HTTP/1.1 ", 9);
    cam_buffer_put(out, code, 4);
    cam_buffer_put(out, reason, len);
    cam_buffer_put(out, "\r\n", 2);
    return 0;
}

/* ---- headers ---- */

#define PUT_LITERAL(out, text) cam_buffer_append(out, text, sizeof(text) - 1)

/* What the headers of an application say, not yet the cycle's: to go through them may run user
 * code, which may begin the answer itself. */
typedef struct head_notes {
    uint64_t length;
    bool has_length;
    bool without_length; /* there is none on the wire, whatever the application says */
    bool says_close;
    bool date;
    bool server;
    cam_buffer *out;
} head_notes;

/* The next element of a comma-separated list from *at on, without the white space around it.
 * False at the end of the list. */
static bool next_element(const char *list, size_t len, size_t *at, cam_slice *element) {
    if (*at >= len) {
        return false;
    }
    size_t from = *at;
    size_t to = from;
    while (to < len && list[to] != ',') {
        to++;
    }
    *at = to + 1;
    while (from < to && (list[from] == ' ' || list[from] == '\t')) {
        from++;
    }
    while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t')) {
        to--;
    }
    *element = (cam_slice){list + from, to - from};
    return true;
}

static bool is_word(cam_slice text, const char *word) {
    size_t len = strlen(word);
    return text.len == len && cam_char_equal(text.ptr, word, len);
}

bool CamResponse_HasToken(const char *list, size_t len, const char *token) {
    cam_slice element;
    for (size_t at = 0; next_element(list, len, &at, &element);) {
        if (is_word(element, token)) {
            return true;
        }
    }
    return false;
}

/* 1: write the line as well, 0: leave it out, -1: RuntimeError. */
static int note_length(head_notes *notes, cam_slice value) {
    uint64_t length = 0;
    if (value.len == 0 || value.len > 18 ||
        cam_char_span(value.ptr, value.len, CAM_CHAR_DIGIT) != value.len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid Content-Length header.");
        return -1;
    }
    for (size_t i = 0; i < value.len; i++) {
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (notes->has_length) {
        if (length != notes->length) {
            PyErr_SetString(PyExc_RuntimeError, "Conflicting Content-Length headers.");
            return -1;
        }
        return 0;
    }
    notes->has_length = true;
    notes->length = length;
    return !notes->without_length;
}

/* Connection: whether it is kept alive is for the server to say, so that option is taken out.
 * Returns as note_length; 0 if the line is written already. */
static int note_connection(head_notes *notes, cam_slice value) {
    notes->says_close = notes->says_close || CamResponse_HasToken(value.ptr, value.len, "close");
    if (!CamResponse_HasToken(value.ptr, value.len, "keep-alive")) {
        return 1;
    }
    static const char name[] = "connection: ";
    if (cam_buffer_reserve(notes->out, sizeof name + value.len + 2) < 0) {
        return -1;
    }
    size_t before = notes->out->len;
    cam_slice element;
    for (size_t at = 0; next_element(value.ptr, value.len, &at, &element);) {
        if (element.len > 0 && !is_word(element, "keep-alive")) {
            bool first = notes->out->len == before;
            cam_buffer_put(notes->out, first ? name : ",", first ? sizeof name - 1 : 1);
            cam_buffer_put(notes->out, element.ptr, element.len);
        }
    }
    if (notes->out->len > before) {
        cam_buffer_put(notes->out, "\r\n", 2);
    }
    return 0;
}

/* Looks at what concerns the connection and its framing; returns as note_length. */
static int note_header(head_notes *notes, cam_slice name, cam_slice value) {
    bool repeated;
    switch (name.len) {
    case 4:
        if (cam_char_equal(name.ptr, "date", 4)) {
            repeated = notes->date; /* RFC 9110 sections 6.6.1 and 5.3: one line, one value */
            notes->date = true;
            return !repeated;
        }
        break;
    case 6:
        if (cam_char_equal(name.ptr, "server", 6)) {
            repeated = notes->server;
            notes->server = true;
            return !repeated;
        }
        break;
    case 10:
        if (cam_char_equal(name.ptr, "connection", 10)) {
            return note_connection(notes, value);
        }
        /* RFC 9112 appendix C.2.2: for how long is the server's to say, if at all. */
        return !cam_char_equal(name.ptr, "keep-alive", 10);
    case 14:
        if (cam_char_equal(name.ptr, "content-length", 14)) {
            return note_length(notes, value);
        }
        break;
    case 16:
        return !cam_char_equal(name.ptr, "proxy-connection", 16);
    case 17:
        /* The ASGI specification has servers ignore it. */
        return !cam_char_equal(name.ptr, "transfer-encoding", 17);
    default:
        break;
    }
    return 1;
}

/* 0 when both are bytes that a header line may hold, or -1. */
static int check_field(PyObject *name, PyObject *value) {
    if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "header names and values must be bytes, not %.100s",
                     Py_TYPE(PyBytes_Check(name) ? value : name)->tp_name);
        return -1;
    }
    size_t name_len = (size_t)PyBytes_GET_SIZE(name);
    size_t value_len = (size_t)PyBytes_GET_SIZE(value);
    /* RFC 9110 section 5.1: a token. */
    if (name_len == 0 ||
        cam_char_span(PyBytes_AS_STRING(name), name_len, CAM_CHAR_TOKEN) != name_len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header name.");
        return -1;
    }
    /* Section 5.5: no CR, LF, NUL or other control character but a tab. */
    if (cam_char_span(PyBytes_AS_STRING(value), value_len, CAM_CHAR_FIELD) != value_len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header value.");
        return -1;
    }
    return 0;
}

/* The line of a field that has been checked, its name in lower case as ASGI has it. */
static int put_line(cam_buffer *out, PyObject *name, PyObject *value) {
    const char *n = PyBytes_AS_STRING(name);
    size_t n_len = (size_t)PyBytes_GET_SIZE(name);
    size_t v_len = (size_t)PyBytes_GET_SIZE(value);
    if (cam_buffer_reserve(out, n_len + v_len + 4) < 0) {
        return -1;
    }
    char *to = out->ptr + out->len;
    for (size_t i = 0; i < n_len; i++) {
        to[i] = (char)cam_char_lower[(uint8_t)n[i]];
    }
    out->len += n_len;
    cam_buffer_put(out, ": ", 2);
    cam_buffer_put(out, PyBytes_AS_STRING(value), v_len);
    cam_buffer_put(out, "\r\n", 2);
    return 0;
}

int CamResponse_PutField(cam_buffer *out, PyObject *name, PyObject *value) {
    return check_field(name, value) < 0 ? -1 : put_line(out, name, value);
}

static int put_header(void *argument, PyObject *name, PyObject *value) {
    head_notes *notes = argument;
    if (check_field(name, value) < 0) {
        return -1;
    }
    cam_slice n = {PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name)};
    cam_slice v = {PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
    int wanted = note_header(notes, n, v);
    return wanted > 0 ? put_line(notes->out, name, value) : wanted;
}

static int put_pair(PyObject *pair, cam_put_field put, void *argument) {
    if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2) {
        return put(argument, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    PyObject *tuple = PySequence_Tuple(pair);
    if (tuple == NULL) {
        return -1;
    }
    int result = -1;
    if (PyTuple_GET_SIZE(tuple) != 2) {
        PyErr_SetString(PyExc_ValueError, "a header must be a pair, (name, value)");
    } else {
        result = put(argument, PyTuple_GET_ITEM(tuple, 0), PyTuple_GET_ITEM(tuple, 1));
    }
    Py_DECREF(tuple);
    return result;
}

int CamResponse_EachField(PyObject *headers, cam_put_field put, void *argument) {
    PyObject *sequence = PySequence_Fast(headers, "headers must be an iterable of pairs");
    if (sequence == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *pair = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        result = put_pair(pair, put, argument);
        Py_DECREF(pair);
    }
    Py_DECREF(sequence);
    return result;
}

static int put_bytes(cam_buffer *out, PyObject *bytes) {
    return cam_buffer_append(out, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

/* Server, Date and what the server adds to every response. Of the application's and ours there is
 * one: RFC 9110 section 5.3 has a field repeated only if it is a list. */
static int put_own_headers(HttpServerObject *server, cam_buffer *out, const head_notes *notes) {
    if (server->host != NULL) {
        return CamHost_PutHeaders(server->host, out, notes->date, notes->server);
    }
    if (!notes->date) {
        if (server->fixed.date != NULL
                ? put_bytes(out, server->fixed.date) < 0
                : server->options.date_header &&
                      cam_buffer_append(out, CamServer_DateLine(server), CAM_DATE_LINE) < 0) {
            return -1;
        }
    }
    if (!notes->server) {
        if (server->fixed.server != NULL
                ? put_bytes(out, server->fixed.server) < 0
                : server->options.server_header && PUT_LITERAL(out, "server: camshaft\r\n") < 0) {
            return -1;
        }
    }
    return put_bytes(out, server->fixed.others);
}

/* Makes what has been written and noted the cycle's, unless user code was faster. */
static int begin_answer(CycleObject *cycle, int status, const head_notes *notes) {
    if (cycle->answer != CAM_ANSWER_NONE) {
        PyErr_SetString(PyExc_RuntimeError,
                        "The response was started while its headers were read.");
        return -1;
    }
    cycle->status = status;
    cycle->has_length = notes->has_length;
    cycle->length_left = notes->length;
    cycle->says_close = notes->says_close;
    cycle->chunked = false;
    cycle->without_body = cycle->is_head || status == 204 || status == 205 || status == 304;
    if (notes->says_close) {
        cycle->keep_alive = false;
    }
    return 0;
}

int CamResponse_BuildHead(CycleObject *cycle, int status, PyObject *headers) {
    if (cycle->server->host != NULL && CamHost_RefreshHeaders(cycle->server->host) < 0) {
        return -1;
    }
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(cycle->connection);
    /* Ours alone meanwhile: what runs must not find it half written. */
    cam_buffer out = connection->output;
    connection->output = (cam_buffer){0};
    out.len = 0;
    /* RFC 9110 section 8.6: none with 204, not even one of 0. A 205 gets its own, of 0. */
    head_notes notes = {.out = &out, .without_length = status == 204 || status == 205};
    int result = put_status_line(&out, status);
    if (result == 0 && headers != NULL) {
        result = CamResponse_EachField(headers, put_header, &notes);
    }
    if (result == 0) {
        result = put_own_headers(cycle->server, &out, &notes);
    }
    if (result == 0 && cycle->connection != NULL) {
        result = begin_answer(cycle, status, &notes);
    }
    if (result < 0 || cycle->connection == NULL) {
        cam_buffer_free(&out); /* in vain, or lost meanwhile */
    } else {
        cam_buffer_free(&connection->output);
        connection->output = out;
    }
    Py_DECREF(connection);
    return result;
}

int CamResponse_SetLength(CycleObject *cycle, uint64_t size) {
    char line[48];
    int len =
        PyOS_snprintf(line, sizeof line, "content-length: %llu\r\n", (unsigned long long)size);
    if (cam_buffer_append(&cycle->connection->output, line, (size_t)len) < 0) {
        return -1;
    }
    cycle->has_length = true;
    cycle->length_left = size;
    return 0;
}

int CamResponse_EndHead(CycleObject *cycle, size_t size, bool more_body) {
    cam_buffer *out = &cycle->connection->output;
    if (!cycle->without_body && !cycle->has_length) {
        if (!more_body && !cycle->sends_trailers) {
            if (CamResponse_SetLength(cycle, size) < 0) {
                return -1;
            }
        } else if (cycle->minor_version == 1) {
            if (PUT_LITERAL(out, "transfer-encoding: chunked\r\n") < 0) {
                return -1;
            }
            cycle->chunked = true;
        } else {
            cycle->keep_alive = false; /* the end of the connection is the end of the body */
        }
    }
    /* RFC 9110 section 15.3.6: a 205 has no content, and nothing but its length says so. */
    if (cycle->status == 205 && PUT_LITERAL(out, "content-length: 0\r\n") < 0) {
        return -1;
    }
    /* A peer that was not told to go on may send its body or not: nobody can tell what comes. */
    if (cycle->awaits_100 || ((cycle->server->shutting_down || cycle->server->full) &&
                              !CamHttpProtocol_HasMore(cycle->connection))) {
        cycle->keep_alive = false;
    }
    if (!cycle->keep_alive) {
        if (!cycle->says_close && PUT_LITERAL(out, "connection: close\r\n") < 0) {
            return -1;
        }
    } else if (cycle->minor_version == 0 && PUT_LITERAL(out, "connection: keep-alive\r\n") < 0) {
        return -1;
    }
    return PUT_LITERAL(out, "\r\n");
}

/* ---- the server's own answers ---- */

int CamResponse_WriteError(HttpProtocolObject *connection, int status, const char *reason) {
    cam_buffer out = {0};
    struct cam_host *host = connection->server->host;
    if (host != NULL) {
        if (CamHost_RefreshHeaders(host) < 0) {
            return -1;
        }
        reason = status == 400 ? "Invalid HTTP request received." : reason; /* uvicorn's text */
    }
    if (connection->server->metrics != NULL) {
        CamMetrics_Answered(connection->server->metrics, status, 0);
    }
    char line[128];
    int len = PyOS_snprintf(line, sizeof line,
                            "content-type: text/plain; charset=utf-8\r\n"
                            "content-length: %zu\r\nconnection: close\r\n\r\n",
                            strlen(reason) + 1);
    head_notes notes = {0};
    int result = -1;
    if (put_status_line(&out, status) == 0 &&
        put_own_headers(connection->server, &out, &notes) == 0 &&
        cam_buffer_append(&out, line, (size_t)len) == 0 &&
        cam_buffer_append(&out, reason, strlen(reason)) == 0 && PUT_LITERAL(&out, "\n") == 0) {
        result = CamTransport_Write(connection->state, connection->transport, out.ptr, out.len);
    }
    cam_buffer_free(&out);
    return result;
}

int CamResponse_WriteFailure(CycleObject *cycle, int status) {
    PyObject *start = Py_BuildValue(
        "{s:O,s:i,s:[(y,y),(y,y)]}", "type", cycle->state->asgi.str_response_start, "status",
        status, "headers", "content-type", "text/plain; charset=utf-8", "connection", "close");
    PyObject *body = Py_BuildValue("{s:O,s:y}", "type", cycle->state->asgi.str_response_body,
                                   "body", reason_phrase(status));
    int result = -1;
    if (start != NULL && body != NULL) {
        cycle->answer = CAM_ANSWER_NONE;
        cycle->pumping = false;
        result = CamCycle_Send((RunObject *)cycle, start);
        if (result == 0) {
            result = CamCycle_Send((RunObject *)cycle, body);
        }
    }
    Py_XDECREF(start);
    Py_XDECREF(body);
    return result;
}
