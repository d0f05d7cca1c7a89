/* SPDX-License-Identifier: MIT */
#include "fastapi/router.h"

#include <structmember.h>

#include "fastapi/call.h"

#include "compat.h"

enum {
    COMPILATIONS = 1000, /* an application that changes for ever is left to FastAPI */
    INT_DIGITS = 300,    /* beyond these, int() and float() are asked by FastAPI */
};

/* ---- the table ---- */

/* Makes the table anew: as current_table(). */
static int compile_table(RouterObject *self, TableObject **table) {
    if (self->compiling || self->compilations == COMPILATIONS) {
        return 0;
    }
    self->compiling = true;
    self->compilations++;
    PyObject *source = PyObject_CallNoArgs(self->compile);
    TableObject *made = source && cam_fastapi_prepare(self->state) == 0
                            ? CamTable_New(self->state, source, (PyObject *)self)
                            : NULL;
    Py_XDECREF(source);
    self->compiling = false;
    if (made == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_WriteUnraisable((PyObject *)self);
        self->compilations = COMPILATIONS; /* FastAPI's, from now on */
        return 0;
    }
    *table = (TableObject *)Py_NewRef(made);
    Py_XSETREF(self->table, made);
    int holds = CamGuard_Holds(&(*table)->guard); /* the application's code ran meanwhile */
    if (holds <= 0) {
        Py_CLEAR(*table);
    }
    return holds;
}

/* The table as of now: 1 with *table new, 0 if there is none, -1 with an exception. */
static int current_table(RouterObject *self, TableObject **table) {
    *table = NULL;
    if (self->table != NULL) {
        TableObject *known = (TableObject *)Py_NewRef(self->table);
        int holds = CamGuard_Holds(&known->guard);
        if (holds > 0) {
            *table = known;
            return 1;
        }
        Py_DECREF(known);
        if (holds < 0) {
            return -1;
        }
    }
    /* A second time if the first does not hold: what was collected meanwhile may have been watched,
     * as is told of by Python 3.12 and later. */
    int there = compile_table(self, table);
    return there == 0 ? compile_table(self, table) : there;
}

/* ---- matching ---- */

/* The path that routes are matched with (starlette._utils.get_route_path): a new string, NULL with
 * an exception, or NULL without one if FastAPI is to say. */
static PyObject *route_path(cam_state *state, PyObject *scope) {
    PyObject *path = PyDict_GetItemWithError(scope, state->asgi.str_path);
    if (path == NULL || !PyUnicode_CheckExact(path)) {
        return NULL;
    }
    Py_INCREF(path); /* to look into the scope may run code of odd keys */
    PyObject *root = PyDict_GetItemWithError(scope, state->asgi.str_root_path);
    if (root == NULL ? PyErr_Occurred() != NULL : !PyUnicode_CheckExact(root)) {
        Py_DECREF(path);
        return NULL;
    }
    Py_ssize_t length = root ? PyUnicode_GET_LENGTH(root) : 0, whole = PyUnicode_GET_LENGTH(path);
    Py_ssize_t begins = length > 0 ? PyUnicode_Tailmatch(path, root, 0, whole, -1) : 0;
    if (begins > 0 && (whole == length || PyUnicode_READ_CHAR(path, length) == '/')) {
        Py_SETREF(path, PyUnicode_Substring(path, length, whole));
    } else if (begins < 0) {
        Py_CLEAR(path);
    }
    return path;
}

/* A parameter's value, converted as Starlette does. New reference; NULL with an exception. */
static PyObject *convert(cam_state *state, cam_route_convertor convertor, cam_slice text) {
    PyObject *string = PyUnicode_DecodeUTF8(text.ptr, (Py_ssize_t)text.len, NULL);
    PyObject *value = string;
    if (string == NULL || convertor == CAM_ROUTE_STR || convertor == CAM_ROUTE_PATH) {
        return value;
    }
    if (convertor == CAM_ROUTE_INT) {
        value = PyLong_FromUnicodeObject(string, 10);
    } else if (convertor == CAM_ROUTE_FLOAT) {
        value = PyFloat_FromString(string);
    } else {
        value = PyObject_CallOneArg(state->fastapi.uuid, string);
    }
    Py_DECREF(string);
    return value;
}

