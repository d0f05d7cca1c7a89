/* SPDX-License-Identifier: MIT */
#include "fastapi/call.h"

#include "coroutine.h"
#include "fastapi/answer.h"
#include "fastapi/body.h"
#include "fastapi/generators.h"
#include "fastapi/pool.h"
#include "fastapi/router.h"

#include "compat.h"

/* ---- awaiting ---- */

static progress await(CallObject *call, PyObject *awaitable) {
    PyObject *inner = CamCoroutine_Iterator(awaitable);
    Py_XSETREF(call->inner, inner);
    return inner ? WAIT : FAILED;
}

progress CamCall_Await(CallObject *call, PyObject *awaitable) {
    return await(call, awaitable);
}

/* ---- dependencies and the endpoint ---- */

static void mark_failed(CallObject *call, Py_ssize_t node) {
    if (node >= 0) {
        call->failed[node] = 1;
    }
}

/* A node has its value, which is stolen: hands it on, and keeps it for others with the same key. */
static void settle_node(CallObject *call, const cam_node *node, PyObject *value) {
    PyObject **slot = &call->values[call->plan->argument_count + node->slot];
    if (*slot == NULL) {
        *slot = Py_NewRef(value);
    }
    if (node->target >= 0) {
        Py_XSETREF(call->values[node->target], value);
    } else {
        Py_DECREF(value);
    }
}

/* What a node asks for beside parameters: into its last arguments. */
static int inject(CallObject *call, const cam_node *node) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    Py_ssize_t place = node->first + PyTuple_GET_SIZE(node->names) - node->injected_count;
    PyObject *injected = PyObject_GetAttrString(node->source, "injected");
    for (Py_ssize_t i = 0; injected != NULL && i < node->injected_count; i++) {
        PyObject *pair = PySequence_GetItem(injected, i);
        PyObject *kind = pair ? PySequence_GetItem(pair, 0) : NULL;
        long number = kind ? PyLong_AsLong(kind) : -1;
        if (number == -1 && PyErr_Occurred()) {
            Py_XDECREF(kind);
            Py_XDECREF(pair);
            Py_DECREF(injected);
            return -1;
        }
        PyObject **kept = number == 2   ? &call->background
                          : number == 3 ? &call->injected_response
                                        : NULL;
        PyObject *value = NULL;
        if (number == 0 || number == 1) {
            value = Py_NewRef(call->request);
        } else if (kept != NULL && *kept != NULL) {
            value = Py_NewRef(*kept);
        } else if (kind != NULL) {
            PyObject *scopes = PyObject_GetAttrString(node->source, "security_scopes");
            PyObject *args[] = {kind, scopes};
            value = scopes ? PyObject_Vectorcall(c->inject, args, 2, NULL) : NULL;
            Py_XDECREF(scopes);
            if (kept != NULL && value != NULL) {
                *kept = Py_NewRef(value);
            }
        }
        Py_XDECREF(kind);
        Py_XDECREF(pair);
        if (value == NULL) {
            Py_DECREF(injected);
            return -1;
        }
        Py_XSETREF(call->values[place + i], value);
    }
    Py_XDECREF(injected);
    return injected ? 0 : -1;
}

/* run_in_threadpool(node->call, **arguments), in our threads. */
static PyObject *call_in_thread(CallObject *call, const cam_node *node) {
    return CamPool_Run(call->state, node->call, &call->values[node->first], 0, node->names);
}

PyObject *CamCall_Arguments(CallObject *call, const cam_node *node) {
    PyObject *values = PyDict_New();
    for (Py_ssize_t i = 0; values != NULL && i < PyTuple_GET_SIZE(node->names); i++) {
        if (PyDict_SetItem(values, PyTuple_GET_ITEM(node->names, i),
                           call->values[node->first + i]) < 0) {
            Py_CLEAR(values);
        }
    }
    return values;
}

/* FastAPI's exception for the errors of the fields, as a failure. */
static progress refuse_request(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    PyObject *args[] = {call->plan->source, call->scope, call->errors,
                        call->body ? call->body : Py_None};
    PyObject *error = PyObject_Vectorcall(c->invalid_request, args, 4, NULL);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return FAILED;
}

