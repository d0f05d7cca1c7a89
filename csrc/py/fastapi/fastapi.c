/* SPDX-License-Identifier: MIT */
/* What the FastAPI router adds to the module and to its state. */
#include "state.h"

#include "fastapi/call.h"
#include "fastapi/pool.h"
#include "fastapi/router.h"

/* What the layers of middleware.h write. */
static int fill_fields(cam_fastapi_constants *constants) {
    const struct {
        PyObject **slot;
        const char *name;
        const char *value;
    } wanted[] = {
        {&constants->field_vary_origin, "vary", "Origin"},
        {&constants->field_vary_encoding, "vary", "Accept-Encoding"},
        {&constants->field_gzip, "content-encoding", "gzip"},
        {&constants->field_plain_text, "content-type", "text/plain; charset=utf-8"},
        {&constants->field_allow_private_network, "access-control-allow-private-network", "true"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].slot = Py_BuildValue("(yy)", wanted[i].name, wanted[i].value);
        if (*wanted[i].slot == NULL) {
            return -1;
        }
    }
    constants->name_content_encoding = PyBytes_FromString("content-encoding");
    constants->name_allow_origin = PyBytes_FromString("access-control-allow-origin");
    constants->name_allow_headers = PyBytes_FromString("access-control-allow-headers");
    constants->zlib_deflated = PyLong_FromLong(8);        /* zlib.DEFLATED */
    constants->zlib_gzip_bits = PyLong_FromLong(16 + 15); /* in gzip, zlib.MAX_WBITS */
    return constants->name_content_encoding == NULL || constants->name_allow_origin == NULL ||
                   constants->name_allow_headers == NULL || constants->zlib_deflated == NULL ||
                   constants->zlib_gzip_bits == NULL
               ? -1
               : 0;
}

static int fill_constants(cam_fastapi_constants *constants) {
#define X(name, text)                                                                              \
    if ((constants->str_##name = PyUnicode_InternFromString(text)) == NULL) {                      \
        return -1;                                                                                 \
    }
    CAM_FASTAPI_STRINGS(X)
#undef X
    constants->kw_from_attributes = PyTuple_Pack(1, constants->str_from_attributes);
    constants->name_content_length = PyBytes_FromString("content-length");
    constants->name_content_type = PyBytes_FromString("content-type");
    constants->media_json = PyBytes_FromString("application/json");
    return constants->kw_from_attributes == NULL || constants->name_content_length == NULL ||
                   constants->name_content_type == NULL || constants->media_json == NULL
               ? -1
               : 0;
}

int cam_fastapi_exec(PyObject *module, cam_state *state) {
    if (fill_constants(&state->fastapi) < 0 || fill_fields(&state->fastapi) < 0 ||
        cam_table_exec(module, state) < 0 || cam_call_exec(module, state) < 0 ||
        cam_router_exec(module, state) < 0 || cam_pool_exec(module, state) < 0) {
        return -1;
    }
    return 0;
}

int cam_fastapi_traverse(cam_state *state, visitproc visit, void *arg) {
#define X(name) Py_VISIT(state->fastapi.name);
    CAM_FASTAPI_OBJECTS(X)
#undef X
    return cam_pool_traverse(state, visit, arg);
}

void cam_fastapi_free(cam_state *state) {
#if PY_VERSION_HEX >= 0x030C0000
    if (state->fastapi.state_watcher.there) {
        (void)PyDict_ClearWatcher(state->fastapi.state_watcher.number);
    }
    if (state->fastapi.home_watcher.there) {
        (void)PyDict_ClearWatcher(state->fastapi.home_watcher.number);
    }
#endif
#define X(name, text) Py_CLEAR(state->fastapi.str_##name);
    CAM_FASTAPI_STRINGS(X)
#undef X
#define X(name) Py_CLEAR(state->fastapi.name);
    CAM_FASTAPI_OBJECTS(X)
#undef X
    cam_pool_free(state);
}
