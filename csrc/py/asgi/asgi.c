/* SPDX-License-Identifier: MIT */
/* What the ASGI server adds to the module and to its state. */
#include "state.h"

#include "asgi/cycle.h"
#include "asgi/channel.h"
#include "asgi/connection.h"
#include "asgi/disconnect.h"
#include "asgi/run.h"
#include "asgi/server.h"
#include "asgi/wait.h"
#include "asgi/websocket.h"

static int fill_constants(cam_asgi_constants *constants) {
#define X(name, text)                                                                              \
    if ((constants->str_##name = PyUnicode_InternFromString(text)) == NULL) {                      \
        return -1;                                                                                 \
    }
    CAM_ASGI_STRINGS(X)
#undef X
#define X(name)                                                                                    \
    if ((constants->method_##name = PyUnicode_InternFromString(#name)) == NULL) {                  \
        return -1;                                                                                 \
    }
    CAM_ASGI_METHODS(X)
#undef X
    for (unsigned id = 1; id < CAM_H1_NAME_COUNT; id++) {
        cam_slice text = cam_h1_name_text(id);
        constants->header_names[id] = PyBytes_FromStringAndSize(text.ptr, (Py_ssize_t)text.len);
        if (constants->header_names[id] == NULL) {
            return -1;
        }
    }
    constants->kw_exc_info = Py_BuildValue("(s)", "exc_info");
    if (constants->kw_exc_info == NULL) {
        return -1;
    }
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    if (asyncio == NULL) {
        return -1;
    }
    constants->cancelled_error = PyObject_GetAttrString(asyncio, "CancelledError");
    Py_DECREF(asyncio);
    return constants->cancelled_error ? 0 : -1;
}

int cam_asgi_exec(PyObject *module, cam_state *state) {
    if (fill_constants(&state->asgi) < 0 || cam_wait_exec(module, state) < 0 ||
        cam_disconnect_exec(module, state) < 0 || cam_channel_exec(module, state) < 0 ||
        cam_run_exec(module, state) < 0 || cam_cycle_exec(module, state) < 0 ||
        cam_websocket_exec(module, state) < 0 || cam_http_protocol_exec(module, state) < 0 ||
        cam_http_server_exec(module, state) < 0) {
        return -1;
    }
    return 0;
}

int cam_asgi_traverse(cam_state *state, visitproc visit, void *arg) {
#define X(name) Py_VISIT(state->asgi.name);
    CAM_ASGI_OBJECTS(X)
#undef X
    return 0;
}

void cam_asgi_free(cam_state *state) {
    cam_asgi_constants *constants = &state->asgi;
#define X(name, text) Py_CLEAR(constants->str_##name);
    CAM_ASGI_STRINGS(X)
#undef X
#define X(name) Py_CLEAR(constants->method_##name);
    CAM_ASGI_METHODS(X)
#undef X
#define X(name) Py_CLEAR(constants->name);
    CAM_ASGI_OBJECTS(X)
#undef X
    for (unsigned id = 1; id < CAM_H1_NAME_COUNT; id++) {
        Py_CLEAR(constants->header_names[id]);
    }
}