/* What the current node needs has been validated so far: notes if it is not to be called. */
static progress note_filled(CallObject *call, cam_filled filled) {
    if (filled == CAM_FILL_RAISED) {
        return FAILED;
    }
    if (filled == CAM_FILLED_WITH_ERRORS && call->failed == NULL) {
        call->failed = PyMem_Calloc((size_t)call->plan->node_count, 1);
        if (call->failed == NULL) {
            PyErr_NoMemory();
            return FAILED;
        }
    }
    if (filled == CAM_FILLED_WITH_ERRORS) {
        mark_failed(call, call->node);
    }
    return GO_ON;
}

/* Validates what the next node needs, in a plan where that may run user code. */
static progress fill_node(CallObject *call) {
    const cam_plan *plan = call->plan;
    const cam_node *node = &plan->nodes[call->node];
    call->user_code = true;
    progress made = note_filled(call, CamFields_Fill(call, node, true));
    if (made != GO_ON || node->form_count == 0) {
        return made;
    }
    PyObject *args[] = {plan->source, node->dependant, call->body};
    call->stage = CAM_CALL_FIELDS;
    return await(call, PyObject_Vectorcall(call->state->fastapi.solve_form, args, 3, NULL));
}

/* Begins the next node, or the endpoint. */
static progress begin_node(CallObject *call) {
    const cam_plan *plan = call->plan;
    const cam_node *node = &plan->nodes[call->node];
    bool last = call->node == plan->node_count - 1;
    if (last && call->errors != NULL) {
        return refuse_request(call);
    }
    if (call->failed != NULL && call->failed[call->node]) {
        mark_failed(call, node->parent);
        call->node++;
        return GO_ON;
    }
    PyObject *cached = call->values[plan->argument_count + node->slot];
    if (!last && node->use_cache && cached != NULL) {
        settle_node(call, node, Py_NewRef(cached));
        call->node++;
        return GO_ON;
    }
    if (node->injected_count > 0 && inject(call, node) < 0) {
        return FAILED;
    }
    call->user_code = true;
    call->stage = CAM_CALL_NODE;
    switch ((cam_call_kind)node->kind) {
    case CAM_CALL_THREAD:
        return await(call, call_in_thread(call, node));
    case CAM_CALL_ASYNC_GENERATOR:
    case CAM_CALL_GENERATOR:
        return CamGenerators_Enter(call, node);
    case CAM_CALL_COROUTINE:
        break;
    }
    return await(call, PyObject_Vectorcall(node->call, &call->values[node->first], 0, node->names));
}

/* ---- the answer ---- */

/* What was read of the request's body, for whoever asks for it again: a calls.Body, or None. New
 * reference. */
static PyObject *body_read(CallObject *call) {
    if (call->body_bytes == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *args[] = {call->body_bytes, call->body ? call->body : Py_None,
                        call->body_decoded ? Py_True : Py_False};
    return PyObject_Vectorcall(call->state->fastapi.body, args, 3, NULL);
}

/* Lets a Response send itself. */
static progress respond(CallObject *call, PyObject *response) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    call->stage = CAM_CALL_LAST;
    PyObject *body = body_read(call);
    PyObject *entered = body ? CamGenerators_Take(call) : NULL;
    PyObject *args[] = {response,      body,       entered,          call->scope,
                        call->receive, call->send, call->router->app};
    PyObject *awaitable = entered == NULL ? NULL
                          : call->passed.layered
                              ? PyObject_Vectorcall(c->respond_inside, args, 7, NULL)
                          : call->whole ? PyObject_Vectorcall(c->respond_before, args, 7, NULL)
                                        : PyObject_Vectorcall(c->respond, args, 6, NULL);
    Py_XDECREF(entered);
    Py_XDECREF(body);
    return await(call, awaitable);
}

