/* SPDX-License-Identifier: MIT */
/*
 * HttpRequestParser and HttpResponseParser: httptools' classes over the core's event parser.
 *
 * The events of h1_stream.h become calls on a protocol, at httptools' points and with its
 * arguments. A header is held back until it is known that no line goes on with its value: until
 * the next begins, or the head ends.
 *
 * Every callback runs user code, which may do anything but feed the parser it is called by. Between
 * two callbacks nothing but what is in the object is relied on.
 */
#include <limits.h>
#include <stddef.h>

#include "compat.h"
#include "http/h1_error.h"
#include "http/h1_stream.h"
#include "http/http.h"

typedef struct ParserObject {
    PyObject_HEAD
    cam_state *state;
    cam_h1_stream stream;
    PyObject *callbacks[CAM_HTTP_CALLBACK_COUNT]; /* NULL where the protocol has none */
    PyObject *name;                               /* the header held back, or NULL */
    PyObject *value;                              /* with it */
    /* A header block that came whole, and what was made of it. Only bytes, so that no cycle goes
     * through it. */
    PyObject *block;         /* bytes, or NULL */
    PyObject *block_headers; /* tuple of names and values by turns; with it */
    cam_h1_told_block told;
    PyObject *recording; /* list or NULL: the headers of the block being told */
    uint8_t misses;      /* how often in a row it was of no use */
    int failed;          /* which callback raised, CAM_HTTP_ON_*; -1 for none */
    bool feeding;        /* inside feed_data() */
    bool starved;        /* there was no memory: what that event took is lost */
    bool initialized;    /* __init__() has been called */
} ParserObject;

/* Bytes of a header block that is remembered, and blocks in a row that were not the one before
 * after which remembering is given up: this client sends no block twice. */
enum { BLOCK_LIMIT = 4096, MISS_LIMIT = 4 };

static void forget_block(ParserObject *parser) {
    Py_CLEAR(parser->block);
    Py_CLEAR(parser->block_headers);
}

static int parser_traverse(PyObject *self, visitproc visit, void *arg) {
    ParserObject *parser = (ParserObject *)self;
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < CAM_HTTP_CALLBACK_COUNT; i++) {
        Py_VISIT(parser->callbacks[i]);
    }
    return 0;
}

static int parser_clear(PyObject *self) {
    ParserObject *parser = (ParserObject *)self;
    for (int i = 0; i < CAM_HTTP_CALLBACK_COUNT; i++) {
        Py_CLEAR(parser->callbacks[i]);
    }
    return 0;
}

static void parser_dealloc(PyObject *self) {
    ParserObject *parser = (ParserObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)parser_clear(self);
    Py_CLEAR(parser->name);
    Py_CLEAR(parser->value);
    forget_block(parser);
    Py_CLEAR(parser->recording);
    cam_h1_stream_fini(&parser->stream);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *parser_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(kwargs)) {
    ParserObject *parser = (ParserObject *)type->tp_alloc(type, 0);
    if (parser == NULL) {
        return NULL;
    }
    parser->failed = -1;
    parser->state = CamState_OfType(type);
    if (parser->state == NULL) {
        Py_DECREF(parser);
        return NULL;
    }
    return (PyObject *)parser;
}

