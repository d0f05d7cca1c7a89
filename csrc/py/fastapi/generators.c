/* SPDX-License-Identifier: MIT */
#include "fastapi/generators.h"

#include "fastapi/pool.h"

#include "compat.h"

/* ---- in FastAPI's exit stacks ---- */

/* Enters a dependency with yield on the exit stack that its scope says. */
static PyObject *enter_on_stack(CallObject *call, const cam_node *node) {
    const cam_fastapi_constants *c = &call->state->fastapi;
    PyObject *stack = Py_XNewRef(PyDict_GetItemWithError(
        call->scope, node->function_scope ? c->str_function_astack : c->str_inner_astack));
    PyObject *values = stack ? CamCall_Arguments(call, node) : NULL;
    if (values == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_KeyError, "the scope has no exit stack");
        }
        Py_XDECREF(stack);
        return NULL;
    }
    PyObject *args[] = {node->dependant, stack, values, call->request};
    PyObject *awaitable = PyObject_Vectorcall(c->solve_generator, args, 4, NULL);
    Py_DECREF(values);
    Py_DECREF(stack);
    return awaitable;
}

/* ---- in the call ---- */

/* Where the call keeps a node's generator. */
static PyObject **place_of(CallObject *call, const cam_node *node) {
    const cam_plan *plan = call->plan;
    return &call->values[plan->argument_count + plan->slot_count + node->generator];
}

/* anext(generator). */
static PyObject *next_of(CallObject *call, PyObject *generator) {
    if (PyAsyncGen_CheckExact(generator)) {
        return Py_TYPE(generator)->tp_as_async->am_anext(generator);
    }
    return PyObject_CallOneArg(call->state->fastapi.anext, generator);
}

/* Makes FastAPI's cancel scope where it may matter. Whoever looks into the request's scope later
 * finds that there was one, but not which. 0, or -1 with an exception. */
static int open_scope(CallObject *call) {
    PyObject *outer, *scopes = PyDict_New();
    int put =
        scopes ? PyDict_SetItem(call->scope, call->state->fastapi.str_cleanup_scopes, scopes) : -1;
    Py_XDECREF(scopes);
    if (put < 0) {
        return -1;
    }
    int known = CamPool_CurrentScope(call->state, &outer);
    if (known < 0 || (known > 0 && outer == NULL)) {
        return known < 0 ? -1 : 0;
    }
    Py_XDECREF(outer);
    call->cleanup = PyObject_CallNoArgs(call->state->fastapi.open_scope);
    return call->cleanup ? 0 : -1;
}

progress CamGenerators_Enter(CallObject *call, const cam_node *node) {
    if (call->request != NULL) {
        return CamCall_Await(call, enter_on_stack(call, node));
    }
    PyObject *generator =
        PyObject_Vectorcall(node->call, &call->values[node->first], 0, node->names);
    if (generator == NULL) {
        return FAILED;
    }
    if (!CamGenerators_AreLeft(call) && open_scope(call) < 0) {
        Py_DECREF(generator);
        return FAILED;
    }
    Py_XSETREF(*place_of(call, node), Py_NewRef(generator));
    call->generators++;
    progress made = CamCall_Await(call, next_of(call, generator));
    Py_DECREF(generator);
    return made == FAILED ? CamGenerators_NotEntered(call) : made;
}

/* Takes the generator that was entered last: new reference, or NULL for none. */
static PyObject *take_last(CallObject *call) {
    PyObject *generator = NULL;
    for (Py_ssize_t i = call->plan->node_count - 1; call->generators > 0 && i >= 0; i--) {
        const cam_node *node = &call->plan->nodes[i];
        if (node->generator < 0) {
            continue;
        }
        PyObject **place = place_of(call, node);
        if (*place != NULL) {
            generator = *place;
            *place = NULL;
            call->generators--;
            break;
        }
    }
    return generator;
}

progress CamGenerators_NotEntered(CallObject *call) {
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *generator = take_last(call);
    Py_XDECREF(generator);
    if (exception != NULL && PyErr_GivenExceptionMatches(exception, PyExc_StopAsyncIteration)) {
        PyErr_SetString(PyExc_RuntimeError, "generator didn't yield");
        PyObject *error = PyErr_GetRaisedException();
        PyException_SetContext(error, exception);
        PyException_SetCause(error, NULL); /* from None */
        exception = error;
    }
    PyErr_SetRaisedException(exception);
    return FAILED;
}

