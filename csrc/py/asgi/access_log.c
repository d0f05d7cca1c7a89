/* SPDX-License-Identifier: MIT */
#include "asgi/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compat.h"
#include "asgi/cycle.h"
#include "asgi/scope.h"

enum {
    PATIENCE_AT_THE_END = 1000, /* milliseconds */
    STATUS_COUNT = 600,
};

static const int64_t MILLISECOND = 1000000;

/* Seconds until an output that had no room is tried again. */
static const double RETRY = 0.05;

/* ---- writing ---- */

/* Asks for the server's flush_access_log in `delay` seconds, or in a callback of its own for 0. */
static void plan(HttpServerObject *server, double delay) {
    cam_access_log *log = &server->log;
    if (log->planned) {
        return;
    }
    const cam_asgi_constants *c = &server->state->asgi;
    PyObject *method = PyObject_GetAttr((PyObject *)server, c->str_flush_access_log);
    PyObject *seconds = method && delay > 0 ? PyFloat_FromDouble(delay) : NULL;
    PyObject *handle = NULL;
    if (seconds != NULL) {
        handle = PyObject_CallMethodObjArgs(server->loop, c->str_call_later, seconds, method, NULL);
    } else if (method != NULL && delay <= 0) {
        handle = PyObject_CallMethodOneArg(server->loop, c->str_call_soon, method);
    }
    if (handle == NULL) {
        PyErr_WriteUnraisable((PyObject *)server);
    }
    log->planned = handle != NULL;
    Py_XDECREF(handle);
    Py_XDECREF(seconds);
    Py_XDECREF(method);
}

static void drop_lines(cam_access_log *log) {
    log->dropped += log->line_count;
    log->line_count = 0;
    cam_buffer_reset(&log->lines, CAM_LOG_WRITE);
}

/* In a process forked since: the lines held are the parent's, which writes them. */
static void disown_lines(HttpServerObject *server) {
    cam_access_log *log = &server->log;
    bool foreign = log->lines.len > 0 && (CamLoop_Check(server->state, server->loop)
                                              ? CamLoop_IsForeign((LoopObject *)server->loop)
                                              : log->process != getpid());
    if (foreign) {
        log->line_count = 0;
        cam_buffer_reset(&log->lines, CAM_LOG_WRITE);
    }
}

/* Whether the output takes bytes now, or until `end` (CamMetrics_Now). */
static bool has_room(const cam_access_log *log, int64_t end) {
    if (!log->polled) {
        return true;
    }
    struct pollfd asked = {.fd = log->fd, .events = POLLOUT};
    int ready = poll(&asked, 1, 0); /* what is wrong with it, a write tells */
    int64_t left = ready == 0 && end > 0 ? end - CamMetrics_Now() : 0;
    if (left > 0) {
        /* Who reads it may be a thread of this process. */
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&asked, 1, (int)(left / MILLISECOND) + 1);
        Py_END_ALLOW_THREADS
    }
    return ready > 0;
}

/* How many of the lines' bytes go into one write: whole lines, and no more than a pipe that has
 * room at all takes without blocking. */
static size_t next_write(const cam_access_log *log) {
    size_t size = log->lines.len;
    if (!log->polled || size <= PIPE_BUF) {
        return size;
    }
    const char *end = memrchr(log->lines.ptr, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - log->lines.ptr) + 1 : PIPE_BUF;
}

static unsigned long long count_lines(const char *text, size_t len) {
    unsigned long long count = 0;
    for (const char *end = text + len; (text = memchr(text, '\n', (size_t)(end - text))) != NULL;) {
        count++;
        text++;
    }
    return count;
}

static void take_off(cam_access_log *log, size_t size) {
    if (size == log->lines.len) {
        log->line_count = 0;
        cam_buffer_reset(&log->lines, CAM_LOG_WRITE);
        return;
    }
    log->line_count -= count_lines(log->lines.ptr, size);
    log->lines.len -= size;
    memmove(log->lines.ptr, log->lines.ptr + size, log->lines.len);
}