/* Keeps the exception that is set. */
static void drop_callbacks(PyObject **callbacks) {
    PyObject *pending = PyErr_GetRaisedException();
    for (int i = 0; i < CAM_HTTP_CALLBACK_COUNT; i++) {
        Py_CLEAR(callbacks[i]);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* *slot becomes the protocol's attribute, or NULL if it has none or it is None. 0, or -1 with an
 * exception. */
static int look_up(PyObject *protocol, PyObject *name, PyObject **slot) {
    PyObject *callback = PyObject_GetAttr(protocol, name);
    if (callback == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    } else if (callback == Py_None) {
        Py_CLEAR(callback);
    }
    *slot = callback;
    return 0;
}

/* A bound of the caller's, as it was where None is given. */
static int read_limit(PyObject *value, const char *name, size_t most, size_t *limit) {
    if (value == NULL || value == Py_None) {
        return 0;
    }
    Py_ssize_t number = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (number < 1 || (size_t)number > most) {
        PyErr_Format(PyExc_ValueError, "%s must be from 1 to %zu, not %zd", name, most, number);
        return -1;
    }
    *limit = (size_t)number;
    return 0;
}

static int parser_init(ParserObject *parser, PyObject *args, PyObject *kwargs, bool response) {
    static char *keywords[] = {"protocol", "max_line", "max_headers", "max_head_bytes", NULL};
    PyObject *protocol;
    PyObject *max_line = NULL;
    PyObject *max_headers = NULL;
    PyObject *max_head_bytes = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOO", keywords, &protocol, &max_line,
                                     &max_headers, &max_head_bytes)) {
        return -1;
    }
    cam_h1_stream_limits limits = cam_h1_stream_default_limits;
    if (read_limit(max_line, "max_line", INT_MAX / 4, &limits.max_line) < 0 ||
        read_limit(max_headers, "max_headers", INT_MAX / 4, &limits.max_headers) < 0 ||
        read_limit(max_head_bytes, "max_head_bytes", INT_MAX / 4, &limits.max_head_bytes) < 0) {
        return -1;
    }
    PyObject *const *names = parser->state->http.callback_names;
    PyObject *callbacks[CAM_HTTP_CALLBACK_COUNT] = {NULL};
    int status = 0;
    for (int i = 0; status == 0 && i < CAM_HTTP_CALLBACK_COUNT; i++) {
        bool other = i == (response ? CAM_HTTP_ON_URL : CAM_HTTP_ON_STATUS);
        status = other ? 0 : look_up(protocol, names[i], &callbacks[i]);
    }
    if (status == 0 && parser->feeding) { /* it is called by a callback */
        PyErr_SetString(PyExc_RuntimeError, "a parser cannot be initialized while it is fed");
        status = -1;
    }
    if (status < 0) {
        drop_callbacks(callbacks);
        return -1;
    }
    PyObject *former[CAM_HTTP_CALLBACK_COUNT];
    memcpy(former, parser->callbacks, sizeof(former));
    memcpy(parser->callbacks, callbacks, sizeof(callbacks));
    cam_h1_stream_fini(&parser->stream);
    cam_h1_stream_init(&parser->stream, response, &limits);
    parser->stream.untold =
        (uint16_t)((callbacks[CAM_HTTP_ON_BEGIN] ? 0 : 1 << CAM_H1_EVENT_BEGIN) |
                   (callbacks[CAM_HTTP_ON_COMPLETE] ? 0 : 1 << CAM_H1_EVENT_END));
    parser->stream.chunks_untold = callbacks[CAM_HTTP_ON_CHUNK_HEADER] == NULL &&
                                   callbacks[CAM_HTTP_ON_CHUNK_COMPLETE] == NULL;
    Py_CLEAR(parser->name);
    Py_CLEAR(parser->value);
    forget_block(parser);
    Py_CLEAR(parser->recording);
    parser->misses = 0;
    parser->failed = -1;
    parser->starved = false;
    parser->initialized = true;
    drop_callbacks(former); /* may run user code */
    return 0;
}

static int request_parser_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    return parser_init((ParserObject *)self, args, kwargs, false);
}

static int response_parser_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    return parser_init((ParserObject *)self, args, kwargs, true);
}

/* -1 with an exception for a subclass that does not call __init__(). */
static int require_init(const ParserObject *parser) {
    if (!parser->initialized) {
        PyErr_SetString(PyExc_RuntimeError, "the parser's __init__() has not been called");
        return -1;
    }
    return 0;
}

/* Sets the exception for a callback that raised, now or earlier, with `context` (stolen, may be
 * NULL) as what it raised. */
