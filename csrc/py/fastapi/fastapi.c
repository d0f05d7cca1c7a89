/* SPDX-License-Identifier: MIT */
/* What the FastAPI router adds to the module and to its state. */
#include "state.h"

#include "fastapi/call.h"
#include "fastapi/pool.h"
#include "fastapi/router.h"

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
    if (fill_constants(&state->fastapi) < 0 || cam_table_exec(module, state) < 0 ||
        cam_call_exec(module, state) < 0 || cam_router_exec(module, state) < 0 ||
        cam_pool_exec(module, state) < 0) {
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
    if (state->fastapi.has_dict_watcher) {
        (void)PyDict_ClearWatcher(state->fastapi.dict_watcher);
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