/* Adds what the pattern has found to a dict. 0, or -1 with an exception. */
static int put_by_pattern(cam_state *state, const cam_entry *entry, const cam_slice *values,
                          PyObject *params) {
    for (uint32_t i = 0; i < entry->pattern.count; i++) {
        PyObject *value =
            convert(state, (cam_route_convertor)entry->pattern.parameters[i].convertor, values[i]);
        int put = value ? PyDict_SetItem(params, entry->parameters[i], value) : -1;
        Py_XDECREF(value);
        if (put < 0) {
            return -1;
        }
    }
    return 0;
}

/* The same of a match of the regular expression. */
static int put_by_regex(const cam_entry *entry, PyObject *match, PyObject *params) {
    PyObject *groups = PyObject_CallMethod(match, "groupdict", NULL);
    PyObject *key, *text;
    Py_ssize_t position = 0;
    int status = groups && PyDict_Check(groups) ? 0 : -1;
    while (status == 0 && PyDict_Next(groups, &position, &key, &text)) {
        PyObject *converter = PyObject_GetItem(entry->converters, key);
        PyObject *value = converter ? PyObject_CallMethod(converter, "convert", "O", text) : NULL;
        status = value ? PyDict_SetItem(params, key, value) : -1;
        Py_XDECREF(value);
        Py_XDECREF(converter);
    }
    Py_XDECREF(groups);
    return status;
}

/* Whether the entry takes the method: 1, 0, or -1 with an exception. */
static int takes_method(const cam_entry *entry, PyObject *method) {
    return entry->methods == NULL ? 1 : PySet_Contains(entry->methods, method);
}

/* scope["path_params"] as it was, in a new dict. */
static PyObject *outer_params(cam_state *state, PyObject *scope) {
    PyObject *outer = Py_XNewRef(PyDict_GetItemWithError(scope, state->fastapi.str_path_params));
    PyObject *params = outer == NULL && PyErr_Occurred() ? NULL : PyDict_New();
    if (params != NULL && outer != NULL && PyDict_Update(params, outer) < 0) {
        Py_CLEAR(params);
    }
    Py_XDECREF(outer);
    return params;
}

/* match() for a method, which is a str. */
static int match_method(TableObject *table, PyObject *scope, PyObject *path, PyObject *method,
                        const cam_entry **found, PyObject **params) {
    cam_state *state = table->state;
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(path, &size);
    if (utf8 == NULL || memchr(utf8, '\n', (size_t)size) != NULL) {
        PyErr_Clear();
        return 0;
    }
    cam_slice values[CAM_ROUTE_PARAMETERS];
    for (Py_ssize_t i = 0; i < table->entry_count; i++) {
        const cam_entry *entry = &table->entries[i];
        PyObject *by_regex = NULL;
        if (entry->barrier) {
            Py_ssize_t begins = entry->prefix == NULL ? 1
                                                      : PyUnicode_Tailmatch(path, entry->prefix, 0,
                                                                            PY_SSIZE_T_MAX, -1);
            if (begins != 0) {
                return begins < 0 ? -1 : 0;
            }
            continue;
        }
        if (entry->by_pattern) {
            if (!cam_route_pattern_match(&entry->pattern, utf8, (size_t)size, values)) {
                continue;
            }
        } else {
            by_regex = PyObject_CallOneArg(entry->regex, path);
            if (by_regex == NULL) {
                return -1;
            }
            if (by_regex == Py_None) {
                Py_DECREF(by_regex);
                continue;
            }
        }
        int takes = takes_method(entry, method);
        if (takes <= 0 || entry->plan == NULL) {
            Py_XDECREF(by_regex);
            if (takes == 0) {
                continue;
            }
            return takes < 0 ? -1 : 0;
        }
        for (uint32_t k = 0; entry->by_pattern && k < entry->pattern.count; k++) {
            uint8_t convertor = entry->pattern.parameters[k].convertor;
            if ((convertor == CAM_ROUTE_INT || convertor == CAM_ROUTE_FLOAT) &&
                values[k].len > INT_DIGITS) {
                return 0;
            }
        }
        *params = outer_params(state, scope);
        int put = *params == NULL ? -1
                  : by_regex      ? put_by_regex(entry, by_regex, *params)
                                  : put_by_pattern(state, entry, values, *params);
        Py_XDECREF(by_regex);
        if (put < 0) {
            Py_CLEAR(*params);
            return -1;
        }
        *found = entry;
        return 1;
    }
    return 0;
}

