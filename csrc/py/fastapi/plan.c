/* SPDX-License-Identifier: MIT */
#include "fastapi/plan.h"

#include "fastapi/middleware.h"

/* ---- reading camshaft.fastapi.plan's objects ---- */

/* Hands an object to the table; returns it, borrowed, or NULL with an exception. Steals it. */
static PyObject *keep(TableObject *self, PyObject *object) {
    if (object == NULL || PyList_Append(self->kept, object) < 0) {
        Py_XDECREF(object);
        return NULL;
    }
    Py_DECREF(object);
    return object;
}

/* source.name, kept by the table; NULL with an exception. */
static PyObject *member(TableObject *self, PyObject *source, const char *name) {
    return keep(self, PyObject_GetAttrString(source, name));
}

/* The same, but with NULL in *value for None. 0, or -1 with an exception. */
static int member_or_null(TableObject *self, PyObject *source, const char *name, PyObject **value) {
    PyObject *object = member(self, source, name);
    *value = object == Py_None ? NULL : object;
    return object ? 0 : -1;
}

static int flag(PyObject *source, const char *name, bool *value) {
    PyObject *object = PyObject_GetAttrString(source, name);
    int truth = object ? PyObject_IsTrue(object) : -1;
    Py_XDECREF(object);
    *value = truth > 0;
    return truth < 0 ? -1 : 0;
}

static int number(PyObject *source, const char *name, Py_ssize_t *value) {
    PyObject *object = PyObject_GetAttrString(source, name);
    *value = object ? PyNumber_AsSsize_t(object, PyExc_OverflowError) : -1;
    Py_XDECREF(object);
    return PyErr_Occurred() ? -1 : 0;
}

/* The tuple source.name, kept by the table; NULL with an exception. */
static PyObject *tuple(TableObject *self, PyObject *source, const char *name) {
    PyObject *object = PyObject_GetAttrString(source, name);
    PyObject *items = object ? PySequence_Tuple(object) : NULL;
    Py_XDECREF(object);
    return keep(self, items);
}

static void *array(Py_ssize_t count, size_t size) {
    void *block = PyMem_Calloc((size_t)(count ? count : 1), size);
    return block ? block : PyErr_NoMemory();
}

/* ---- fields ---- */

static bool is_immutable(PyObject *value) {
    return value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
           PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value);
}

static int read_field(TableObject *self, PyObject *source, cam_field *field) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    field->keys = tuple(self, source, "keys");
    field->default_value = member(self, source, "default");
    field->model_field = member(self, source, "field");
    PyObject *validator = member(self, source, "validator");
    if (field->keys == NULL || field->default_value == NULL || field->model_field == NULL ||
        validator == NULL ||
        member_or_null(self, source, "default_factory", &field->default_factory) < 0 ||
        flag(source, "required", &field->required) < 0 ||
        flag(source, "validate_default", &field->validate_default) < 0 ||
        flag(source, "pure", &field->pure) < 0) {
        return -1;
    }
    if (validator != Py_None) {
        field->validate = keep(self, PyObject_GetAttr(validator, c->str_validate_python));
        if (field->validate == NULL) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(field->keys); i++) {
        if (!PyUnicode_Check(PyTuple_GET_ITEM(field->keys, i))) {
            PyErr_SetString(PyExc_TypeError, "the keys of a field must be strings");
            return -1;
        }
    }
    field->shared_default = is_immutable(field->default_value);
    return 0;
}

static int read_parameter(TableObject *self, PyObject *source, cam_parameter *parameter) {
    PyObject *field = member(self, source, "field");
    Py_ssize_t from = 0;
    if (field == NULL || read_field(self, field, &parameter->field) < 0 ||
        member_or_null(self, source, "extract", &parameter->extract) < 0 ||
        number(source, "source", &from) < 0 || flag(source, "sequence", &parameter->sequence) < 0) {
        return -1;
    }
    parameter->source = (uint8_t)from;
    parameter->lookup = parameter->field.keys;
    if (from == CAM_SOURCE_HEADER) {
        PyObject *keys = parameter->field.keys;
        parameter->lookup = keep(self, PyTuple_New(PyTuple_GET_SIZE(keys)));
        for (Py_ssize_t i = 0; parameter->lookup && i < PyTuple_GET_SIZE(keys); i++) {
            PyObject *lower = PyObject_CallMethod(PyTuple_GET_ITEM(keys, i), "lower", NULL);
            if (lower == NULL) {
                return -1;
            }
            PyTuple_SET_ITEM(parameter->lookup, i, lower);
        }
        if (parameter->lookup == NULL) {
            return -1;
        }
    }
    if (from < 0 || from >= CAM_SOURCE_COUNT ||
        (parameter->extract == NULL &&
         (PyTuple_GET_SIZE(parameter->field.keys) == 0 || parameter->field.validate == NULL))) {
        PyErr_SetString(PyExc_ValueError, "a parameter has no source, key or validator");
        return -1;
    }
    return 0;
}