void CamAccessLog_Flush(HttpServerObject *server, int patience) {
    cam_access_log *log = &server->log;
    disown_lines(server);
    int64_t end = patience > 0 ? CamMetrics_Now() + patience * MILLISECOND : 0;
    while (log->lines.len > 0 && log->fd >= 0) {
        if (!has_room(log, end)) {
            return;
        }
        ssize_t count = write(log->fd, log->lines.ptr, next_write(log));
        if (count >= 0) {
            log->failing = false;
            take_off(log, (size_t)count);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            /* A full disk, or nobody to read it: that must not become the server's trouble. */
            log->error = errno;
            drop_lines(log);
        }
    }
}

void CamAccessLog_Resume(HttpServerObject *server, int patience) {
    server->log.planned = false;
    CamAccessLog_Flush(server, patience);
    if (server->log.lines.len > 0) {
        plan(server, RETRY);
    }
}

/* CamFlush.flush: the end of a turn. */
static void flush_in_turn(PyObject *owner) {
    HttpServerObject *server = (HttpServerObject *)owner;
    CamAccessLog_Flush(server, 0);
    if (server->log.lines.len > 0) {
        PyObject *pending = PyErr_GetRaisedException();
        plan(server, RETRY);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending);
        }
    }
}

/* Says once that the output fails, until it works again. */
static void report(HttpServerObject *server) {
    cam_access_log *log = &server->log;
    int error = log->error;
    log->error = 0;
    if (error == 0 || log->failing) {
        return;
    }
    log->failing = true;
    char text[256];
    (void)PyOS_snprintf(text, sizeof text,
                        "The access log cannot be written (%.100s); its lines are dropped until "
                        "it can.",
                        strerror(error));
    CamServer_Log(server, server->state->asgi.str_warning, text, NULL);
}

/* ---- whether lines are made here ---- */

static void close_output(cam_access_log *log) {
    if (log->fd >= 0) {
        close(log->fd);
        log->fd = -1;
    }
}

/* Lines are made by Python from now on. Those held are still written. */
static void give_up(HttpServerObject *server) {
    cam_access_log *log = &server->log;
    Py_CLEAR(log->watched);
    if (log->fd >= 0) {
        CamAccessLog_Flush(server, 0);
        drop_lines(log);
        close_output(log);
    }
}

/* Whether one of the watched things is as it was: (dict, key, value), (dict, None, size), or
 * (list, None, its one element or None for no element). */
static bool holds(PyObject *watch) {
    PyObject *container = PyTuple_GET_ITEM(watch, 0);
    PyObject *key = PyTuple_GET_ITEM(watch, 1);
    PyObject *value = PyTuple_GET_ITEM(watch, 2);
    if (PyList_CheckExact(container)) {
        return value == Py_None
                   ? PyList_GET_SIZE(container) == 0
                   : PyList_GET_SIZE(container) == 1 && PyList_GET_ITEM(container, 0) == value;
    }
    if (key == Py_None) {
        return PyDict_GET_SIZE(container) == PyLong_AsSsize_t(value);
    }
    return PyDict_GetItemWithError(container, key) == value;
}

static bool all_hold(const cam_access_log *log) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(log->watched); i++) {
        if (!holds(PyTuple_GET_ITEM(log->watched, i))) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

/* Takes what `plain` has said: None, or (fd, colors, prepare, phrases, watched). 0 or -1. */
static int take_description(HttpServerObject *server, PyObject *description) {
    cam_access_log *log = &server->log;
    if (description == Py_None) {
        give_up(server);
        return 0;
    }
    int fd, colors;
    PyObject *prepare, *phrases, *watched;
    if (!PyArg_ParseTuple(description, "ipOO!O!", &fd, &colors, &prepare, &PyTuple_Type, &phrases,
                          &PyTuple_Type, &watched)) {
        return -1;
    }
    if (PyTuple_GET_SIZE(phrases) != STATUS_COUNT) {
        PyErr_SetString(PyExc_ValueError, "there must be 600 phrases");
        return -1;
    }
    /* Of our own: the number may be another file's as soon as somebody closes theirs. */
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        give_up(server);
        return 0;
    }
    CamAccessLog_Flush(server, 0);
    close_output(log);
    struct stat info;
    log->fd = copy;
    log->polled = fstat(copy, &info) < 0 || !S_ISREG(info.st_mode);
    log->colors = colors;
    Py_XSETREF(log->prepare, Py_NewRef(prepare));
    Py_XSETREF(log->phrases, Py_NewRef(phrases));
    Py_XSETREF(log->watched, Py_NewRef(watched));
    return 0;
}