/* Lets the middleware itself, which was passed over, see to content, which is JSON in bytes. */
static progress respond_json_inside(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    call->stage = CAM_CALL_LAST;
    PyObject *body = body_read(call);
    PyObject *entered = body ? CamGenerators_Take(call) : NULL;
    PyObject *args[] = {call->plan->answer.status,
                        call->content,
                        body,
                        entered,
                        call->scope,
                        call->receive,
                        call->send,
                        call->router->app};
    PyObject *awaitable =
        entered ? PyObject_Vectorcall(c->respond_json_inside, args, 8, NULL) : NULL;
    Py_XDECREF(entered);
    Py_XDECREF(body);
    return await(call, awaitable);
}

/* Awaits what send() has returned, which is stolen, if there is anything to wait for. */
static progress await_sent(CallObject *call, PyObject *awaitable) {
    if (awaitable != NULL && awaitable == call->state->asgi.done) {
        Py_DECREF(awaitable);
        return GO_ON;
    }
    return await(call, awaitable);
}

static progress send_event(CallObject *call, PyObject *event) {
    if (event == NULL) {
        return FAILED;
    }
    PyObject *awaitable = PyObject_CallOneArg(call->send, event);
    Py_DECREF(event);
    return await_sent(call, awaitable);
}

static progress send_body(CallObject *call) {
    call->stage = CAM_CALL_LAST;
    return send_event(call, CamAnswer_BodyEvent(call, call->content));
}

/* Sends content, which is JSON in bytes. */
static progress send_json(CallObject *call) {
    const cam_asgi_constants *asgi = &call->state->asgi;
    PyObject *headers = CamAnswer_JsonHeaders(call, call->content);
    if (headers == NULL) {
        return FAILED;
    }
    if (call->passed.layered) {
        int made = CamMiddleware_Answer(call->table, call->table->layer_count, &call->passed,
                                        call->plan->answer.status_code, headers, &call->content);
        if (made <= 0) {
            Py_DECREF(headers);
            return made < 0 ? FAILED : respond_json_inside(call);
        }
    }
    call->started = true;
    if (Py_IS_TYPE(call->send, (PyTypeObject *)asgi->send_type)) {
        call->stage = CAM_CALL_LAST;
        PyObject *awaitable =
            asgi->send_whole(call->send, call->plan->answer.status_code, headers, call->content);
        if (awaitable != Py_None) {
            Py_DECREF(headers);
            return await_sent(call, awaitable);
        }
        Py_DECREF(awaitable);
    }
    PyObject *event = CamAnswer_StartEvent(call, call->plan->answer.status, headers);
    Py_DECREF(headers);
    call->stage = CAM_CALL_START;
    return send_event(call, event);
}

/* Content is what FastAPI would make a Response of. */
static progress build(CallObject *call, PyObject **value) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    PyObject *args[] = {call->plan->answer.source, call->content,
                        call->background ? call->background : Py_None,
                        call->injected_response ? call->injected_response : Py_None};
    PyObject *response = PyObject_Vectorcall(c->build, args, 4, NULL);
    if (response == NULL || call->request != NULL) {
        *value = response;
        return response ? ENDED : FAILED;
    }
    progress made = respond(call, response);
    Py_DECREF(response);
    return made;
}

/* Whether json.dumps, which JSONResponse calls, is what it was: some watch or replace it. 1 or 0;
 * -1 with an exception. */