/* ---- nodes ---- */

/* What the arguments of a node are read of, after those of its children. */
enum { OF_PARAMETERS, OF_BODY, OF_FORM, OF_INJECTED, GROUPS };

/* The keyword arguments of a node in order, and where the values of its children go. */
static PyObject *name_arguments(cam_plan *plan, cam_node *node, PyObject *children,
                                PyObject *const *groups) {
    PyObject *names = PyList_New(0);
    Py_ssize_t self_index = node - plan->nodes;
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(children); i++) {
        Py_ssize_t child = PyNumber_AsSsize_t(PyTuple_GET_ITEM(children, i), PyExc_IndexError);
        if (child < 0 || child >= self_index) {
            PyErr_SetString(PyExc_ValueError, "a node depends on one that does not precede it");
            Py_CLEAR(names);
            break;
        }
        plan->nodes[child].parent = self_index;
        PyObject *name = PyObject_GetAttrString(plan->nodes[child].source, "name");
        if (name == NULL) {
            Py_CLEAR(names);
        } else if (name != Py_None) {
            plan->nodes[child].target = node->first + node->child_count++;
            if (PyList_Append(names, name) < 0) {
                Py_CLEAR(names);
            }
        }
        Py_XDECREF(name);
    }
    for (size_t group = 0; group < GROUPS; group++) {
        for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(groups[group]); i++) {
            PyObject *item = PyTuple_GET_ITEM(groups[group], i);
            PyObject *field =
                group == OF_PARAMETERS ? PyObject_GetAttrString(item, "field") : Py_NewRef(item);
            PyObject *name = field == NULL          ? NULL
                             : group == OF_FORM     ? Py_NewRef(field)
                             : group == OF_INJECTED ? PySequence_GetItem(field, 1)
                                                    : PyObject_GetAttrString(field, "name");
            if (name == NULL || PyList_Append(names, name) < 0) {
                Py_CLEAR(names);
            }
            Py_XDECREF(name);
            Py_XDECREF(field);
        }
    }
    PyObject *result = names ? PyList_AsTuple(names) : NULL;
    Py_XDECREF(names);
    return result;
}

static int read_node(TableObject *self, cam_plan *plan, cam_node *node, PyObject *source) {
    node->source = keep(self, Py_NewRef(source));
    node->call = member(self, source, "call");
    node->dependant = member(self, source, "dependant");
    PyObject *children = tuple(self, source, "children");
    PyObject *parameters = tuple(self, source, "parameters");
    PyObject *body = tuple(self, source, "body");
    PyObject *form = tuple(self, source, "form");
    PyObject *injected = tuple(self, source, "injected");
    Py_ssize_t kind = 0;
    if (node->source == NULL || node->call == NULL || node->dependant == NULL || children == NULL ||
        parameters == NULL || body == NULL || form == NULL || injected == NULL ||
        number(source, "kind", &kind) < 0 || number(source, "slot", &node->slot) < 0 ||
        flag(source, "body_is_field", &node->body_is_field) < 0 ||
        flag(source, "use_cache", &node->use_cache) < 0 ||
        flag(source, "function_scope", &node->function_scope) < 0) {
        return -1;
    }
    if (kind < 0 || kind > CAM_CALL_GENERATOR || node->slot < 0 || node->slot > 1000) {
        PyErr_SetString(PyExc_ValueError, "a node's kind or slot is none");
        return -1;
    }
    node->kind = (uint8_t)kind;
    node->target = node->parent = -1;
    node->first = plan->argument_count;
    node->parameter_count = PyTuple_GET_SIZE(parameters);
    node->body_count = PyTuple_GET_SIZE(body);
    node->form_count = PyTuple_GET_SIZE(form);
    node->injected_count = PyTuple_GET_SIZE(injected);
    node->parameters = array(node->parameter_count, sizeof *node->parameters);
    node->body = array(node->body_count, sizeof *node->body);
    if (node->parameters == NULL || node->body == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < node->parameter_count; i++) {
        if (read_parameter(self, PyTuple_GET_ITEM(parameters, i), &node->parameters[i]) < 0) {
            return -1;
        }
        plan->pure = plan->pure && node->parameters[i].field.pure;
    }
    for (Py_ssize_t i = 0; i < node->body_count; i++) {
        if (read_field(self, PyTuple_GET_ITEM(body, i), &node->body[i]) < 0) {
            return -1;
        }
        if (node->body[i].validate == NULL) {
            PyErr_SetString(PyExc_ValueError, "a field of the body has no validator");
            return -1;
        }
        plan->pure = plan->pure && node->body[i].pure;
    }
    PyObject *groups[] = {parameters, body, form, injected};
    node->names = keep(self, name_arguments(plan, node, children, groups));
    if (node->names == NULL) {
        return -1;
    }
    plan->argument_count += PyTuple_GET_SIZE(node->names);
    plan->slot_count = node->slot >= plan->slot_count ? node->slot + 1 : plan->slot_count;
    node->generator = node->kind == CAM_CALL_ASYNC_GENERATOR ? plan->generator_count++ : -1;
    plan->needs_handler |= node->injected_count > 0 || node->kind == CAM_CALL_GENERATOR ||
                           (node->kind == CAM_CALL_ASYNC_GENERATOR && node->function_scope);
    return 0;
}