/* The entry that takes path and method, with a plan: 1 with its parameters in *params (new), 0 if
 * it is FastAPI's to say, -1 with an exception. */
static int match(TableObject *table, PyObject *scope, PyObject *path, const cam_entry **found,
                 PyObject **params) {
    PyObject *method = Py_XNewRef(PyDict_GetItemWithError(scope, table->state->asgi.str_method));
    int matched = 0;
    if (method != NULL && PyUnicode_CheckExact(method)) {
        matched = match_method(table, scope, path, method, found, params);
    } else {
        PyErr_Clear();
    }
    Py_XDECREF(method);
    return matched;
}

/* ---- the scope ---- */

/* The dict scope["fastapi"], made if it is not there: a new reference, or NULL with an exception.
 */
static PyObject *fastapi_scope(cam_state *state, PyObject *scope) {
    const cam_fastapi_constants *c = &state->fastapi;
    PyObject *inner = Py_XNewRef(PyDict_GetItemWithError(scope, c->str_fastapi));
    if (inner == NULL && !PyErr_Occurred()) {
        inner = PyDict_New();
        if (inner != NULL && PyDict_SetItem(scope, c->str_fastapi, inner) < 0) {
            Py_CLEAR(inner);
        }
    }
    if (inner != NULL && !PyDict_Check(inner)) {
        PyErr_SetString(PyExc_TypeError, "scope[\"fastapi\"] must be a dict");
        Py_CLEAR(inner);
    }
    return inner;
}

/* Lets the limits for forms of the routers that lead to an entry override those in the scope. */
static int publish_form_limits(const cam_fastapi_constants *c, const cam_entry *entry,
                               PyObject *inner) {
    PyObject *limits = PyDict_New();
    PyObject *outer =
        limits ? Py_XNewRef(PyDict_GetItemWithError(inner, c->str_form_limits)) : NULL;
    int status = outer ? PyDict_Update(limits, outer) : PyErr_Occurred() ? -1 : 0;
    Py_XDECREF(outer);
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_GET_SIZE(entry->form_limits); i++) {
        status = PyDict_Update(limits, PyTuple_GET_ITEM(entry->form_limits, i));
    }
    status = status < 0 ? -1 : PyDict_SetItem(inner, c->str_form_limits, limits);
    Py_XDECREF(limits);
    return status;
}

int CamRouter_Publish(TableObject *table, const cam_entry *entry, PyObject *scope,
                      PyObject *path_params) {
    const cam_fastapi_constants *c = &table->state->fastapi;
    int there = PyDict_Contains(scope, c->str_router);
    if (there < 0 || (there == 0 && PyDict_SetItem(scope, c->str_router, table->router) < 0) ||
        PyDict_SetItem(scope, c->str_endpoint, entry->endpoint) < 0 ||
        PyDict_SetItem(scope, c->str_path_params, path_params) < 0 ||
        PyDict_SetItem(scope, c->str_route, entry->route) < 0) {
        return -1;
    }
    bool limited = PyTuple_GET_SIZE(entry->form_limits) > 0;
    if (entry->context == NULL && !entry->after_included && !limited) {
        return 0;
    }
    PyObject *inner = fastapi_scope(table->state, scope);
    int status = inner == NULL || (limited && publish_form_limits(c, entry, inner) < 0) ? -1 : 0;
    if (status == 0 && entry->context != NULL &&
        (PyDict_SetItem(inner, c->str_included_router, entry->included) < 0 ||
         PyDict_SetItem(inner, c->str_route_context, entry->context) < 0)) {
        status = -1;
    }
    Py_XDECREF(inner);
    return status;
}

/* ---- limits ---- */

static bool is_named(PyObject *name, const char *text, Py_ssize_t len) {
    return PyBytes_GET_SIZE(name) == len && memcmp(PyBytes_AS_STRING(name), text, (size_t)len) == 0;
}

