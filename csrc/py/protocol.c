/* SPDX-License-Identifier: MIT */
#include "protocol.h"

const CamProtocolTable *CamProtocol_TableOf(cam_state *state, PyObject *object) {
    if (PyObject_TypeCheck(object, (PyTypeObject *)state->protocol_type)) {
        return ((CamProtocolObject *)object)->table;
    }
    return NULL;
}

PyDoc_STRVAR(protocol_doc, "Base of protocols implemented in C; not to be made from Python.");

static PyType_Slot protocol_slots[] = {
    {Py_tp_doc, (void *)protocol_doc},
    {0, NULL},
};

static PyType_Spec protocol_spec = {
    .name = "camshaft._core.NativeProtocol",
    .basicsize = sizeof(CamProtocolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = protocol_slots,
};

int cam_protocol_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &protocol_spec, NULL, 0, &state->protocol_type);
}