/* ---- the answer ---- */

static int read_options(TableObject *self, cam_answer_plan *answer, PyObject *source) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    PyObject *options = member(self, source, "options");
    if (options == NULL || !PyDict_Check(options)) {
        if (options != NULL) {
            PyErr_SetString(PyExc_TypeError, "the options of an answer must be a dict");
        }
        return -1;
    }
    Py_ssize_t extra = answer->dump_json ? 0 : 1;
    Py_ssize_t count = PyDict_GET_SIZE(options) + extra;
    PyObject *names = keep(self, PyTuple_New(count));
    answer->options = array(count + 1, sizeof(PyObject *));
    if (names == NULL || answer->options == NULL) {
        return -1;
    }
    answer->names = names;
    Py_ssize_t at = 0, position = 0;
    PyObject *key, *value;
    while (PyDict_Next(options, &position, &key, &value) && at < count - extra) {
        PyTuple_SET_ITEM(names, at, Py_NewRef(key));
        if ((answer->options[++at] = keep(self, Py_NewRef(value))) == NULL) {
            return -1;
        }
    }
    if (extra) {
        PyTuple_SET_ITEM(names, at, Py_NewRef(c->str_mode));
        answer->options[++at] = c->str_json;
    }
    return 0;
}

static int read_answer(TableObject *self, cam_answer_plan *answer, PyObject *source) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    answer->source = keep(self, Py_NewRef(source));
    PyObject *validator, *status = member(self, source, "status_code");
    answer->response_class = member(self, source, "response_class");
    if (answer->source == NULL || status == NULL || answer->response_class == NULL ||
        member_or_null(self, source, "validator", &validator) < 0 ||
        flag(source, "dump_json", &answer->dump_json) < 0 ||
        flag(source, "pure", &answer->pure) < 0) {
        return -1;
    }
    answer->is_json = answer->response_class == c->json_response;
    PyObject *zero = keep(self, PyLong_FromLong(200));
    if (zero == NULL) {
        return -1;
    }
    /* A status of 0 or None is that of the class, which is 200 for the two that are known. */
    int given = PyObject_IsTrue(status);
    answer->status = given > 0 ? status : zero;
    long code = PyLong_Check(answer->status) ? PyLong_AsLong(answer->status) : -1;
    if (given < 0 || (code == -1 && PyErr_Occurred())) {
        return -1;
    }
    answer->status_code = (int)(code >= 0 && code <= 999 ? code : 0);
    answer->is_plain = code >= 200 && code <= 599 && code != 204 && code != 205 && code != 304;
    if (validator == NULL) {
        return 0;
    }
    PyObject *serializer = member(self, source, "serializer");
    answer->validate = keep(self, PyObject_GetAttr(validator, c->str_validate_python));
    answer->serialize =
        serializer == NULL
            ? NULL
            : keep(self, PyObject_GetAttr(serializer,
                                          answer->dump_json ? c->str_to_json : c->str_to_python));
    if (answer->validate == NULL || answer->serialize == NULL) {
        return -1;
    }
    return read_options(self, answer, source);
}

/* ---- plans and entries ---- */