/* Whether this line is made here. Runs user code. */
static bool is_plain(HttpServerObject *server) {
    cam_access_log *log = &server->log;
    if (log->plain == NULL) {
        return false;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec != log->looked) {
        log->looked = now.tv_sec;
        PyObject *function = Py_NewRef(log->plain);
        PyObject *description = PyObject_CallNoArgs(function);
        if (description == NULL || take_description(server, description) < 0) {
            PyErr_WriteUnraisable(function);
            give_up(server);
        }
        Py_XDECREF(description);
        Py_DECREF(function);
    }
    if (log->watched != NULL && !all_hold(log)) {
        give_up(server); /* until the next look */
    }
    return log->watched != NULL;
}

/* ---- the line ---- */

/* Adds text, its control characters and what is no ASCII as \xNN: a log is read by terminals and
 * line by line. */
static int put_escaped(cam_buffer *out, const char *text, size_t len) {
    static const char digits[] = "0123456789abcdef";
    if (cam_buffer_reserve(out, len * 4) < 0) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch >= 0x20 && ch < 0x7f) {
            out->ptr[out->len++] = (char)ch;
        } else {
            const char escape[4] = {'\\', 'x', digits[ch >> 4], digits[ch & 15]};
            cam_buffer_put(out, escape, 4);
        }
    }
    return 0;
}

static int put_text(cam_buffer *out, PyObject *text) {
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    return utf8 ? put_escaped(out, utf8, (size_t)len) : -1;
}

#define PUT_LITERAL(out, text) cam_buffer_append(out, text, sizeof(text) - 1)

/* The colour of a status, by its first digit, as camshaft.logging paints it. */
static const char *color_of(int status) {
    switch (status / 100) {
    case 2:
        return "\033[32m";
    case 3:
        return "\033[33m";
    case 4:
        return "\033[31m";
    default:
        return "\033[91m";
    }
}

static int put_line(cam_access_log *log, CycleObject *cycle, PyObject *address) {
    cam_buffer *out = &log->lines;
    PyObject *phrase = PyTuple_GET_ITEM(log->phrases, cycle->status);
    const char *color = log->colors ? color_of(cycle->status) : "";
    if ((log->colors ? PUT_LITERAL(out, "\033[32mINFO\033[0m:     ")
                     : PUT_LITERAL(out, "INFO:     ")) < 0 ||
        put_text(out, address) < 0 || PUT_LITERAL(out, " - \"") < 0 ||
        (log->colors && PUT_LITERAL(out, "\033[1m") < 0) || put_text(out, cycle->method) < 0 ||
        PUT_LITERAL(out, " ") < 0 ||
        CamScope_PutFullPath(out, cycle->path, cycle->query_string) < 0 ||
        (cycle->minor_version ? PUT_LITERAL(out, " HTTP/1.1") : PUT_LITERAL(out, " HTTP/1.0")) <
            0 ||
        (log->colors && PUT_LITERAL(out, "\033[0m") < 0) || PUT_LITERAL(out, "\" ") < 0 ||
        cam_buffer_append(out, color, strlen(color)) < 0 ||
        cam_buffer_append(out, PyBytes_AS_STRING(phrase), (size_t)PyBytes_GET_SIZE(phrase)) < 0 ||
        (log->colors && PUT_LITERAL(out, "\033[0m") < 0)) {
        return -1;
    }
    return PUT_LITERAL(out, "\n");
}

