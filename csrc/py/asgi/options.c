/* SPDX-License-Identifier: MIT */
#include "asgi/options.h"

#include "compat.h"

#include <stddef.h>

typedef enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_SECONDS, /* int64_t of nanoseconds from a number of seconds, None is for ever */
    OPTION_COUNT,   /* size_t from an int of at least 0, None is no limit: SIZE_MAX */
    OPTION_RATE,    /* size_t from an int of at least 0, None is 0 */
} option_kind;

typedef struct option {
    const char *name;
    option_kind kind;
    size_t offset;
    double otherwise; /* seconds, a count or 0 and 1; NO_LIMIT is None */
} option;

#define NO_LIMIT (-1.0)
#define FIELD(name) offsetof(cam_server_options, name)

static const option table[] = {
    {"server_header", OPTION_FLAG, FIELD(server_header), 1},
    {"date_header", OPTION_FLAG, FIELD(date_header), 1},
    {"send_raises", OPTION_FLAG, FIELD(send_raises), 1},
    {"forwarded", OPTION_FLAG, FIELD(forwarded), 0},
    {"keep_alive", OPTION_SECONDS, FIELD(keep_alive), 5},
    {"head_timeout", OPTION_SECONDS, FIELD(head_timeout), 30},
    {"body_timeout", OPTION_SECONDS, FIELD(body_timeout), 60},
    {"write_timeout", OPTION_SECONDS, FIELD(write_timeout), 60},
    {"body_rate", OPTION_RATE, FIELD(body_rate), 240},
    {"write_rate", OPTION_RATE, FIELD(write_rate), 240},
    {"request_line", OPTION_COUNT, FIELD(head.max_request_line), 16 * 1024},
    {"header_line", OPTION_COUNT, FIELD(head.max_header_line), 16 * 1024},
    {"header_count", OPTION_COUNT, FIELD(head.max_headers), 128},
    {"head_bytes", OPTION_COUNT, FIELD(head.max_head_bytes), 64 * 1024},
    {"body_bytes", OPTION_COUNT, FIELD(body_bytes), NO_LIMIT},
    {"extension_bytes", OPTION_COUNT, FIELD(extension_bytes), 4 * 1024},
    {"trailer_bytes", OPTION_COUNT, FIELD(trailer_bytes), 8 * 1024},
    {"connections", OPTION_COUNT, FIELD(connections), NO_LIMIT},
    {"address_connections", OPTION_COUNT, FIELD(address_connections), NO_LIMIT},
    {"connection_requests", OPTION_COUNT, FIELD(connection_requests), NO_LIMIT},
    {"concurrency", OPTION_COUNT, FIELD(concurrency), NO_LIMIT},
    {"pause_at", OPTION_COUNT, FIELD(pause_at), NO_LIMIT},
    {"max_requests", OPTION_COUNT, FIELD(max_requests), NO_LIMIT},
    {"metrics", OPTION_FLAG, FIELD(metrics), 0},
    {"access_details", OPTION_FLAG, FIELD(access_details), 0},
    {"trace", OPTION_FLAG, FIELD(trace), 0},
    {"websocket", OPTION_FLAG, FIELD(websocket), 1},
    {"ws_max_size", OPTION_COUNT, FIELD(ws_max_size), 16 * 1024 * 1024},
    {"ws_max_queue", OPTION_COUNT, FIELD(ws_max_queue), 32},
    {"ws_ping_interval", OPTION_SECONDS, FIELD(ws_ping_interval), 20},
    {"ws_ping_timeout", OPTION_SECONDS, FIELD(ws_ping_timeout), 20},
    {"ws_close_timeout", OPTION_SECONDS, FIELD(ws_close_timeout), 10},
    {"ws_per_message_deflate", OPTION_FLAG, FIELD(ws_per_message_deflate), 1},
};

int64_t CamServerOptions_Nanoseconds(double seconds) {
    return seconds * 1e9 < (double)CAM_FOREVER ? (int64_t)(seconds * 1e9) : CAM_FOREVER;
}

static void set_default(cam_server_options *options, const option *option) {
    char *field = (char *)options + option->offset;
    bool limited = option->otherwise != NO_LIMIT;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)field = option->otherwise != 0;
        break;
    case OPTION_SECONDS:
        *(int64_t *)field = limited ? CamServerOptions_Nanoseconds(option->otherwise) : CAM_FOREVER;
        break;
    case OPTION_COUNT:
        *(size_t *)field = limited ? (size_t)option->otherwise : SIZE_MAX;
        break;
    case OPTION_RATE:
        *(size_t *)field = limited ? (size_t)option->otherwise : 0;
        break;
    }
}

static int set_seconds(int64_t *field, const option *option, PyObject *value) {
    if (value == Py_None) {
        *field = CAM_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "%s: a time cannot be negative", option->name);
        return -1;
    }
    *field = CamServerOptions_Nanoseconds(seconds);
    return 0;
}

static int set_count(size_t *field, const option *option, PyObject *value) {
    if (value == Py_None) {
        *field = option->kind == OPTION_RATE ? 0 : SIZE_MAX;
        return 0;
    }
    /* Clipped, not refused, above: more than fits in memory is no limit. */
    Py_ssize_t count = PyNumber_AsSsize_t(value, NULL);
    if (count == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (count < 0) {
        PyErr_Format(PyExc_ValueError, "%s: a limit cannot be negative", option->name);
        return -1;
    }
    *field = (size_t)count;
    return 0;
}

static int set(cam_server_options *options, const option *option, PyObject *value) {
    char *field = (char *)options + option->offset;
    int truth;
    switch (option->kind) {
    case OPTION_FLAG:
        truth = PyObject_IsTrue(value);
        *(bool *)field = truth > 0;
        return truth < 0 ? -1 : 0;
    case OPTION_SECONDS:
        return set_seconds((int64_t *)field, option, value);
    case OPTION_COUNT:
    case OPTION_RATE:
        return set_count((size_t *)field, option, value);
    }
    return -1;
}

int CamServerOptions_Take(cam_server_options *options, PyObject *given) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        set_default(options, &table[i]);
        PyObject *value = Py_XNewRef(PyDict_GetItemString(given, table[i].name));
        if (value == NULL) {
            continue;
        }
        int result = set(options, &table[i], value);
        Py_DECREF(value);
        if (result < 0 || PyDict_DelItemString(given, table[i].name) < 0) {
            return -1;
        }
    }
    if (options->head.max_head_bytes > INT_MAX) {
        options->head.max_head_bytes = INT_MAX; /* the parser returns lengths as int */
    }
    return 0;
}