static void set_callback_error(ParserObject *parser, PyObject *context) {
    cam_http_constants *http = &parser->state->http;
    PyObject *text =
        PyUnicode_FromFormat("`%U` callback error", http->callback_names[parser->failed]);
    PyObject *error = text != NULL ? PyObject_CallOneArg(http->callback_error, text) : NULL;
    Py_XDECREF(text);
    if (error == NULL) {
        Py_XDECREF(context);
        return;
    }
    if (context != NULL) {
        PyException_SetContext(error, context);
    }
    PyErr_SetRaisedException(error);
}

/*
 * Calls a callback. 0, or -1 with an exception: HttpParserCallbackError around an Exception, any
 * other as it is, for KeyboardInterrupt is nobody's to catch on the way.
 */
static int call(ParserObject *parser, int which, PyObject *const *args, size_t nargs) {
    PyObject *callback = parser->callbacks[which];
    if (callback == NULL) {
        return 0;
    }
    Py_INCREF(callback);
    PyObject *result =
        PyObject_Vectorcall(callback, args, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(callback);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    parser->failed = which;
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        set_callback_error(parser, PyErr_GetRaisedException());
    }
    return -1;
}

static int call_bare(ParserObject *parser, int which) {
    PyObject *args[1] = {NULL};
    return call(parser, which, args + 1, 0);
}

static int call_with_bytes(ParserObject *parser, int which, cam_slice text) {
    if (parser->callbacks[which] == NULL) {
        return 0;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(text.ptr, (Py_ssize_t)text.len);
    if (bytes == NULL) {
        return -1;
    }
    PyObject *args[2] = {NULL, bytes};
    int status = call(parser, which, args + 1, 1);
    Py_DECREF(bytes);
    return status;
}

/*
 * Tells of a body whose first piece ends before the len bytes at buf do. Of a protocol that does
 * not look at chunks the data of all that are there goes into one call, for an object and a call
 * for each of ten cost more than parsing them. 0 with *consumed how many bytes that took, or -1.
 */
static int tell_body(ParserObject *parser, cam_slice text, const char *buf, size_t len,
                     size_t *consumed) {
    cam_slice more;
    if (!cam_h1_stream_more_body(&parser->stream, buf, len, consumed, &more) ||
        parser->callbacks[CAM_HTTP_ON_BODY] == NULL) {
        return call_with_bytes(parser, CAM_HTTP_ON_BODY, text);
    }
    size_t used = *consumed;
    size_t room = text.len + more.len + (len - used);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (bytes == NULL) {
        return -1;
    }
    char *end = PyBytes_AS_STRING(bytes);
    memcpy(end, text.ptr, text.len);
    end += text.len;
    bool any;
    do {
        memcpy(end, more.ptr, more.len);
        end += more.len;
        size_t taken;
        any = cam_h1_stream_more_body(&parser->stream, buf + used, len - used, &taken, &more);
        used += taken;
    } while (any);
    *consumed = used;
    if (_PyBytes_Resize(&bytes, end - PyBytes_AS_STRING(bytes)) < 0) {
        return -1;
    }
    PyObject *args[2] = {NULL, bytes};
    int status = call(parser, CAM_HTTP_ON_BODY, args + 1, 1);
    Py_DECREF(bytes);
    return status;
}

/* Tells of the header that is held back, if there is one. */
static int flush_header(ParserObject *parser) {
    if (parser->name == NULL) {
        return 0;
    }
    PyObject *args[3] = {NULL, parser->name, parser->value};
    parser->name = parser->value = NULL;
    int status = call(parser, CAM_HTTP_ON_HEADER, args + 1, 2);
    Py_DECREF(args[1]);
    Py_DECREF(args[2]);
    return status;
}

static bool is_bytes(PyObject *bytes, cam_slice text) {
    return (size_t)PyBytes_GET_SIZE(bytes) == text.len &&
           memcmp(PyBytes_AS_STRING(bytes), text.ptr, text.len) == 0;
}

/* The name of a header as bytes, shared for the usual spellings. New reference. */
static PyObject *header_name(cam_state *state, const cam_h1_event *event) {
    if (event->name_id != CAM_H1_NAME_UNKNOWN) {
        PyObject *capitalized = state->http.header_names[event->name_id];
        if (is_bytes(capitalized, event->name)) {
            return Py_NewRef(capitalized);
        }
        PyObject *lower = state->asgi.header_names[event->name_id];
        if (is_bytes(lower, event->name)) {
            return Py_NewRef(lower);
        }
    }
    return PyBytes_FromStringAndSize(event->name.ptr, (Py_ssize_t)event->name.len);
}

/* Sets the exception for an error of the core. */
static void set_error(ParserObject *parser, int error) {
    cam_http_constants *http = &parser->state->http;
    if (error == CAM_H1_STREAM_NO_MEMORY) {
        PyErr_NoMemory();
        return;
    }
    PyObject *type = http->error;
    const char *prefix = "";
    switch (error) {
    case CAM_H1_E_METHOD:
    case CAM_H1_E_METHOD_UNKNOWN:
        type = http->invalid_method_error;
        break;
    case CAM_H1_E_REQUEST_LINE:
    case CAM_H1_E_TARGET:
    case CAM_H1_E_TARGET_LENGTH:
        type = http->invalid_url_error;
        break;
    case CAM_H1_E_STATUS:
        type = http->invalid_status_error;
        break;
    /* What users of httptools look for in its messages. */
    case CAM_H1_E_STATUS_LINE:
        prefix = "Expected HTTP/: ";
        break;
    case CAM_H1_E_FIELD_FOLDED:
        prefix = "Unexpected whitespace after header value: ";
        break;
    default:
        break;
    }
    PyErr_Format(type, "%s%s", prefix, cam_h1_error_text(error));
}

/* Makes the event's objects before the callback for the header before it, which may change what a
 * slice points into. */
static int hold_header(ParserObject *parser, const cam_h1_event *event) {
    if (parser->callbacks[CAM_HTTP_ON_HEADER] == NULL) {
        return 0;
    }
    PyObject *name = header_name(parser->state, event);
    PyObject *value = PyBytes_FromStringAndSize(event->text.ptr, (Py_ssize_t)event->text.len);
    if (name == NULL || value == NULL || flush_header(parser) < 0) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return -1;
    }
    parser->name = name;
    parser->value = value;
    if (parser->recording != NULL && (PyList_Append(parser->recording, name) < 0 ||
                                      PyList_Append(parser->recording, value) < 0)) {
        return -1;
    }
    return 0;
}