/* Makes a line and sees to it that it is written. 0 or -1. */
static int add_line(HttpServerObject *server, CycleObject *cycle, PyObject *address) {
    cam_access_log *log = &server->log;
    disown_lines(server);
    if (log->lines.len == 0) {
        if (!CamLoop_Check(server->state, server->loop)) {
            log->process = getpid();
        }
        /* What was printed before this line is to be read before it. */
        PyObject *prepare = Py_NewRef(log->prepare);
        PyObject *done = PyObject_CallNoArgs(prepare);
        if (done == NULL) {
            PyErr_Clear(); /* the write will tell */
        }
        Py_XDECREF(done);
        Py_DECREF(prepare);
        if (log->watched == NULL) {
            return 0; /* cleared by what ran */
        }
    }
    if (log->lines.len >= CAM_LOG_HELD) {
        log->dropped++;
        return 0;
    }
    size_t before = log->lines.len;
    if (put_line(log, cycle, address) < 0) {
        log->lines.len = before;
        return -1;
    }
    log->line_count++;
    if (log->lines.len >= CAM_LOG_WRITE) {
        CamAccessLog_Flush(server, 0);
    }
    if (log->lines.len > 0) {
        if (CamLoop_Check(server->state, server->loop)) {
            CamLoop_FlushLater((LoopObject *)server->loop, &log->flush, 0);
        } else {
            plan(server, 0);
        }
    }
    return 0;
}

static int call_function(HttpServerObject *server, CycleObject *cycle, PyObject *address) {
    const cam_asgi_constants *c = &server->state->asgi;
    PyObject *function = Py_NewRef(server->log.function);
    PyObject *path = CamScope_FullPath(cycle->path, cycle->query_string);
    PyObject *status = path ? PyLong_FromLong(cycle->status) : NULL;
    PyObject *result = NULL;
    if (status != NULL) {
        PyObject *stack[] = {NULL,
                             address,
                             cycle->method,
                             path,
                             cycle->minor_version ? c->str_version_11 : c->str_version_10,
                             status};
        result = PyObject_Vectorcall(function, stack + 1, 5 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(status);
    Py_XDECREF(path);
    Py_DECREF(function);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

void CamAccessLog_Add(CycleObject *cycle) {
    HttpServerObject *server = cycle->server;
    if (server->log.function == NULL || cycle->method == NULL || cycle->connection == NULL ||
        server->options.access_details) {
        return; /* details are known at the end */
    }
    PyObject *address = CamScope_ClientAddress(cycle->connection);
    int result = -1;
    if (address != NULL) {
        bool plain = is_plain(server);
        result = server->log.function == NULL ? 0
                 : plain                      ? add_line(server, cycle, address)
                                              : call_function(server, cycle, address);
    }
    if (result < 0) {
        PyErr_WriteUnraisable((PyObject *)server);
    }
    Py_XDECREF(address);
    report(server);
}

/* ---- its life ---- */

void CamAccessLog_Init(HttpServerObject *server, PyObject *function, PyObject *plain) {
    cam_access_log *log = &server->log;
    log->fd = -1;
    log->looked = -1;
    log->flush.owner = (PyObject *)server;
    log->flush.flush = flush_in_turn;
    if (function != Py_None) {
        log->function = Py_NewRef(function);
        log->plain = plain != Py_None ? Py_NewRef(plain) : NULL;
    }
}

int CamAccessLog_Traverse(cam_access_log *log, visitproc visit, void *arg) {
    Py_VISIT(log->function);
    Py_VISIT(log->plain);
    Py_VISIT(log->watched);
    Py_VISIT(log->prepare);
    Py_VISIT(log->phrases);
    return 0;
}

void CamAccessLog_Clear(cam_access_log *log) {
    Py_CLEAR(log->function);
    Py_CLEAR(log->plain);
    Py_CLEAR(log->watched);
    Py_CLEAR(log->prepare);
}

void CamAccessLog_Free(HttpServerObject *server) {
    cam_access_log *log = &server->log;
    if (log->fd >= 0) {
        CamAccessLog_Flush(server, PATIENCE_AT_THE_END);
        close_output(log);
    }
    CamAccessLog_Clear(log);
    Py_CLEAR(log->phrases);
    cam_buffer_free(&log->lines);
}