/* A Content-Length: -1 for what may be a number to Python alone. */
static int64_t length_of(PyObject *value) {
    int64_t length = 0;
    Py_ssize_t digits = PyBytes_GET_SIZE(value);
    for (Py_ssize_t i = 0; i < digits && i < 18; i++) {
        char ch = PyBytes_AS_STRING(value)[i];
        if (ch < '0' || ch > '9') {
            return -1;
        }
        length = length * 10 + (ch - '0');
    }
    return digits > 0 && digits < 18 ? length : -1;
}

/* What a request says of the size of its body. */
typedef struct cam_said {
    bool clear;     /* the headers are as our server gives them */
    bool length;    /* there is a Content-Length */
    bool coded;     /* there is a Transfer-Encoding before it */
    int64_t number; /* of the first; -1 for an odd one */
} cam_said;

static cam_said said_of_body(cam_state *state, PyObject *scope) {
    cam_said said = {0};
    PyObject *headers = PyDict_GetItemWithError(scope, state->asgi.str_headers);
    if (headers == NULL || !PyList_CheckExact(headers)) {
        PyErr_Clear();
        return said;
    }
    for (Py_ssize_t i = 0; !said.length && i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1))) {
            return said;
        }
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (is_named(name, "content-length", 14)) {
            said.length = true;
            said.number = length_of(value);
        }
        said.coded |= is_named(name, "transfer-encoding", 17);
    }
    said.clear = true;
    return said;
}

/* Whether a request may pass over the application's own limit: it does not say that its body is too
 * long, and until a plan reads it nobody does. */
static bool passes_limit(cam_state *state, const TableObject *table, PyObject *scope) {
    if (table->max_body_size < 0) {
        return true;
    }
    cam_said said = said_of_body(state, scope);
    return said.clear &&
           (!said.length || (said.number >= 0 && said.number <= table->max_body_size));
}

/* Whether a limit outside of the plan's, as the application's around the middleware, is none or the
 * same: Starlette counts by one object, which the innermost limit is to be set in. */
static bool limits_alike(cam_state *state, const cam_plan *plan, PyObject *scope) {
    const cam_fastapi_constants *c = &state->fastapi;
    PyObject *limiter = PyDict_GetItemWithError(scope, c->str_limiter);
    if (limiter == NULL && !PyErr_Occurred()) {
        return true;
    }
    PyObject *outer = limiter ? PyObject_GetAttr(limiter, c->str_max_body_size) : NULL;
    long long limit = outer && PyLong_CheckExact(outer) ? PyLong_AsLongLong(outer) : -1;
    Py_XDECREF(outer);
    PyErr_Clear();
    return limit == plan->max_body_size;
}

/* Whether the plan's limit for the body needs nothing but that the plan counts what it reads of it.
 * So it is if the request does not say itself that it is too long (then not even an answer without
 * reading may be sent), and if whatever else may receive, as an endpoint's Response, is not given
 * too much: the body is read before, the length is said, or there is none. */
static bool is_within_limit(cam_state *state, const cam_plan *plan, PyObject *scope) {
    if (plan->max_body_size < 0) {
        return true;
    }
    cam_said said = said_of_body(state, scope);
    if (!said.clear || !limits_alike(state, plan, scope)) {
        return false;
    }
    if (said.length || plan->reads_body) {
        return !said.length || (said.number >= 0 && said.number <= plan->max_body_size);
    }
    PyObject *version = PyDict_GetItemWithError(scope, state->asgi.str_http_version);
    if (version == NULL || !PyUnicode_CheckExact(version)) {
        PyErr_Clear();
        return false;
    }
    /* Later versions say nothing of bodies in headers. */
    return !said.coded &&
           PyUnicode_Tailmatch(version, state->fastapi.str_http_one, 0, PY_SSIZE_T_MAX, -1) == 1;
}

/* ---- the calls ---- */

static PyObject *fall_back(RouterObject *self, PyObject *app, PyObject *const *args) {
    self->fallback_count++;
    PyObject *target = Py_NewRef(app);
    PyObject *awaitable = PyObject_Vectorcall(target, args, 3, NULL);
    Py_DECREF(target);
    return awaitable;
}

