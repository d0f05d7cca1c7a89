/* SPDX-License-Identifier: MIT */
/*
 * `_core.FastAPITable`: the plans of an application, as C reads them.
 *
 * Made of a camshaft.fastapi.plan.Table, whose classes say what each member means, and immutable
 * afterwards. Calls that are under way own the table they were begun with; a router takes another
 * one when its application has changed. Every PyObject below is owned by the table's `kept`.
 */
#ifndef CAM_FASTAPI_PLAN_H
#define CAM_FASTAPI_PLAN_H

#include "state.h"

#include "fastapi/guard.h"
#include "route/pattern.h"

/* The values of camshaft.fastapi.plan.Source, Kind and Injected. */
typedef enum cam_source {
    CAM_SOURCE_PATH,
    CAM_SOURCE_QUERY,
    CAM_SOURCE_HEADER,
    CAM_SOURCE_COOKIE,
    CAM_SOURCE_COUNT,
} cam_source;

typedef enum cam_call_kind {
    CAM_CALL_COROUTINE,
    CAM_CALL_THREAD,
    CAM_CALL_ASYNC_GENERATOR,
    CAM_CALL_GENERATOR,
} cam_call_kind;

typedef struct cam_field {
    PyObject *keys; /* tuple of str */
    PyObject *default_value;
    PyObject *default_factory; /* or NULL */
    PyObject *validate;        /* SchemaValidator.validate_python, bound */
    PyObject *model_field;
    bool required;
    bool validate_default;
    bool pure;
    bool shared_default; /* is of a type that nobody can change: needs no deep copy */
} cam_field;

typedef struct cam_parameter {
    cam_field field;
    PyObject *lookup;  /* tuple of str: the keys as they are looked for, headers in lower case */
    PyObject *extract; /* or NULL */
    uint8_t source;    /* cam_source */
    bool sequence;
} cam_parameter;

/* Arguments of a call stand in the order of its names: children, parameters, body or form,
 * injected. */
typedef struct cam_node {
    PyObject *call;
    PyObject *names;     /* tuple of str: all keyword arguments */
    PyObject *source;    /* the camshaft.fastapi.plan.Node */
    PyObject *dependant; /* FastAPI's */
    cam_parameter *parameters;
    cam_field *body;
    Py_ssize_t parameter_count;
    Py_ssize_t body_count;
    Py_ssize_t form_count;
    Py_ssize_t injected_count;
    Py_ssize_t first;       /* place of its first argument among all of the plan's */
    Py_ssize_t child_count; /* that are passed as arguments */
    Py_ssize_t target; /* place of its value as an argument of its parent; -1: it is not passed */
    Py_ssize_t parent; /* node, or -1 for the endpoint */
    Py_ssize_t slot;
    Py_ssize_t generator; /* place among the plan's generators; -1: it is none */
    uint8_t kind;         /* cam_call_kind */
    bool body_is_field;
    bool use_cache;
    bool function_scope;
} cam_node;

typedef struct cam_answer_plan {
    PyObject *source;    /* the camshaft.fastapi.plan.Answer */
    PyObject *validate;  /* bound, or NULL without a model */
    PyObject *serialize; /* SchemaSerializer.to_json or to_python, bound */
    PyObject *names;     /* tuple of str: keyword arguments of serialize */
    PyObject **options;  /* their values, behind a place for the value */
    PyObject *status;    /* int */
    int status_code;     /* the same */
    PyObject *response_class;
    bool dump_json;
    bool pure;
    bool is_json;  /* response_class is JSONResponse, whose rendering is known */
    bool is_plain; /* the status lets the answer have a body and a length */
} cam_answer_plan;

typedef struct cam_plan {
    PyObject *source; /* the camshaft.fastapi.plan.Plan */
    PyObject *app;    /* ASGI callable for what goes through FastAPI's request_response, and through
                         the limits for the body; or NULL */
    PyObject
        *before; /* with the application as a fourth argument, before the middleware; or NULL */
    cam_node *nodes;
    Py_ssize_t node_count;
    Py_ssize_t argument_count; /* of all nodes */
    Py_ssize_t slot_count;
    Py_ssize_t generator_count;
    int64_t max_body_size; /* -1: none */
    cam_answer_plan answer;
    bool reads_body;
    bool reads_form;
    bool strict_content_type;
    bool pure;          /* every field is */
    bool needs_handler; /* a generator that the call does not leave itself, a form or something
                           injected: FastAPI's request_response is around */
} cam_plan;

typedef struct cam_entry {
    cam_route_pattern pattern;
    cam_plan *plan;       /* PyMem, owned, or NULL */
    PyObject *regex;      /* match(), bound; or NULL where the pattern decides */
    PyObject *converters; /* dict, for the expression */
    PyObject *methods;    /* frozenset, or NULL for all */
    PyObject *prefix;     /* str or NULL, of a barrier */
    PyObject *route;
    PyObject *endpoint;
    PyObject *context;                          /* or NULL */
    PyObject *included;                         /* the innermost _IncludedRouter, or NULL */
    PyObject *form_limits;                      /* tuple of dicts, the outermost first */
    PyObject *parameters[CAM_ROUTE_PARAMETERS]; /* str: the pattern's parameters */
    bool barrier;
    bool by_pattern;
    bool after_included;
} cam_entry;

typedef struct TableObject {
    PyObject_HEAD
    cam_state *state;
    PyObject *kept;   /* list: everything that the plans refer to */
    PyObject *router; /* app.router */
    cam_entry *entries;
    Py_ssize_t entry_count;
    cam_guard guard;
    struct cam_layer *layers; /* PyMem, owned: the user's middleware, if `whole` */
    Py_ssize_t layer_count;
    int64_t max_body_size; /* around them; -1: none */
    bool whole;
} TableObject;

int cam_table_exec(PyObject *module, cam_state *state);

/* A table of what `source` describes. `router` is the FastAPIRouter that will carry it out. Runs
 * user code. NULL with an exception. */
TableObject *CamTable_New(cam_state *state, PyObject *source, PyObject *router);

#endif