static int dumps_is_own(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    PyObject *dumps = PyDict_GetItemWithError(c->json_names, c->str_dumps);
    if (dumps == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    /* What watched it from the beginning is no function. */
    return dumps == c->dumps && PyFunction_Check(dumps);
}

/* Content is validated and serialised. */
static progress send_content(CallObject *call, PyObject **value) {
    const cam_answer_plan *answer = &call->plan->answer;
    bool direct = call->request == NULL && answer->is_plain;
    if (answer->serialize != NULL && answer->dump_json && direct &&
        PyBytes_CheckExact(call->content)) {
        return send_json(call);
    }
    int own = direct && answer->is_json ? dumps_is_own(call) : 0;
    if (own < 0) {
        return FAILED;
    }
    if (own > 0) {
        PyObject *json = CamAnswer_Json(call->content, answer->serialize == NULL);
        if (json != NULL) {
            Py_SETREF(call->content, json);
            return send_json(call);
        }
        if (PyErr_Occurred()) {
            return FAILED;
        }
    }
    if (answer->serialize == NULL) {
        PyObject *encoded =
            PyObject_CallOneArg(call->state->fastapi.jsonable_encoder, call->content);
        if (encoded == NULL) {
            return FAILED;
        }
        Py_SETREF(call->content, encoded);
    }
    return build(call, value);
}

/* A Response of the user's. */
static progress take_response(CallObject *call, PyObject **value) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    if (call->request == NULL) {
        return respond(call, call->content);
    }
    PyObject *background = PyObject_GetAttr(call->content, c->str_background);
    if (background == NULL ||
        (background == Py_None &&
         PyObject_SetAttr(call->content, c->str_background,
                          call->background ? call->background : Py_None) < 0)) {
        Py_XDECREF(background);
        return FAILED;
    }
    Py_DECREF(background);
    *value = Py_NewRef(call->content);
    return ENDED;
}

/* Whether a content is data and nothing else: to look into an object may run its code, as that of
 * an ORM's attributes that are loaded when they are asked for. */
static bool is_data(PyObject *content, int depth, int *left) {
    if (--*left < 0) {
        return false; /* it may hold itself, over and over */
    }
    if (PyUnicode_CheckExact(content) || PyLong_CheckExact(content) || content == Py_None ||
        PyFloat_CheckExact(content) || PyBool_Check(content) || PyBytes_CheckExact(content)) {
        return true;
    }
    if (depth == 8) {
        return false;
    }
    if (PyDict_CheckExact(content)) {
        PyObject *key, *value;
        Py_ssize_t position = 0;
        while (PyDict_Next(content, &position, &key, &value)) {
            if (!is_data(key, depth + 1, left) || !is_data(value, depth + 1, left)) {
                return false;
            }
        }
        return true;
    }
    if (PyList_CheckExact(content)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(content); i++) {
            if (!is_data(PyList_GET_ITEM(content, i), depth + 1, left)) {
                return false;
            }
        }
        return true;
    }
    return false;
}

/* The endpoint has returned call->content. */
static progress answer(CallObject *call, PyObject **value) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    const cam_plan *plan = call->plan;
    PyObject *content = call->content;
    bool builtin = PyDict_CheckExact(content) || PyList_CheckExact(content) ||
                   PyUnicode_CheckExact(content) || content == Py_None;
    int is_response = builtin ? 0 : PyObject_IsInstance(content, c->response);
    if (is_response < 0) {
        return FAILED;
    }
    if (is_response) {
        return take_response(call, value);
    }
    if (plan->answer.validate == NULL) {
        return send_content(call, value);
    }
    int values = 10000;
    if (plan->nodes[plan->node_count - 1].kind == CAM_CALL_THREAD &&
        !(plan->answer.pure && is_data(content, 0, &values))) {
        PyObject *field = PyObject_GetAttrString(plan->answer.source, "field");
        PyObject *args[] = {field, content};
        PyObject *awaitable =
            field ? PyObject_Vectorcall(c->validate_in_thread, args, 2, NULL) : NULL;
        Py_XDECREF(field);
        call->stage = CAM_CALL_VALIDATE;
        return await(call, awaitable);
    }
    return CamAnswer_Serialize(call, false) < 0 ? FAILED : send_content(call, value);
}

/* ModelField.validate() has returned, from its thread. */
static progress take_validated(CallObject *call, PyObject *both, PyObject **value) {
    if (!PyTuple_Check(both) || PyTuple_GET_SIZE(both) != 2) {
        PyErr_SetString(PyExc_TypeError, "validate() must give (value, errors)");
        return FAILED;
    }
    int any = PyObject_IsTrue(PyTuple_GET_ITEM(both, 1));
    if (any < 0) {
        return FAILED;
    }
    if (any) {
        PyObject *args[] = {PyTuple_GET_ITEM(both, 1), call->plan->source, call->scope,
                            call->content};
        PyObject *error = PyObject_Vectorcall(call->state->fastapi.invalid_response, args, 4, NULL);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
        return FAILED;
    }
    Py_SETREF(call->content, Py_NewRef(PyTuple_GET_ITEM(both, 0)));
    return CamAnswer_Serialize(call, true) < 0 ? FAILED : send_content(call, value);
}