static bool is_http(cam_state *state, PyObject *scope) {
    PyObject *type =
        PyDict_CheckExact(scope) ? PyDict_GetItemWithError(scope, state->asgi.str_type) : NULL;
    bool http =
        type != NULL && PyUnicode_Check(type) &&
        (type == state->asgi.str_http || PyUnicode_Compare(type, state->asgi.str_http) == 0);
    if (type == NULL) {
        PyErr_Clear();
    }
    return http;
}

/* What passed over the middleware comes back through it: an exception with its circumstances, a
 * Response, with the body that was read and the generators that are left after it, which the
 * middleware is to see, or None for a request that
 * is given back to FastAPI. New reference, or NULL without an exception if there is none of them.
 */
static PyObject *take_failure(RouterObject *self, PyObject *scope) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    PyObject *key = c->str_failure;
    PyObject *failure = PyDict_GetItemWithError(scope, key);
    /* As long as nothing is prepared, none of them is ours: somebody else has put it there. */
    if (failure == NULL || !c->prepared ||
        (failure != Py_None && !Py_IS_TYPE(failure, (PyTypeObject *)c->failure) &&
         (!PyTuple_CheckExact(failure) || PyTuple_GET_SIZE(failure) != 3))) {
        return NULL;
    }
    Py_INCREF(failure);
    if (PyDict_DelItem(scope, key) < 0) {
        Py_CLEAR(failure);
    }
    return failure;
}

static PyObject *raise_failure(RouterObject *self, PyObject *failure, PyObject *const *args) {
    const cam_fastapi_constants *c = &self->state->fastapi;
    PyObject *awaitable;
    if (PyTuple_CheckExact(failure)) {
        PyObject *stack[] = {PyTuple_GET_ITEM(failure, 0),
                             PyTuple_GET_ITEM(failure, 1),
                             PyTuple_GET_ITEM(failure, 2),
                             args[0],
                             args[1],
                             args[2]};
        awaitable = PyObject_Vectorcall(c->respond, stack, 6, NULL);
    } else {
        PyObject *stack[] = {failure, args[0], args[1], args[2]};
        awaitable = PyObject_Vectorcall(c->fail, stack, 4, NULL);
    }
    Py_DECREF(failure);
    return awaitable;
}

/* Takes a request through the user's middleware on its way in. Whether it goes on to a route; if
 * not, *call is what answers instead, or NULL, with or without an exception, as call_plan() has
 * it. */
static bool enter(RouterObject *self, TableObject *table, PyObject *const *args, cam_passed *passed,
                  PyObject **call) {
    cam_entered entered = CamMiddleware_Enter(table, self->app, args, passed, call);
    self->native_count += entered == CAM_ENTER_ANSWERED;
    self->fallback_count += entered == CAM_ENTER_STOPPED; /* it does not come to the router */
    return entered == CAM_ENTER_PASSED;
}

/* The call for a request; NULL without an exception if FastAPI is to take it. `whole`: it comes
 * before the middleware. */