/* Begins to remember a block, unless that has been of no use. */
static int begin_recording(ParserObject *parser) {
    forget_block(parser);
    if (parser->misses >= MISS_LIMIT) {
        return 0;
    }
    parser->misses++;
    Py_XSETREF(parser->recording, PyList_New(0));
    return parser->recording ? 0 : -1;
}

/* Remembers the block that has been told. */
static int end_recording(ParserObject *parser, const char *block, size_t len) {
    PyObject *recording = parser->recording;
    parser->recording = NULL;
    int result = 0;
    if (len <= BLOCK_LIMIT) {
        parser->told = cam_h1_stream_told_block(&parser->stream, len);
        parser->block = PyBytes_FromStringAndSize(block, (Py_ssize_t)len);
        parser->block_headers = PyList_AsTuple(recording);
        if (parser->block == NULL || parser->block_headers == NULL) {
            forget_block(parser);
            result = -1;
        }
    }
    Py_DECREF(recording);
    return result;
}

static bool is_told_block(const ParserObject *parser, const char *data, size_t len) {
    return parser->block != NULL && len >= parser->told.len &&
           memcmp(data, PyBytes_AS_STRING(parser->block), parser->told.len) == 0;
}

/* The calls for a block that is the one remembered: its headers and the end of the head. */
static int tell_block(ParserObject *parser, size_t *len) {
    cam_h1_told_block told = parser->told;
    PyObject *headers = Py_NewRef(parser->block_headers);
    parser->misses = 0;
    *len = told.len;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(headers); i += 2) {
        PyObject *args[3] = {NULL, PyTuple_GET_ITEM(headers, i), PyTuple_GET_ITEM(headers, i + 1)};
        result = call(parser, CAM_HTTP_ON_HEADER, args + 1, 2);
    }
    Py_DECREF(headers);
    if (result < 0) {
        return -1;
    }
    int kind = cam_h1_stream_pass_block(&parser->stream, &told);
    if (kind < 0) {
        set_error(parser, kind);
        return -1;
    }
    return call_bare(parser, CAM_HTTP_ON_HEADERS_COMPLETE);
}