/* ---- giving back to FastAPI ---- */

static progress replay(CallObject *call) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    call->router->replayed_count++;
    call->stage = CAM_CALL_LAST;
    if (call->request != NULL && call->unread != NULL) {
        PyObject *args[] = {call->plan->source, call->request, call->unread};
        return await(call, PyObject_Vectorcall(c->read_again, args, 3, NULL));
    }
    if (call->request != NULL) {
        PyObject *handler = PyObject_GetAttrString(call->plan->source, "handler");
        PyObject *awaitable = handler ? PyObject_CallOneArg(handler, call->request) : NULL;
        Py_XDECREF(handler);
        return await(call, awaitable);
    }
    PyObject *receive = Py_NewRef(call->receive);
    if (call->events != NULL) {
        PyObject *args[] = {call->events, receive};
        Py_SETREF(receive, PyObject_Vectorcall(c->replay, args, 2, NULL));
    }
    PyObject *app = call->whole ? call->router->app : call->router->original;
    /* Behind the middleware the router is not to try again. */
    if (receive != NULL && call->whole &&
        PyDict_SetItem(call->scope, c->str_failure, Py_None) < 0) {
        Py_CLEAR(receive);
    }
    PyObject *args[] = {call->scope, receive, call->send};
    PyObject *awaitable = receive ? PyObject_Vectorcall(app, args, 3, NULL) : NULL;
    Py_XDECREF(receive);
    return await(call, awaitable);
}

/* Something was raised: it is what request_response()'s exception handlers, and the middleware,
 * are for. Steals the exception. */
static progress fail(CallObject *call, PyObject *exception) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    if (call->request != NULL || call->stage == CAM_CALL_ENDED ||
        (call->stage == CAM_CALL_LAST && !call->started) ||
        !PyErr_GivenExceptionMatches(exception, PyExc_Exception)) {
        PyErr_SetRaisedException(exception);
        return FAILED;
    }
    PyObject *body = body_read(call);
    PyObject *args[] = {exception, body, call->started ? Py_True : Py_False};
    call->stage = CAM_CALL_LAST;
    call->started = false;
    PyObject *failure = body ? PyObject_Vectorcall(c->failure, args, 3, NULL) : NULL;
    Py_XDECREF(body);
    Py_DECREF(exception);
    PyObject *stack[] = {failure, call->scope, call->receive, call->send, call->router->app};
    PyObject *awaitable = failure == NULL ? NULL
                          : call->whole   ? PyObject_Vectorcall(c->fail_inside, stack, 5, NULL)
                                          : PyObject_Vectorcall(c->fail_here, stack, 4, NULL);
    Py_XDECREF(failure);
    return await(call, awaitable);
}

/* ---- the stages ---- */