static int read_plan(TableObject *self, cam_plan *plan, PyObject *source) {
    plan->source = keep(self, Py_NewRef(source));
    PyObject *nodes = tuple(self, source, "nodes");
    PyObject *answer = member(self, source, "answer");
    PyObject *limits = tuple(self, source, "body_limits");
    if (limits == NULL || plan->source == NULL || nodes == NULL || answer == NULL ||
        flag(source, "reads_body", &plan->reads_body) < 0 ||
        flag(source, "reads_form", &plan->reads_form) < 0 ||
        flag(source, "strict_content_type", &plan->strict_content_type) < 0 ||
        read_answer(self, &plan->answer, answer) < 0) {
        return -1;
    }
    Py_ssize_t limit_count = PyTuple_GET_SIZE(limits);
    plan->max_body_size =
        limit_count > 0 ? PyLong_AsLongLong(PyTuple_GET_ITEM(limits, limit_count - 1)) : -1;
    plan->node_count = PyTuple_GET_SIZE(nodes);
    /* A form's fields are validated with awaiting in between, and as they are when they are used:
     * a file is where a dependency before has left it. */
    plan->pure = !plan->reads_form;
    plan->needs_handler = plan->reads_form;
    plan->nodes = array(plan->node_count, sizeof *plan->nodes);
    if (PyErr_Occurred()) {
        return -1;
    }
    bool takes_form = false;
    for (Py_ssize_t i = 0; i < plan->node_count; i++) {
        if (read_node(self, plan, &plan->nodes[i], PyTuple_GET_ITEM(nodes, i)) < 0) {
            return -1;
        }
        takes_form |= plan->nodes[i].form_count > 0;
    }
    if ((takes_form && !plan->reads_form) || (plan->reads_form && !plan->reads_body)) {
        PyErr_SetString(PyExc_ValueError, "a plan has a form that it does not read");
        return -1;
    }
    if (plan->node_count == 0 || plan->nodes[plan->node_count - 1].kind > CAM_CALL_THREAD) {
        PyErr_SetString(PyExc_ValueError, "a plan must end with an endpoint that is called");
        return -1;
    }
    return 0;
}

/* The ASGI callables for a plan that needs FastAPI's request_response around it, if only for some
 * requests. One with a limit has none before the middleware. */
static int make_apps(TableObject *self, cam_entry *entry, PyObject *router) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    PyObject *index = PyLong_FromSsize_t(entry - self->entries);
    if (index == NULL) {
        return -1;
    }
    cam_plan *plan = entry->plan;
    PyObject *args[] = {router, (PyObject *)self, index, plan->source};
    plan->app = keep(self, PyObject_Vectorcall(c->through_handler, args, 4, NULL));
    if (plan->app != NULL && plan->max_body_size < 0) {
        plan->before = keep(self, PyObject_Vectorcall(c->before_middleware, args, 3, NULL));
    }
    Py_DECREF(index);
    return plan->app && (plan->before || plan->max_body_size >= 0) ? 0 : -1;
}

static int read_pattern(TableObject *self, cam_entry *entry, PyObject *text) {
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL) {
        return -1;
    }
    switch (cam_route_pattern_init(&entry->pattern, utf8, (size_t)len)) {
    case CAM_ROUTE_OK:
        break;
    case CAM_ROUTE_UNKNOWN:
        return 0;
    case CAM_ROUTE_NO_MEMORY:
        PyErr_NoMemory();
        return -1;
    }
    entry->by_pattern = true;
    for (uint32_t i = 0; i < entry->pattern.count; i++) {
        cam_slice name = entry->pattern.parameters[i].name;
        PyObject *string = PyUnicode_FromStringAndSize(name.ptr, (Py_ssize_t)name.len);
        if (string != NULL) {
            PyUnicode_InternInPlace(&string);
        }
        entry->parameters[i] = keep(self, string);
        if (string == NULL) {
            return -1;
        }
    }
    return 0;
}