static PyObject *call_plan(RouterObject *self, PyObject *const *args, bool whole) {
    cam_state *state = self->state;
    PyObject *scope = args[0];
    PyObject *failure = whole || self->app == NULL ? NULL : take_failure(self, scope);
    if (failure == Py_None) {
        self->fallback_count--; /* it is counted already */
        Py_DECREF(failure);
        return NULL;
    }
    if (failure == NULL && PyErr_Occurred()) {
        return NULL;
    }
    TableObject *table;
    int there = current_table(self, &table);
    if (there <= 0) {
        /* The endpoint has run: whatever has changed since, it must not run again. */
        return failure == NULL || there < 0 ? (Py_XDECREF(failure), NULL)
                                            : raise_failure(self, failure, args);
    }
    const cam_entry *entry = NULL;
    PyObject *params = NULL, *path = NULL, *call = NULL;
    cam_passed passed = {0};
    bool alone; /* nothing of FastAPI's around the plan */
    int plain = PyErr_Occurred() ? -1 : (failure != NULL || CamGuard_IsPlain(&table->guard));
    if (plain > 0 && !(whole && !table->whole) &&
        (failure != NULL || PyDict_Contains(scope, state->fastapi.str_telemetry) == 0) &&
        (!whole || passes_limit(state, table, scope)) &&
        (!whole || table->layer_count == 0 || enter(self, table, args, &passed, &call)) &&
        (path = route_path(state, scope)) != NULL &&
        match(table, scope, path, &entry, &params) > 0) {
        if (failure != NULL) {
            if (CamRouter_Publish(table, entry, scope, params) == 0) {
                call = raise_failure(self, Py_NewRef(failure), args);
            }
        } else if (!(alone = !entry->plan->needs_handler &&
                             is_within_limit(state, entry->plan, scope)) &&
                   whole && (entry->plan->before == NULL || table->layer_count > 0)) {
            /* the router's, behind the middleware */
        } else if (!(alone && whole) && CamRouter_Publish(table, entry, scope, params) < 0) {
            /* with an exception */
        } else if (!alone && whole) {
            PyObject *stack[] = {scope, args[1], args[2], self->app};
            call = PyObject_Vectorcall(entry->plan->before, stack, 4, NULL);
            self->whole_count++;
        } else if (!alone) {
            call = PyObject_Vectorcall(entry->plan->app, args, 3, NULL);
        } else {
            call = CamCall_New(self, table, entry, scope, args[1], args[2], Py_NewRef(params));
            if (call != NULL) {
                ((CallObject *)call)->whole = whole;
                ((CallObject *)call)->passed = passed;
                passed.origin = NULL;
                self->whole_count += whole;
            }
        }
    }
    if (failure != NULL && call == NULL && !PyErr_Occurred()) {
        call = raise_failure(self, Py_NewRef(failure), args);
    }
    Py_XDECREF(failure);
    Py_XDECREF(passed.origin);
    Py_XDECREF(path);
    Py_XDECREF(params);
    Py_DECREF(table);
    return call;
}

static PyObject *call_asgi(RouterObject *self, PyObject *app, PyObject *const *args, size_t nargsf,
                           PyObject *kwnames, bool whole) {
    if (PyVectorcall_NARGS(nargsf) != 3 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "an ASGI application takes scope, receive and send");
        return NULL;
    }
    if (is_http(self->state, args[0])) {
        PyObject *call = call_plan(self, args, whole);
        if (call != NULL || PyErr_Occurred()) {
            return call;
        }
        if (whole) { /* it is counted behind the middleware */
            self->fallback_count--;
        }
    } else {
        self->fallback_count--;
    }
    return fall_back(self, app, args);
}

static PyObject *router_call(PyObject *op, PyObject *const *args, size_t nargsf,
                             PyObject *kwnames) {
    RouterObject *self = (RouterObject *)op;
    return call_asgi(self, self->original, args, nargsf, kwnames, false);
}

static PyObject *entrance_call(PyObject *op, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames) {
    RouterObject *self = ((EntranceObject *)op)->router;
    return call_asgi(self, self->app, args, nargsf, kwnames, true);
}

/* ---- preparing ---- */

static int take_from(PyObject **slot, const char *module, const char *name) {
    if (*slot == NULL) {
        PyObject *object = PyImport_ImportModule(module);
        *slot = object ? PyObject_GetAttrString(object, name) : NULL;
        Py_XDECREF(object);
    }
    return *slot ? 0 : -1;
}