/* What was awaited has given *value (stolen), or nothing was. */
static progress proceed(CallObject *call, PyObject **value) {
    PyObject *given = *value;
    *value = NULL;
    progress made = FAILED;
    bool awaited = call->stage == CAM_CALL_BODY || call->stage == CAM_CALL_WHOLE_BODY ||
                   call->stage == CAM_CALL_FORM || call->stage == CAM_CALL_FIELDS ||
                   call->stage == CAM_CALL_NODE || call->stage == CAM_CALL_VALIDATE;
    if (awaited && given == NULL) { /* no awaitable ends so */
        PyErr_SetString(PyExc_SystemError, "an awaitable has returned nothing");
        return FAILED;
    }
    switch ((cam_call_stage)call->stage) {
    case CAM_CALL_BEGIN:
        if (!call->plan->reads_body) {
            call->stage = CAM_CALL_READY;
            made = GO_ON;
        } else {
            made = CamBody_Begin(call);
        }
        break;
    case CAM_CALL_BODY:
        made = CamBody_TakeEvent(call, given);
        break;
    case CAM_CALL_WHOLE_BODY:
        made = CamBody_TakeBytes(call, given);
        break;
    case CAM_CALL_FORM:
        made = CamBody_TakeForm(call, given);
        break;
    case CAM_CALL_READY:
        call->stage = CAM_CALL_NODES;
        made = GO_ON;
        for (Py_ssize_t i = 0; call->plan->pure && made == GO_ON && i < call->plan->node_count;
             i++) {
            if (CamFields_Fill(call, &call->plan->nodes[i], false) != CAM_FILLED) {
                /* Nothing has happened yet: FastAPI finds it, too. */
                made =
                    PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception) ? FAILED : REPLAY;
                if (made == REPLAY) {
                    PyErr_Clear();
                }
            }
        }
        if (made == GO_ON) { /* no replay any more: what the body was made of need not stay */
            Py_CLEAR(call->events);
        }
        break;
    case CAM_CALL_NODES:
        made = call->plan->pure ? GO_ON : fill_node(call);
        made = made == GO_ON ? begin_node(call) : made;
        break;
    case CAM_CALL_FIELDS:
        call->stage = CAM_CALL_NODES;
        made = note_filled(call, CamFields_TakeForm(call, &call->plan->nodes[call->node], given));
        made = made == GO_ON ? begin_node(call) : made;
        break;
    case CAM_CALL_NODE:
        if (call->node == call->plan->node_count - 1) {
            Py_XSETREF(call->content, Py_NewRef(given));
            made = answer(call, value);
        } else {
            settle_node(call, &call->plan->nodes[call->node], Py_NewRef(given));
            call->node++;
            call->stage = CAM_CALL_NODES;
            made = GO_ON;
        }
        break;
    case CAM_CALL_VALIDATE:
        made = take_validated(call, given, value);
        break;
    case CAM_CALL_START:
        made = send_body(call);
        break;
    case CAM_CALL_LEAVE:
        made = CamGenerators_NotStopped(call);
        break;
    case CAM_CALL_LAST:
    case CAM_CALL_LEFT:
    case CAM_CALL_LEAVE_ALL:
        if (CamGenerators_AreLeft(call)) {
            made = CamGenerators_Leave(call);
            break;
        }
        *value = call->request && given ? Py_NewRef(given) : Py_NewRef(Py_None);
        made = ENDED;
        break;
    case CAM_CALL_ENDED:
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        break;
    }
    Py_XDECREF(given);
    return made;
}

/* Whether what is awaited enters a generator that the call leaves itself. */
static bool is_entering(const CallObject *call) {
    return call->stage == CAM_CALL_NODE && call->request == NULL &&
           call->plan->nodes[call->node].generator >= 0;
}

/* What was awaited has raised. */
static progress take_exception(CallObject *call) {
    if (is_entering(call)) {
        return CamGenerators_NotEntered(call);
    }
    return call->stage == CAM_CALL_LEAVE ? CamGenerators_Stopped(call) : CamBody_Failed(call);
}

static void let_go(CallObject *call) {
    call->generators = 0;
    for (Py_ssize_t i = 0; i < Py_SIZE(call); i++) {
        Py_CLEAR(call->values[i]);
    }
    for (size_t i = 0; i < CAM_SOURCE_COUNT; i++) {
        Py_CLEAR(call->received[i]);
    }
    Py_CLEAR(call->inner);
    Py_CLEAR(call->cleanup);
    Py_CLEAR(call->leaving);
    Py_CLEAR(call->scope);
    Py_CLEAR(call->receive);
    Py_CLEAR(call->send);
    Py_CLEAR(call->request);
    Py_CLEAR(call->path_params);
    Py_CLEAR(call->events);
    Py_CLEAR(call->body_bytes);
    Py_CLEAR(call->body);
    Py_CLEAR(call->unread);
    Py_CLEAR(call->errors);
    Py_CLEAR(call->injected_response);
    Py_CLEAR(call->background);
    Py_CLEAR(call->content);
    Py_CLEAR(call->passed.origin);
}

