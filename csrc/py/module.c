/* SPDX-License-Identifier: MIT */
/* The extension module `camshaft._core`: multi-phase initialisation, one state per module. */
#include "state.h"

#include "base/alloc.h"

static int module_exec(PyObject *module);
static struct PyModuleDef module_def;

cam_state *CamState_OfType(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    return module ? PyModule_GetState(module) : NULL;
}

int CamState_AddType(PyObject *module, PyType_Spec *spec, PyObject *base, int public,
                     PyObject **slot) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (type == NULL) {
        return -1;
    }
    *slot = type;
    if (public && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        return -1;
    }
    return 0;
}

static int module_exec(PyObject *module) {
    /* Said here too: before 3.12 the slot below does not exist, and interpreters that share their
     * GIL with the main one (mod_wsgi's) are let past it. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "camshaft._core does not support loading in subinterpreters; "
                        "use it in the main interpreter");
        return -1;
    }
    static const cam_allocator allocator = {PyMem_RawMalloc, PyMem_RawRealloc, PyMem_RawFree};
    cam_alloc_use(&allocator);
    cam_state *state = PyModule_GetState(module);
#define X(text)                                                                                    \
    if ((state->str_##text = PyUnicode_InternFromString(#text)) == NULL) {                         \
        return -1;                                                                                 \
    }
    CAM_STRINGS(X)
#undef X
    if (cam_protocol_exec(module, state) < 0 || cam_handle_exec(module, state) < 0 ||
        cam_loop_exec(module, state) < 0 || cam_stream_exec(module, state) < 0 ||
        cam_listener_exec(module, state) < 0 || cam_share_exec(module, state) < 0 ||
        cam_reader_exec(state) < 0 || cam_connect_exec(module, state) < 0 ||
        cam_readiness_exec(module, state) < 0 || cam_sock_exec(module, state) < 0 ||
        cam_lookup_exec(state) < 0 || cam_executor_exec(module, state) < 0 ||
        cam_datagram_exec(module, state) < 0 || cam_tls_exec(module, state) < 0 ||
        cam_entrance_exec(module, state) < 0 || cam_arrival_exec(module, state) < 0 ||
        cam_read_pipe_exec(module, state) < 0 || cam_write_pipe_exec(module, state) < 0 ||
        cam_process_pipe_exec(module, state) < 0 || cam_task_exec(module, state) < 0 ||
        cam_asgi_exec(module, state) < 0 || cam_http_exec(module, state) < 0 ||
        cam_fastapi_exec(module, state) < 0) {
        return -1;
    }
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    cam_state *state = PyModule_GetState(module);
#define X(name) Py_VISIT(state->name);
    CAM_OBJECTS(X)
#undef X
    int status = cam_tls_traverse(state, visit, arg);
    status = status ? status : cam_asgi_traverse(state, visit, arg);
    status = status ? status : cam_http_traverse(state, visit, arg);
    return status ? status : cam_fastapi_traverse(state, visit, arg);
}

static void module_free(void *module) {
    cam_state *state = PyModule_GetState((PyObject *)module);
    cam_task_free_stock(state); /* before their type: freeing what is tracked looks at it */
#define X(name) Py_CLEAR(state->str_##name);
    CAM_STRINGS(X)
#undef X
#define X(name) Py_CLEAR(state->name);
    CAM_OBJECTS(X)
#undef X
    cam_handle_free_stock(state);
    cam_asgi_free(state);
    cam_http_free(state);
    cam_fastapi_free(state);
    cam_tls_free(state);
}

PyDoc_STRVAR(expect_bodies_doc,
             "expect_bodies()\n--\n\n"
             "Tell the C library to keep freed memory for the bodies of requests to come.\n\n"
             "For the whole process, and unless its environment says what to do (mallopt(3)).");

static PyObject *expect_bodies(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
    cam_alloc_expect_bodies();
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"expect_bodies", expect_bodies, METH_NOARGS, expect_bodies_doc},
    {NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "camshaft._core",
    .m_doc = "The C half of camshaft; use the camshaft package.",
    .m_size = sizeof(cam_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&module_def);
}