int cam_fastapi_prepare(cam_state *state) {
    cam_fastapi_constants *c = &state->fastapi;
    static const char calls[] = "camshaft.fastapi.calls";
    static const char generators[] = "camshaft.fastapi.generators";
    const struct {
        PyObject **slot;
        const char *module;
        const char *name;
    } wanted[] = {
        {&c->loads, "json", "loads"},
        {&c->dumps, "json", "dumps"},
        {&c->json_names, "json", "__dict__"},
        {&c->deepcopy, "copy", "deepcopy"},
        {&c->uuid, "uuid", "UUID"},
        {&c->compressobj, "zlib", "compressobj"},
        {&c->validation_error, "pydantic_core", "ValidationError"},
        {&c->response, "starlette.responses", "Response"},
        {&c->json_response, "starlette.responses", "JSONResponse"},
        {&c->jsonable_encoder, "fastapi.encoders", "jsonable_encoder"},
        {&c->scan_once, calls, "scan_once"},
        {&c->anext, "builtins", "anext"},
        {&c->solve_generator, generators, "enter"},
        {&c->open_scope, generators, "open_scope"},
        {&c->pass_on, generators, "pass_on"},
        {&c->leave, generators, "leave"},
        {&c->refuse_to_go_on, generators, "refuse_to_go_on"},
        {&c->through_handler, calls, "through_handler"},
        {&c->before_middleware, calls, "before_middleware"},
        {&c->body, calls, "Body"},
        {&c->failure, calls, "Failure"},
        {&c->fail, calls, "fail"},
        {&c->fail_here, calls, "fail_here"},
        {&c->fail_inside, calls, "fail_inside"},
        {&c->respond, calls, "respond"},
        {&c->respond_before, calls, "respond_before"},
        {&c->respond_inside, calls, "respond_inside"},
        {&c->respond_json_inside, calls, "respond_json_inside"},
        {&c->send_answer, calls, "send_answer"},
        {&c->validate_in_thread, calls, "validate_in_thread"},
        {&c->replay, calls, "replay"},
        {&c->read_form, calls, "read_form"},
        {&c->solve_form, calls, "solve_form"},
        {&c->read_again, calls, "read_again"},
        {&c->received, calls, "received"},
        {&c->field_errors, calls, "field_errors"},
        {&c->missing_error, calls, "missing_error"},
        {&c->invalid_request, calls, "invalid_request"},
        {&c->invalid_response, calls, "invalid_response"},
        {&c->inject, calls, "inject"},
        {&c->build, calls, "build"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (take_from(wanted[i].slot, wanted[i].module, wanted[i].name) < 0) {
            return -1;
        }
    }
    c->prepared = true;
    return 0;
}

/* ---- the objects ---- */

static PyObject *router_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"original", "compile", "app", NULL};
    PyObject *original, *compile, *app = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:FastAPIRouter", names, &original, &compile,
                                     &app)) {
        return NULL;
    }
    if (!PyCallable_Check(original) || !PyCallable_Check(compile)) {
        PyErr_SetString(PyExc_TypeError, "original and compile must be callable");
        return NULL;
    }
    cam_state *state = CamState_OfType(type);
    RouterObject *self = state ? (RouterObject *)type->tp_alloc(type, 0) : NULL;
    if (self != NULL) {
        self->vectorcall = router_call;
        self->state = state;
        self->original = Py_NewRef(original);
        self->compile = Py_NewRef(compile);
        self->app = app == NULL || app == Py_None ? NULL : Py_NewRef(app);
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(handle_doc, "handle($self, table, index, request, /)\n--\n\n"
                         "The Response of entry `index` of the table to a Request, when awaited.");

static PyObject *router_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    RouterObject *self = (RouterObject *)op;
    if (nargs != 3 || !Py_IS_TYPE(args[0], (PyTypeObject *)self->state->fastapi.table_type)) {
        PyErr_SetString(PyExc_TypeError, "handle() takes a FastAPITable, an index and a request");
        return NULL;
    }
    TableObject *table = (TableObject *)args[0];
    Py_ssize_t index = PyLong_AsSsize_t(args[1]);
    if (index == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (index < 0 || index >= table->entry_count || table->entries[index].plan == NULL) {
        PyErr_SetString(PyExc_IndexError, "the entry has no plan");
        return NULL;
    }
    return CamCall_NewHandler(self, table, &table->entries[index], args[2]);
}

PyDoc_STRVAR(prepare_doc,
             "prepare($self, /)\n--\n\n"
             "Compile now what else the first request would. True if there is a table.");

static PyObject *router_prepare(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    TableObject *table;
    int there = current_table((RouterObject *)op, &table);
    Py_XDECREF(table);
    return there < 0 ? NULL : PyBool_FromLong(there);
}

PyDoc_STRVAR(entrance_doc,
             "entrance($self, /)\n--\n\n"
             "An ASGI application that stands for the whole FastAPI object: requests that a plan\n"
             "covers pass over middleware that can be stood in for, all else goes to the object.\n"
             "ValueError without an `app`.");

static PyObject *router_entrance(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    RouterObject *self = (RouterObject *)op;
    if (self->app == NULL) {
        PyErr_SetString(PyExc_ValueError, "the router was made without the application");
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)self->state->fastapi.entrance_type;
    EntranceObject *entrance = (EntranceObject *)type->tp_alloc(type, 0);
    if (entrance != NULL) {
        entrance->vectorcall = entrance_call;
        entrance->router = (RouterObject *)Py_NewRef(self);
    }
    return (PyObject *)entrance;
}

static int router_traverse(PyObject *op, visitproc visit, void *arg) {
    RouterObject *self = (RouterObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->original);
    Py_VISIT(self->app);
    Py_VISIT(self->compile);
    Py_VISIT(self->table);
    return 0;
}

/* What is callable must stay so for whoever still calls it: only what makes loops goes. */
static int router_clear(PyObject *op) {
    RouterObject *self = (RouterObject *)op;
    Py_CLEAR(self->table);
    self->compilations = COMPILATIONS;
    return 0;
}

static void router_dealloc(PyObject *op) {
    RouterObject *self = (RouterObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_CLEAR(self->table);
    Py_CLEAR(self->original);
    Py_CLEAR(self->compile);
    Py_CLEAR(self->app);
    type->tp_free(op);
    Py_DECREF(type);
}

static int entrance_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((EntranceObject *)op)->router);
    return 0;
}