static int read_entry(TableObject *self, cam_entry *entry, PyObject *source, PyObject *router) {
    PyObject *pattern, *regex, *plan;
    PyObject *methods = member(self, source, "methods");
    entry->converters = member(self, source, "converters");
    PyObject *routers = tuple(self, source, "routers");
    if (methods == NULL || entry->converters == NULL || routers == NULL ||
        member_or_null(self, source, "pattern", &pattern) < 0 ||
        member_or_null(self, source, "regex", &regex) < 0 ||
        member_or_null(self, source, "plan", &plan) < 0 ||
        member_or_null(self, source, "prefix", &entry->prefix) < 0 ||
        member_or_null(self, source, "route", &entry->route) < 0 ||
        member_or_null(self, source, "context", &entry->context) < 0 ||
        (entry->form_limits = tuple(self, source, "form_limits")) == NULL ||
        flag(source, "after_included", &entry->after_included) < 0) {
        return -1;
    }
    entry->barrier = pattern == NULL;
    if (entry->barrier) {
        return 0;
    }
    int any = PyObject_IsTrue(methods);
    entry->methods = any > 0 ? keep(self, PyFrozenSet_New(methods)) : NULL;
    if (any < 0 || PyErr_Occurred() || read_pattern(self, entry, pattern) < 0) {
        return -1;
    }
    if (!entry->by_pattern && regex == NULL) {
        entry->barrier = true;
        return 0;
    }
    if (regex != NULL && (entry->regex = member(self, regex, "match")) == NULL) {
        return -1;
    }
    Py_ssize_t depth = PyTuple_GET_SIZE(routers);
    entry->included = depth > 0 ? PyTuple_GET_ITEM(routers, depth - 1) : NULL;
    if (plan == NULL) {
        return 0;
    }
    PyObject *owner = entry->context ? entry->context : entry->route;
    if (owner == NULL || (entry->endpoint = member(self, owner, "endpoint")) == NULL) {
        if (owner == NULL) {
            PyErr_SetString(PyExc_ValueError, "an entry with a plan has no route");
        }
        return -1;
    }
    entry->plan = array(1, sizeof *entry->plan);
    if (entry->plan == NULL || read_plan(self, entry->plan, plan) < 0) {
        return -1;
    }
    bool wanted = entry->plan->needs_handler || entry->plan->max_body_size >= 0;
    return wanted ? make_apps(self, entry, router) : 0;
}

static int read_guard(TableObject *self, PyObject *source) {
    static const char *const names[] = {"watched_lists", "watched_names", "watched_empty",
                                        "watched_dicts"};
    PyObject *members[4];
    for (size_t i = 0; i < 4; i++) {
        members[i] = tuple(self, source, names[i]);
        if (members[i] == NULL) {
            return -1;
        }
    }
    PyObject *module = PyImport_ImportModule("camshaft.fastapi.plan");
    PyObject *missing = module ? keep(self, PyObject_GetAttrString(module, "MISSING")) : NULL;
    Py_XDECREF(module);
    return missing ? CamGuard_Read(&self->guard, self->state, members, missing) : -1;
}

/* ---- the object ---- */

TableObject *CamTable_New(cam_state *state, PyObject *source, PyObject *router) {
    PyTypeObject *type = (PyTypeObject *)state->fastapi.table_type;
    TableObject *self = (TableObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->kept = PyList_New(0);
    PyObject *app = self->kept ? member(self, source, "app") : NULL;
    self->router = app ? keep(self, PyObject_GetAttr(app, state->fastapi.str_router)) : NULL;
    PyObject *entries = self->router ? tuple(self, source, "entries") : NULL;
    PyObject *limit = NULL;
    if (entries == NULL || flag(source, "whole", &self->whole) < 0 ||
        member_or_null(self, source, "max_body_size", &limit) < 0 || read_guard(self, source) < 0 ||
        CamMiddleware_Read(self, source) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->max_body_size = limit ? PyLong_AsLongLong(limit) : -1;
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(entries);
    self->entries = array(count, sizeof *self->entries);
    for (Py_ssize_t i = 0; self->entries != NULL && i < count; i++) {
        self->entry_count = i + 1;
        if (read_entry(self, &self->entries[i], PyTuple_GET_ITEM(entries, i), router) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    }
    if (self->entries == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static void free_plan(cam_plan *plan) {
    for (Py_ssize_t i = 0; plan->nodes != NULL && i < plan->node_count; i++) {
        PyMem_Free(plan->nodes[i].parameters);
        PyMem_Free(plan->nodes[i].body);
    }
    PyMem_Free(plan->nodes);
    PyMem_Free(plan->answer.options);
    PyMem_Free(plan);
}

static int table_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((TableObject *)op)->kept);
    return 0;
}

/* There is no tp_clear: calls under way read their plan. The router, which owns the table and is
 * among what it keeps, breaks the loop. */
static void table_dealloc(PyObject *op) {
    TableObject *self = (TableObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    for (Py_ssize_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i].by_pattern) {
            cam_route_pattern_free(&self->entries[i].pattern);
        }
        if (self->entries[i].plan != NULL) {
            free_plan(self->entries[i].plan);
        }
    }
    PyMem_Free(self->entries);
    PyMem_Free(self->layers);
    CamGuard_Free(&self->guard);
    Py_CLEAR(self->kept);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot table_slots[] = {
    {Py_tp_doc, (void *)"The plans of a FastAPI application."},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_traverse, table_traverse},
    {0, NULL},
};

static PyType_Spec table_spec = {
    .name = "camshaft._core.FastAPITable",
    .basicsize = sizeof(TableObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = table_slots,
};

int cam_table_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &table_spec, NULL, 0, &state->fastapi.table_type);
}