/* Goes on until something must be awaited. `outcome` is that of the inner awaitable's last step
 * (PYGEN_RETURN with NULL when there was none), *result what it gave. */
static PySendResult run(CallObject *call, PySendResult outcome, PyObject **result) {
    PyObject *value = *result;
    *result = NULL;
    for (;;) {
        if (outcome == PYGEN_NEXT) {
            *result = value;
            return PYGEN_NEXT;
        }
        Py_CLEAR(call->inner);
        progress made = outcome == PYGEN_ERROR ? take_exception(call) : proceed(call, &value);
        while (made == GO_ON) {
            made = proceed(call, &value);
        }
        if (made == REPLAY) {
            Py_CLEAR(value);
            made = replay(call);
        }
        if (made == FAILED && CamGenerators_AreLeft(call)) {
            made = CamGenerators_Throw(call);
        }
        if (made == FAILED) {
            Py_CLEAR(value);
            made = fail(call, PyErr_GetRaisedException());
        }
        if (made != WAIT) {
            call->stage = CAM_CALL_ENDED;
            PyObject *error = made == FAILED ? PyErr_GetRaisedException() : NULL;
            let_go(call);
            if (made == FAILED) {
                PyErr_SetRaisedException(error);
                return PYGEN_ERROR;
            }
            *result = value;
            return PYGEN_RETURN;
        }
        PyObject *inner = Py_NewRef(call->inner);
        outcome = PyIter_Send(inner, Py_None, &value);
        Py_DECREF(inner);
        if (outcome == PYGEN_ERROR) {
            value = NULL;
        }
    }
}

static PySendResult call_step(PyObject *op, PyObject *sent, PyObject **result) {
    CallObject *call = (CallObject *)op;
    *result = NULL;
    if (CamCoroutine_CheckStep(call->running, call->stage == CAM_CALL_ENDED) < 0) {
        return PYGEN_ERROR;
    }
    Py_INCREF(call);
    call->running = true;
    PySendResult outcome = PYGEN_RETURN;
    if (call->inner != NULL) {
        PyObject *inner = Py_NewRef(call->inner);
        outcome = PyIter_Send(inner, sent, result);
        Py_DECREF(inner);
    }
    outcome = run(call, outcome, result);
    call->running = false;
    Py_DECREF(call);
    return outcome;
}

static PyObject *call_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    CallObject *call = (CallObject *)op;
    if (CamCoroutine_CheckStep(call->running, call->stage == CAM_CALL_ENDED) < 0) {
        return NULL;
    }
    Py_INCREF(call);
    call->running = true;
    PyObject *result = NULL;
    PySendResult outcome =
        CamCoroutine_Throw(call->inner, call->state->asgi.str_throw, args, nargs, &result);
    outcome = run(call, outcome, &result);
    call->running = false;
    Py_DECREF(call);
    return CamCoroutine_Result(outcome, result);
}

static PyObject *call_close(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    CallObject *call = (CallObject *)op;
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    PyObject *inner = Py_XNewRef(call->inner);
    PyObject *result = Py_NewRef(Py_None);
    bool entering = is_entering(call);
    call->stage = CAM_CALL_ENDED;
    if (inner != NULL) {
        Py_SETREF(result, PyObject_CallMethodNoArgs(inner, call->state->asgi.str_close));
        Py_DECREF(inner);
    }
    if (entering) { /* with what is raised, if anything is */
        (void)CamGenerators_NotEntered(call);
    }
    if (CamGenerators_AreLeft(call)) {
        call->running = true;
        if (CamGenerators_Close(call) < 0) {
            Py_CLEAR(result);
        } else if (result == NULL) {
            result = Py_NewRef(Py_None); /* one of them has swallowed it */
        }
        call->running = false;
    }
    PyObject *error = result ? NULL : PyErr_GetRaisedException();
    let_go(call);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
    return result;
}

/* ---- the object ---- */