static int lengthen_header(ParserObject *parser, cam_slice text) {
    if (parser->name == NULL) {
        return 0;
    }
    Py_CLEAR(parser->recording); /* of a block that holds this there is none to be remembered */
    PyObject *more = PyBytes_FromStringAndSize(text.ptr, (Py_ssize_t)text.len);
    if (more == NULL) {
        return -1;
    }
    PyBytes_ConcatAndDel(&parser->value, more);
    if (parser->value == NULL) {
        Py_CLEAR(parser->name);
        return -1;
    }
    return 0;
}

/* One event. 0, or -1 with an exception. */
static int tell(ParserObject *parser, int kind, const cam_h1_event *event) {
    switch ((cam_h1_event_kind)kind) {
    case CAM_H1_EVENT_BEGIN:
        return call_bare(parser, CAM_HTTP_ON_BEGIN);
    case CAM_H1_EVENT_TARGET:
        return call_with_bytes(parser, CAM_HTTP_ON_URL, event->text);
    case CAM_H1_EVENT_REASON:
        return call_with_bytes(parser, CAM_HTTP_ON_STATUS, event->text);
    case CAM_H1_EVENT_FIELD:
        return hold_header(parser, event);
    case CAM_H1_EVENT_FOLDED:
        return lengthen_header(parser, event->text);
    case CAM_H1_EVENT_HEAD:
        return flush_header(parser) < 0 ? -1 : call_bare(parser, CAM_HTTP_ON_HEADERS_COMPLETE);
    case CAM_H1_EVENT_CHUNK:
        return call_bare(parser, CAM_HTTP_ON_CHUNK_HEADER);
    case CAM_H1_EVENT_CHUNK_END:
        return flush_header(parser) < 0 ? -1 : call_bare(parser, CAM_HTTP_ON_CHUNK_COMPLETE);
    case CAM_H1_EVENT_END:
        return call_bare(parser, CAM_HTTP_ON_COMPLETE);
    default: /* CAM_H1_EVENT_MORE, CAM_H1_EVENT_UPGRADE: not told */
        return 0;
    }
}

/* Parses a buffer. 0, or -1 with an exception. The bytes may change under it, by a callback, but
 * neither move nor go. */
static int feed(ParserObject *parser, const char *buf, size_t len) {
    size_t at = 0;
    size_t block = 0;            /* where the one being remembered begins */
    Py_CLEAR(parser->recording); /* of one that does not come whole */
    for (;;) {
        cam_h1_event event;
        size_t consumed;
        int kind = cam_h1_stream_next(&parser->stream, buf + at, len - at, &consumed, &event);
        if (kind < 0) {
            set_error(parser, kind);
            return -1;
        }
        at += consumed;
        if (kind == CAM_H1_EVENT_MORE) {
            return cam_h1_stream_in_field(&parser->stream) ? flush_header(parser) : 0;
        }
        if (kind == CAM_H1_EVENT_UPGRADE) {
            PyObject *offset = PyLong_FromSize_t(at);
            if (offset != NULL) {
                PyErr_SetObject(parser->state->http.upgrade, offset);
                Py_DECREF(offset);
            }
            return -1;
        }
        if (kind == CAM_H1_EVENT_BODY) {
            if (tell_body(parser, event.text, buf + at, len - at, &consumed) < 0) {
                return -1;
            }
            at += consumed;
            continue;
        }
        if (tell(parser, kind, &event) < 0) {
            return -1;
        }
        if (kind == CAM_H1_EVENT_TARGET || kind == CAM_H1_EVENT_REASON) {
            if (!cam_h1_stream_at_block(&parser->stream)) {
                continue; /* only a piece */
            }
            if (is_told_block(parser, buf + at, len - at)) {
                size_t passed;
                if (tell_block(parser, &passed) < 0) {
                    return -1;
                }
                at += passed;
            } else {
                block = at;
                if (begin_recording(parser) < 0) {
                    return -1;
                }
            }
        } else if (kind == CAM_H1_EVENT_HEAD && parser->recording != NULL &&
                   end_recording(parser, buf + block, at - block) < 0) {
            return -1;
        }
    }
}