bool CamGenerators_AreLeft(const CallObject *call) {
    return call->generators > 0 || call->cleanup != NULL;
}

/* ---- leaving ---- */

/* Has camshaft.fastapi.generators leave all that are left, with an exception (stolen) or NULL. */
static PyObject *leave_by_stack(CallObject *call, PyObject *exception) {
    PyObject *taken = CamGenerators_Take(call);
    PyObject *args[] = {taken, exception ? exception : Py_None,
                        call->answered ? Py_True : Py_False};
    PyObject *awaitable =
        taken ? PyObject_Vectorcall(call->state->fastapi.leave, args, 3, NULL) : NULL;
    Py_XDECREF(taken);
    Py_XDECREF(exception);
    return awaitable;
}

progress CamGenerators_Leave(CallObject *call) {
    call->answered = true;
    call->stage = CAM_CALL_LEAVE;
    if (call->cleanup != NULL) {
        call->stage = CAM_CALL_LEAVE_ALL;
        return CamCall_Await(call, leave_by_stack(call, NULL));
    }
    Py_XSETREF(call->leaving, take_last(call));
    progress made = CamCall_Await(call, next_of(call, call->leaving));
    return made == FAILED ? CamGenerators_Stopped(call) : made;
}

progress CamGenerators_NotStopped(CallObject *call) {
    PyObject *refuse = call->state->fastapi.refuse_to_go_on;
    return CamCall_Await(call, PyObject_CallOneArg(refuse, call->leaving));
}

/* A generator has stopped: FastAPI has its task pass a checkpoint of AnyIO's then, and leaves its
 * scope after the last. */
progress CamGenerators_Stopped(CallObject *call) {
    if (!PyErr_ExceptionMatches(PyExc_StopAsyncIteration)) {
        return FAILED;
    }
    PyErr_Clear();
    Py_CLEAR(call->leaving);
    call->stage = CAM_CALL_LEFT;
    PyObject *scope;
    int known = CamPool_CurrentScope(call->state, &scope);
    if (known > 0 && scope == NULL) {
        return GO_ON;
    }
    Py_XDECREF(scope);
    PyObject *last = call->generators == 0 ? Py_True : Py_False;
    return known < 0 ? FAILED
                     : CamCall_Await(call, PyObject_CallOneArg(call->state->fastapi.pass_on, last));
}

progress CamGenerators_Throw(CallObject *call) {
    PyObject *exception = PyErr_GetRaisedException();
    call->stage = CAM_CALL_LEAVE_ALL;
    return CamCall_Await(call, leave_by_stack(call, exception));
}

int CamGenerators_Close(CallObject *call) {
    PyObject *exception =
        PyErr_Occurred() ? PyErr_GetRaisedException() : PyObject_CallNoArgs(PyExc_GeneratorExit);
    PyObject *awaitable = exception ? leave_by_stack(call, exception) : NULL;
    if (awaitable == NULL) {
        return -1;
    }
    PyObject *value = NULL;
    PySendResult outcome = PyIter_Send(awaitable, Py_None, &value);
    Py_XDECREF(value);
    if (outcome == PYGEN_NEXT) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
    } else if (outcome == PYGEN_ERROR && PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
        PyErr_Clear();
    }
    PyObject *error = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    Py_DECREF(awaitable);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    return 0;
}

PyObject *CamGenerators_Take(CallObject *call) {
    if (!CamGenerators_AreLeft(call)) {
        return Py_NewRef(Py_None);
    }
    PyObject *generators = PyTuple_New(call->generators);
    PyObject *taken = generators ? PyTuple_New(2) : NULL;
    if (taken == NULL) {
        Py_XDECREF(generators);
        return NULL;
    }
    for (Py_ssize_t i = PyTuple_GET_SIZE(generators) - 1; i >= 0; i--) {
        PyTuple_SET_ITEM(generators, i, take_last(call));
    }
    PyTuple_SET_ITEM(taken, 0, generators);
    PyTuple_SET_ITEM(taken, 1, call->cleanup ? call->cleanup : Py_NewRef(Py_None));
    call->cleanup = NULL;
    return taken;
}