static CallObject *new_call(RouterObject *router, TableObject *table, const cam_entry *entry) {
    const cam_plan *plan = entry->plan;
    PyTypeObject *type = (PyTypeObject *)router->state->fastapi.call_type;
    CallObject *self = (CallObject *)type->tp_alloc(type, plan->argument_count + plan->slot_count +
                                                              plan->generator_count);
    if (self != NULL) {
        self->state = router->state;
        self->table = (TableObject *)Py_NewRef(table);
        self->router = (RouterObject *)Py_NewRef(router);
        self->entry = entry;
        self->plan = plan;
        router->native_count++;
    }
    return self;
}

PyObject *CamCall_New(RouterObject *router, TableObject *table, const cam_entry *entry,
                      PyObject *scope, PyObject *receive, PyObject *send, PyObject *path_params) {
    CallObject *self = new_call(router, table, entry);
    if (self == NULL) {
        Py_DECREF(path_params);
        return NULL;
    }
    self->scope = Py_NewRef(scope);
    self->receive = Py_NewRef(receive);
    self->send = Py_NewRef(send);
    self->path_params = path_params;
    return (PyObject *)self;
}

PyObject *CamCall_NewHandler(RouterObject *router, TableObject *table, const cam_entry *entry,
                             PyObject *request) {
    const cam_fastapi_constants *c = &router->state->fastapi;
    CallObject *self = new_call(router, table, entry);
    if (self == NULL) {
        return NULL;
    }
    self->request = Py_NewRef(request);
    self->scope = PyObject_GetAttr(request, c->str_scope);
    if (self->scope != NULL && !PyDict_Check(self->scope)) {
        PyErr_SetString(PyExc_TypeError, "a request's scope must be a dict");
    } else if (self->scope != NULL) {
        PyObject *params = PyDict_GetItemWithError(self->scope, c->str_path_params);
        self->path_params = params ? Py_NewRef(params) : PyErr_Occurred() ? NULL : PyDict_New();
    }
    if (self->path_params == NULL || !PyDict_Check(self->path_params)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "path_params must be a dict");
        }
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int call_traverse(PyObject *op, visitproc visit, void *arg) {
    CallObject *self = (CallObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->table);
    Py_VISIT(self->router);
    Py_VISIT(self->scope);
    Py_VISIT(self->receive);
    Py_VISIT(self->send);
    Py_VISIT(self->request);
    Py_VISIT(self->path_params);
    Py_VISIT(self->events);
    Py_VISIT(self->body_bytes);
    Py_VISIT(self->body);
    Py_VISIT(self->unread);
    Py_VISIT(self->errors);
    Py_VISIT(self->injected_response);
    Py_VISIT(self->background);
    Py_VISIT(self->content);
    Py_VISIT(self->inner);
    Py_VISIT(self->cleanup);
    Py_VISIT(self->leaving);
    for (size_t i = 0; i < CAM_SOURCE_COUNT; i++) {
        Py_VISIT(self->received[i]);
    }
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        Py_VISIT(self->values[i]);
    }
    return 0;
}

static int call_clear(PyObject *op) {
    CallObject *self = (CallObject *)op;
    self->stage = CAM_CALL_ENDED; /* it cannot go on with nothing */
    let_go(self);
    return 0;
}

static void call_dealloc(PyObject *op) {
    CallObject *self = (CallObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)call_clear(op);
    PyMem_Free(self->failed);
    Py_CLEAR(self->table);
    Py_CLEAR(self->router);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *call_await(PyObject *op) {
    return Py_NewRef(op);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef call_methods[] = {
    {"send", CamCoroutine_Send, METH_O, "As a coroutine's."},
    {"throw", FAST(call_throw), METH_FASTCALL, "As a coroutine's."},
    {"close", call_close, METH_NOARGS, "As a coroutine's."},
    {NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, (void *)"A request that is carried out by its plan; to be awaited."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_methods, call_methods},
    {Py_tp_iter, call_await},
    {Py_tp_iternext, CamCoroutine_Next},
    {Py_am_await, call_await},
    {Py_am_send, call_step},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "camshaft._core.FastAPICall",
    .basicsize = offsetof(CallObject, values),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

int cam_call_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &call_spec, NULL, 0, &state->fastapi.call_type);
}