static void entrance_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_CLEAR(((EntranceObject *)op)->router);
    type->tp_free(op);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef router_methods[] = {
    {"handle", FAST(router_handle), METH_FASTCALL, handle_doc},
    {"prepare", router_prepare, METH_NOARGS, prepare_doc},
    {"entrance", router_entrance, METH_NOARGS, entrance_doc},
    {NULL},
};

static PyMemberDef router_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(RouterObject, vectorcall), READONLY, NULL},
    {"original", T_OBJECT, offsetof(RouterObject, original), READONLY,
     "The ASGI application that takes what no plan does."},
    {"native_count", T_ULONGLONG, offsetof(RouterObject, native_count), READONLY,
     "Requests that a plan has taken."},
    {"whole_count", T_ULONGLONG, offsetof(RouterObject, whole_count), READONLY,
     "Those of them that it has taken before the middleware."},
    {"replayed_count", T_ULONGLONG, offsetof(RouterObject, replayed_count), READONLY,
     "Those of them that were given back to FastAPI before user code ran."},
    {"fallback_count", T_ULONGLONG, offsetof(RouterObject, fallback_count), READONLY,
     "Requests that went to FastAPI at once."},
    {NULL},
};

static PyMemberDef entrance_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(EntranceObject, vectorcall), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(router_doc,
             "FastAPIRouter(original, compile, app=None)\n--\n\n"
             "An ASGI application that answers requests by the plans of compile(), a\n"
             "camshaft.fastapi.plan.Table, and lets `original` answer the others.\n\n"
             "compile() is called with the first request, and again when the application has\n"
             "changed. `app` is the FastAPI object, for entrance().");

static PyType_Slot router_slots[] = {
    {Py_tp_doc, (void *)router_doc},
    {Py_tp_new, router_new},
    {Py_tp_dealloc, router_dealloc},
    {Py_tp_traverse, router_traverse},
    {Py_tp_clear, router_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, router_methods},
    {Py_tp_members, router_members},
    {0, NULL},
};

static PyType_Slot entrance_slots[] = {
    {Py_tp_doc, (void *)"Stands before a whole FastAPI object: FastAPIRouter.entrance()."},
    {Py_tp_dealloc, entrance_dealloc},
    {Py_tp_traverse, entrance_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, entrance_members},
    {0, NULL},
};

static PyType_Spec router_spec = {
    .name = "camshaft._core.FastAPIRouter",
    .basicsize = sizeof(RouterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = router_slots,
};

static PyType_Spec entrance_spec = {
    .name = "camshaft._core.FastAPIEntrance",
    .basicsize = sizeof(EntranceObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = entrance_slots,
};

int cam_router_exec(PyObject *module, cam_state *state) {
    if (CamState_AddType(module, &router_spec, NULL, 1, &state->fastapi.router_type) < 0 ||
        CamState_AddType(module, &entrance_spec, NULL, 0, &state->fastapi.entrance_type) < 0) {
        return -1;
    }
    return 0;
}