/* The same, unless a callback has raised or memory has run out: going on behind bytes that were not
 * told would read the next ones as what they are not. */
static int feed_guarded(ParserObject *parser, const char *buf, size_t len) {
    if (parser->failed >= 0) {
        set_callback_error(parser, NULL);
        return -1;
    }
    if (parser->starved) {
        PyErr_NoMemory();
        return -1;
    }
    parser->feeding = true;
    int status = feed(parser, buf, len);
    parser->feeding = false;
    if (status < 0 && parser->failed < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        parser->starved = true;
    }
    return status;
}

PyDoc_STRVAR(
    feed_data_doc,
    "feed_data($self, data, /)\n--\n\n"
    "Parse the next bytes of the connection and call the protocol for what they complete.\n"
    "\n"
    "data is any bytes-like object; pieces may be cut anywhere. Raises HttpParserError or a\n"
    "subclass for what is not HTTP/1.1, HttpParserCallbackError when a callback raised an\n"
    "Exception (its context), and from then on at every call. HttpParserUpgrade is no error:\n"
    "after a message that asks for another protocol (should_upgrade()) its args[0] is where\n"
    "in data that protocol's bytes begin; the message's body, if it has one, comes before.");

static PyObject *parser_feed_data(PyObject *self, PyObject *data) {
    ParserObject *parser = (ParserObject *)self;
    if (require_init(parser) < 0) {
        return NULL;
    }
    if (parser->feeding) {
        PyErr_SetString(PyExc_RuntimeError, "feed_data() was called by a callback of itself");
        return NULL;
    }
    if (PyBytes_CheckExact(data)) { /* the caller has a reference, and nobody changes it */
        int status = feed_guarded(parser, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
        return status < 0 ? NULL : Py_NewRef(Py_None);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = feed_guarded(parser, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

/* What h1_stream.h lists, in the order of httptools' parameters, and ours at the end. */
static const uint32_t lenient_flags[] = {
    CAM_H1_LENIENT_VALUE,       CAM_H1_LENIENT_LENGTH,  CAM_H1_LENIENT_KEEP_ALIVE,
    CAM_H1_LENIENT_CODING,      CAM_H1_LENIENT_VERSION, CAM_H1_LENIENT_AFTER_CLOSE,
    CAM_H1_LENIENT_LF,          CAM_H1_LENIENT_CR,      CAM_H1_LENIENT_CHUNK_END,
    CAM_H1_LENIENT_CHUNK_SPACE, CAM_H1_LENIENT_HOST,
};
enum { LENIENCY_COUNT = sizeof(lenient_flags) / sizeof(lenient_flags[0]) };

PyDoc_STRVAR(
    set_dangerous_leniencies_doc,
    "set_dangerous_leniencies($self, lenient_headers=None, lenient_chunked_length=None,\n"
    "                         lenient_keep_alive=None, lenient_transfer_encoding=None,\n"
    "                         lenient_version=None, lenient_data_after_close=None,\n"
    "                         lenient_optional_lf_after_cr=None,\n"
    "                         lenient_optional_cr_before_lf=None,\n"
    "                         lenient_optional_crlf_after_chunk=None,\n"
    "                         lenient_spaces_after_chunk_size=None, lenient_host=None)\n--\n\n"
    "Let pass what HTTP/1.1 forbids: True or False for each, None to leave it as it is.\n"
    "\n"
    "Each opens a way to smuggle requests past another parser: for peers that are known and "
    "cannot\n"
    "be mended. As httptools' method, with lenient_host in addition: a request without Host, with\n"
    "several or with a malformed one (RFC 9112 section 3.2).");

static PyObject *parser_set_dangerous_leniencies(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *keywords[LENIENCY_COUNT + 1] = {
        "lenient_headers",
        "lenient_chunked_length",
        "lenient_keep_alive",
        "lenient_transfer_encoding",
        "lenient_version",
        "lenient_data_after_close",
        "lenient_optional_lf_after_cr",
        "lenient_optional_cr_before_lf",
        "lenient_optional_crlf_after_chunk",
        "lenient_spaces_after_chunk_size",
        "lenient_host",
        NULL,
    };
    ParserObject *parser = (ParserObject *)self;
    PyObject *values[LENIENCY_COUNT] = {NULL};
    if (require_init(parser) < 0 ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|OOOOOOOOOOO:set_dangerous_leniencies",
                                     keywords, &values[0], &values[1], &values[2], &values[3],
                                     &values[4], &values[5], &values[6], &values[7], &values[8],
                                     &values[9], &values[10])) {
        return NULL;
    }
    uint32_t set = 0;
    uint32_t cleared = 0;
    for (int i = 0; i < LENIENCY_COUNT; i++) {
        if (values[i] == NULL || values[i] == Py_None) {
            continue;
        }
        int truth = PyObject_IsTrue(values[i]); /* may run user code, which may feed the parser */
        if (truth < 0) {
            return NULL;
        }
        *(truth ? &set : &cleared) |= lenient_flags[i];
    }
    parser->stream.lenient = (parser->stream.lenient | set) & ~cleared;
    forget_block(parser); /* it may mean something else now */
    Py_CLEAR(parser->recording);
    return Py_NewRef(Py_None);
}

PyDoc_STRVAR(get_http_version_doc,
             "get_http_version($self, /)\n--\n\n"
             "The version of the last start line as a str, \"1.1\"; \"0.0\" before the first.");

static PyObject *parser_get_http_version(PyObject *self, PyObject *Py_UNUSED(none)) {
    ParserObject *parser = (ParserObject *)self;
    unsigned major = parser->stream.major_version;
    unsigned minor = parser->stream.minor_version;
    if (major == 1 && minor < 2) {
        const cam_asgi_constants *constants = &parser->state->asgi;
        return Py_NewRef(minor ? constants->str_version_11 : constants->str_version_10);
    }
    return PyUnicode_FromFormat("%u.%u", major, minor);
}

PyDoc_STRVAR(should_keep_alive_doc,
             "should_keep_alive($self, /)\n--\n\n"
             "Whether another message may follow the last one whose head is complete (RFC 9112\n"
             "section 9.3); valid from on_headers_complete() until the next message begins.");

static PyObject *parser_should_keep_alive(PyObject *self, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(((ParserObject *)self)->stream.keep_alive);
}

PyDoc_STRVAR(
    should_upgrade_doc,
    "should_upgrade($self, /)\n--\n\n"
    "Whether the message asks for another protocol (RFC 9110 section 7.8) or is a CONNECT;\n"
    "valid from on_headers_complete() until the next message begins, False earlier.");

static PyObject *parser_should_upgrade(PyObject *self, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(((ParserObject *)self)->stream.upgrade);
}

PyDoc_STRVAR(get_method_doc, "get_method($self, /)\n--\n\n"
                             "The method of the request as bytes, from on_url() on; b\"\" before.");

static PyObject *parser_get_method(PyObject *self, PyObject *Py_UNUSED(none)) {
    ParserObject *parser = (ParserObject *)self;
    return Py_NewRef(parser->state->http.methods[parser->stream.method]);
}

PyDoc_STRVAR(get_status_code_doc,
             "get_status_code($self, /)\n--\n\n"
             "The status of the response as an int, 0 before its line is there.");

static PyObject *parser_get_status_code(PyObject *self, PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(((ParserObject *)self)->stream.status);
}

#define SHARED_METHODS                                                                             \
    {"feed_data", parser_feed_data, METH_O, feed_data_doc},                                        \
        {"set_dangerous_leniencies", (PyCFunction)(void (*)(void))parser_set_dangerous_leniencies, \
         METH_VARARGS | METH_KEYWORDS, set_dangerous_leniencies_doc},                              \
        {"get_http_version", parser_get_http_version, METH_NOARGS, get_http_version_doc},          \
        {"should_keep_alive", parser_should_keep_alive, METH_NOARGS, should_keep_alive_doc}, {     \
        "should_upgrade", parser_should_upgrade, METH_NOARGS, should_upgrade_doc                   \
    }

static PyMethodDef request_methods[] = {
    SHARED_METHODS,
    {"get_method", parser_get_method, METH_NOARGS, get_method_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef response_methods[] = {
    SHARED_METHODS,
    {"get_status_code", parser_get_status_code, METH_NOARGS, get_status_code_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    request_doc,
    "HttpRequestParser(protocol, *, max_line=None, max_headers=None, max_head_bytes=None)\n--\n\n"
    "Parses the requests of one connection and calls protocol's methods, as httptools does.\n"
    "\n"
    "All of them are optional: on_message_begin(), on_url(url), on_header(name, value),\n"
    "on_headers_complete(), on_chunk_header(), on_body(body), on_chunk_complete(),\n"
    "on_message_complete(); arguments are bytes, and on_url() and on_body() may come in pieces.\n"
    "Where there is neither on_chunk_header() nor on_chunk_complete(), on_body() has the data of\n"
    "all chunks that came together.\n"
    "The bounds are 16 KiB a line, 128 header lines and 64 KiB a head where None is given; what\n"
    "passes one raises HttpParserError.");

PyDoc_STRVAR(
    response_doc,
    "HttpResponseParser(protocol, *, max_line=None, max_headers=None, max_head_bytes=None)\n--\n\n"
    "Parses the responses of one connection: as HttpRequestParser, with on_status(status), which\n"
    "gives the reason phrase and may come in pieces, instead of on_url().\n"
    "\n"
    "A body that neither a length nor chunks bound goes on until the connection ends, and there "
    "is\n"
    "no on_message_complete() for it.");

static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)request_doc},  {Py_tp_new, parser_new},
    {Py_tp_init, request_parser_init}, {Py_tp_dealloc, parser_dealloc},
    {Py_tp_traverse, parser_traverse}, {Py_tp_clear, parser_clear},
    {Py_tp_methods, request_methods},  {0, NULL},
};

static PyType_Slot response_slots[] = {
    {Py_tp_doc, (void *)response_doc},  {Py_tp_new, parser_new},
    {Py_tp_init, response_parser_init}, {Py_tp_dealloc, parser_dealloc},
    {Py_tp_traverse, parser_traverse},  {Py_tp_clear, parser_clear},
    {Py_tp_methods, response_methods},  {0, NULL},
};

#define PARSER_FLAGS                                                                               \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE)

static PyType_Spec request_spec = {
    .name = "camshaft._core.HttpRequestParser",
    .basicsize = sizeof(ParserObject),
    .flags = PARSER_FLAGS,
    .slots = request_slots,
};

static PyType_Spec response_spec = {
    .name = "camshaft._core.HttpResponseParser",
    .basicsize = sizeof(ParserObject),
    .flags = PARSER_FLAGS,
    .slots = response_slots,
};

int cam_http_parser_exec(PyObject *module, cam_state *state) {
    if (CamState_AddType(module, &request_spec, NULL, 1, &state->http.request_parser_type) < 0 ||
        CamState_AddType(module, &response_spec, NULL, 1, &state->http.response_parser_type) < 0) {
        return -1;
    }
    return 0;
}
