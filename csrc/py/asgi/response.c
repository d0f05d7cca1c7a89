/* SPDX-License-Identifier: MIT */
#include "asgi/response.h"

#include "http/chars.h"

/* ---- status lines ---- */

/* The reason phrases of the IANA registry, as http.HTTPStatus has them; "" for others. */
static const char *reason_phrase(int status) {
    switch (status) {
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

/* What has been seen among the headers of an application. */
typedef struct head_notes {
    bool date;
    bool server;
} head_notes;

/* True when a comma-separated list has the token, which must be in lower case. */
static bool has_token(const char *list, size_t len, const char *token, size_t token_len) {
    size_t at = 0;
    while (at < len) {
        size_t end = at;
        while (end < len && list[end] != ',') {
            end++;
        }
        size_t from = at;
        size_t to = end;
        while (from < to && (list[from] == ' ' || list[from] == '\t')) {
            from++;
        }
        while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t')) {
            to--;
        }
        if (to - from == token_len && cam_char_equal(list + from, token, token_len)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

/* 1: write the line as well, 0: leave it out, -1: RuntimeError. */
static int note_length(CycleObject *cycle, const char *value, size_t len) {
    uint64_t length = 0;
    if (len == 0 || len > 18 || cam_char_span(value, len, CAM_CHAR_DIGIT) != len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid Content-Length header.");
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (cycle->has_length) {
        if (length != cycle->length_left) {
            PyErr_SetString(PyExc_RuntimeError, "Conflicting Content-Length headers.");
            return -1;
        }
        return 0;
    }
    cycle->has_length = true;
    cycle->length_left = length;
    /* RFC 9110 section 8.6: none with 204, not even one of 0. */
    return cycle->status != 204;
}

/* Looks at what concerns the connection and its framing; returns as note_length. */
static int note_header(CycleObject *cycle, head_notes *notes, const char *name, size_t name_len,
                       const char *value, size_t len) {
    switch (name_len) {
    case 4:
        notes->date = notes->date || cam_char_equal(name, "date", 4);
        break;
    case 6:
        notes->server = notes->server || cam_char_equal(name, "server", 6);
        break;
    case 10:
        if (cam_char_equal(name, "connection", 10)) {
            if (has_token(value, len, "close", 5)) {
                cycle->keep_alive = false;
                cycle->says_close = true;
            }
            /* Whether it is kept alive is for the server to say. */
            return !(len == 10 && cam_char_equal(value, "keep-alive", 10));
        }
        break;
    case 14:
        if (cam_char_equal(name, "content-length", 14)) {
            return note_length(cycle, value, len);
        }
        break;
    case 17:
        /* The ASGI specification has servers ignore it. */
        return !cam_char_equal(name, "transfer-encoding", 17);
    default:
        break;
    }
    return 1;
}

static int put_header(CycleObject *cycle, cam_buffer *out, head_notes *notes, PyObject *name,
                      PyObject *value) {
    if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "header names and values must be bytes, not %.100s",
                     Py_TYPE(PyBytes_Check(name) ? value : name)->tp_name);
        return -1;
    }
    const char *n = PyBytes_AS_STRING(name);
    size_t n_len = (size_t)PyBytes_GET_SIZE(name);
    const char *v = PyBytes_AS_STRING(value);
    size_t v_len = (size_t)PyBytes_GET_SIZE(value);
    if (n_len == 0 || cam_char_span(n, n_len, CAM_CHAR_TOKEN) != n_len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header name.");
        return -1;
    }
    if (cam_char_span(v, v_len, CAM_CHAR_FIELD) != v_len) {
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header value.");
        return -1;
    }
    int wanted = note_header(cycle, notes, n, n_len, v, v_len);
    if (wanted <= 0) {
        return wanted;
    }
    if (cam_buffer_reserve(out, n_len + v_len + 4) < 0) {
        return -1;
    }
    char *to = out->ptr + out->len;
    for (size_t i = 0; i < n_len; i++) {
        to[i] = (char)cam_char_lower[(uint8_t)n[i]];
    }
    out->len += n_len;
    cam_buffer_put(out, ": ", 2);
    cam_buffer_put(out, v, v_len);
    cam_buffer_put(out, "\r\n", 2);
    return 0;
}

static int put_pair(CycleObject *cycle, cam_buffer *out, head_notes *notes, PyObject *pair) {
    if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2) {
        return put_header(cycle, out, notes, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    PyObject *tuple = PySequence_Tuple(pair);
    if (tuple == NULL) {
        return -1;
    }
    int result = -1;
    if (PyTuple_GET_SIZE(tuple) != 2) {
        PyErr_SetString(PyExc_ValueError, "a header must be a pair, (name, value)");
    } else {
        result =
            put_header(cycle, out, notes, PyTuple_GET_ITEM(tuple, 0), PyTuple_GET_ITEM(tuple, 1));
    }
    Py_DECREF(tuple);
    return result;
}

/* Adds the application's headers. An iterable that is not a list or tuple runs user code, which
 * must not find the connection's buffer half written: the caller has a buffer of its own. */
static int put_headers(CycleObject *cycle, cam_buffer *out, head_notes *notes, PyObject *headers) {
    PyObject *sequence = PySequence_Fast(headers, "headers must be an iterable of pairs");
    if (sequence == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *pair = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        result = put_pair(cycle, out, notes, pair);
        Py_DECREF(pair);
    }
    Py_DECREF(sequence);
    return result;
}

/* Server, Date and what the server adds to every response. */
static int put_own_headers(HttpServerObject *server, cam_buffer *out, const head_notes *notes) {
    if (server->options.date_header && !notes->date &&
        cam_buffer_append(out, CamServer_DateLine(server), CAM_DATE_LINE) < 0) {
        return -1;
    }
    if (server->options.server_header && !notes->server &&
        PUT_LITERAL(out, "server: camshaft\r\n") < 0) {
        return -1;
    }
    return cam_buffer_append(out, PyBytes_AS_STRING(server->fixed_headers),
                             (size_t)PyBytes_GET_SIZE(server->fixed_headers));
}

int CamResponse_BuildHead(CycleObject *cycle, int status, PyObject *headers) {
    cycle->status = status;
    cycle->has_length = false;
    cycle->says_close = false;
    cycle->without_body = cycle->is_head || status == 204 || status == 304;
    HttpProtocolObject *connection = (HttpProtocolObject *)Py_NewRef(cycle->connection);
    cam_buffer out = connection->output;
    connection->output = (cam_buffer){0};
    out.len = 0;
    head_notes notes = {0};
    int result = put_status_line(&out, status);
    if (result == 0 && headers != NULL) {
        result = put_headers(cycle, &out, &notes, headers);
    }
    if (result == 0) {
        result = put_own_headers(cycle->server, &out, &notes);
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

int CamResponse_EndHead(CycleObject *cycle, size_t size, bool more_body) {
    cam_buffer *out = &cycle->connection->output;
    if (!cycle->without_body && !cycle->has_length) {
        if (!more_body) {
            char line[48];
            int len = PyOS_snprintf(line, sizeof line, "content-length: %zu\r\n", size);
            if (cam_buffer_append(out, line, (size_t)len) < 0) {
                return -1;
            }
            cycle->has_length = true;
            cycle->length_left = size;
        } else if (cycle->minor_version == 1) {
            if (PUT_LITERAL(out, "transfer-encoding: chunked\r\n") < 0) {
                return -1;
            }
            cycle->chunked = true;
        } else {
            cycle->keep_alive = false; /* the end of the connection is the end of the body */
        }
    }
    /* A peer that was not told to go on may send its body or not: nobody can tell what comes. */
    if (cycle->server->shutting_down || cycle->awaits_100) {
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

int CamResponse_WriteFailure(CycleObject *cycle) {
    PyObject *start = Py_BuildValue(
        "{s:O,s:i,s:[(y,y),(y,y)]}", "type", cycle->state->asgi.str_response_start, "status", 500,
        "headers", "content-type", "text/plain; charset=utf-8", "connection", "close");
    PyObject *body = Py_BuildValue("{s:O,s:y}", "type", cycle->state->asgi.str_response_body,
                                   "body", "Internal Server Error");
    int result = -1;
    if (start != NULL && body != NULL) {
        cycle->answer = CAM_ANSWER_NONE;
        result = CamCycle_Send((RunObject *)cycle, start);
        if (result == 0) {
            result = CamCycle_Send((RunObject *)cycle, body);
        }
    }
    Py_XDECREF(start);
    Py_XDECREF(body);
    return result;
}
