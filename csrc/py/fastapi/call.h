/* SPDX-License-Identifier: MIT */
/*
 * One request carried out by its plan.
 *
 * An awaitable like a coroutine, which FastAPI's own coroutines stand around or none at all. It has
 * two forms: as an ASGI application it sends the answer; as what request_response() of FastAPI
 * awaits (`request` is set) it returns the Response. It belongs to the task that awaits it.
 */
#ifndef CAM_FASTAPI_CALL_H
#define CAM_FASTAPI_CALL_H

#include "fastapi/middleware.h"

struct RouterObject;

typedef enum cam_call_stage {
    CAM_CALL_BEGIN,
    CAM_CALL_BODY,       /* reading the body, event by event */
    CAM_CALL_WHOLE_BODY, /* request.body() */
    CAM_CALL_FORM,       /* request.form() */
    CAM_CALL_READY,      /* what the fields need is there */
    CAM_CALL_NODES,      /* dependencies and the endpoint, one after the other */
    CAM_CALL_FIELDS,     /* one's fields of a form are being validated */
    CAM_CALL_NODE,       /* one of them is at work */
    CAM_CALL_VALIDATE,   /* what the endpoint returned, in a worker thread */
    CAM_CALL_START,      /* the head of the answer is being sent */
    CAM_CALL_LAST,       /* what ends the call is at work: the body, a replay, a handler */
    CAM_CALL_LEAVE,      /* a generator is being left */
    CAM_CALL_LEFT,       /* it has been, and the task waits as AnyIO has it */
    CAM_CALL_LEAVE_ALL,  /* all are being left by an exit stack */
    CAM_CALL_ENDED,
} cam_call_stage;

typedef struct CallObject {
    PyObject_VAR_HEAD
    cam_state *state;
    TableObject *table;          /* strong */
    const cam_entry *entry;      /* of the table */
    const cam_plan *plan;        /* the same's */
    struct RouterObject *router; /* strong */
    PyObject *scope;
    PyObject *receive;
    PyObject *send;
    PyObject *request;                    /* Request, or NULL */
    PyObject *path_params;                /* dict */
    PyObject *received[CAM_SOURCE_COUNT]; /* Starlette's mappings, once one is needed */
    PyObject *events;                     /* list or NULL: what receive() gave, for a replay */
    PyObject *body_bytes;                 /* or NULL */
    PyObject *body;   /* what the fields of the body are validated of; NULL: nothing */
    PyObject *unread; /* or NULL: what has been raised by reading the body of the request */
    PyObject *errors; /* list or NULL: of a plan whose fields are not pure */
    uint8_t *failed;  /* PyMem or NULL: nodes that are not called */
    PyObject *injected_response; /* or NULL */
    PyObject *background;        /* or NULL */
    PyObject *content;           /* what the endpoint returned, then what is sent */
    PyObject *inner;             /* what is awaited */
    PyObject *cleanup;           /* or NULL: FastAPI's cancel scope around generators */
    PyObject *leaving;           /* or NULL: the generator that was left last */
    cam_passed passed;           /* the middleware that it came through */
    Py_ssize_t generators;       /* that are to be left, in `values` */
    Py_ssize_t node;
    uint8_t stage; /* cam_call_stage */
    bool running;
    bool body_decoded;  /* body_bytes were JSON */
    bool user_code;     /* has begun: nothing may be done twice */
    bool started;       /* the head of the answer was sent */
    bool answered;      /* all of it */
    bool whole;         /* the middleware was passed over */
    PyObject *values[]; /* strong or NULL: the arguments of all nodes, then the cache's slots,
                         * then generators */
} CallObject;

int cam_call_exec(PyObject *module, cam_state *state);

/* A call as an ASGI application. Steals path_params. NULL with an exception. */
PyObject *CamCall_New(struct RouterObject *router, TableObject *table, const cam_entry *entry,
                      PyObject *scope, PyObject *receive, PyObject *send, PyObject *path_params);

/* A call for request_response(). NULL with an exception. */
PyObject *CamCall_NewHandler(struct RouterObject *router, TableObject *table,
                             const cam_entry *entry, PyObject *request);

/* The keyword arguments of a node, whose fields are filled: a new dict, or NULL with an exception.
 */
PyObject *CamCall_Arguments(CallObject *call, const cam_node *node);

/* What could be given for a field did not pass: who called sees to it. */
typedef enum cam_filled {
    CAM_FILLED,
    CAM_FILLED_WITH_ERRORS, /* which are in call->errors, if that was asked for */
    CAM_FILL_RAISED = -1,   /* an exception is set that is no validation error */
} cam_filled;

/* fields.c: validates what node needs of the request into call->values. With `collect`, all errors
 * go to call->errors; else it ends with the first. Runs user code if a field is not pure. */
cam_filled CamFields_Fill(CallObject *call, const cam_node *node, bool collect);

/* The same of a form, when `both` is what FastAPI has made of it for the node: its values and its
 * errors, all of which go to call->errors. */
cam_filled CamFields_TakeForm(CallObject *call, const cam_node *node, PyObject *both);

#endif
