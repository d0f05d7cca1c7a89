/* SPDX-License-Identifier: MIT */
/* How a task is driven: its coroutine's steps, what it awaits, being resumed, its end. The order,
 * the errors and their texts are those of asyncio.Task in C (Modules/_asynciomodule.c). */
#include "loop/task.h"

#include "compat.h"

#include <structmember.h>

/* Resumptions that were freed and wait to be used again. */
enum { STOCK_SIZE = 256 };

/*
 * What resumes a task, as a callback: without arguments it is a step (of which `error`, if any, is
 * thrown), with a future as its argument what a task that awaits the future has the future call.
 *
 * A future of ours that is done puts the resumption itself into the ready queue, with `future` set.
 */
typedef struct Resumption {
    PyObject_HEAD
    cam_state *state;
    vectorcallfunc call;
    CamStockTask *task; /* strong; NULL once cleared */
    PyObject *error;    /* strong or NULL */
    PyObject *future;   /* strong or NULL */
} Resumption;

struct cam_task_stock {
    size_t count;
    Resumption *items[STOCK_SIZE];
};

/* Makes the exception that is set, if one is, the one that was raised while `earlier` was being
 * dealt with, or else sets that again. Steals it. */
static void chain_exception(PyObject *earlier) {
    if (!PyErr_Occurred()) {
        PyErr_SetRaisedException(earlier);
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyException_SetContext(exception, earlier);
    PyErr_SetRaisedException(exception);
}

/* Drops references while an exception may be set, which must survive what that runs. */
static void release(PyObject *first, PyObject *second) {
    PyObject *exception = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

/* A loop whose ready queue may be used: entries of it are seen by nobody. */
static inline LoopObject *queue_of(cam_state *state, PyObject *object) {
    if (!CamLoop_Check(state, object)) {
        return NULL;
    }
    LoopObject *loop = (LoopObject *)object;
    return loop->plain && !loop->debug && !loop->closed ? loop : NULL;
}

static bool is_stock(const cam_state *state, PyObject *object) {
    return Py_TYPE(object) == (PyTypeObject *)state->stock_task ||
           Py_TYPE(object) == (PyTypeObject *)state->stock_future;
}

/* loop.call_soon(callback[, argument], context=context); 0 or -1. Runs user code. */
static int call_soon(cam_state *state, PyObject *loop, PyObject *callback, PyObject *argument,
                     PyObject *context) {
    PyObject *stack[4] = {Py_NewRef(loop), callback, argument, NULL};
    size_t count = argument ? 3 : 2;
    stack[count] = Py_NewRef(context);
    PyObject *handle = PyObject_VectorcallMethod(
        state->str_call_soon, stack, count | PY_VECTORCALL_ARGUMENTS_OFFSET, state->kw_context);
    int status = handle ? 0 : -1;
    release(handle, context);
    release(loop, NULL);
    return status;
}

/* ---- the current task ---- */

/* asyncio.tasks._current_tasks, which all of asyncio's C code uses, is {loop: task}. */
static int enter_task(cam_state *state, CamStockTask *task) {
    PyObject *current = state->current_tasks;
    Py_ssize_t count = PyDict_GET_SIZE(current);
    PyObject *item = PyDict_SetDefault(current, task->loop, (PyObject *)task);
    if (item == NULL) {
        return -1;
    }
    if (item != (PyObject *)task || PyDict_GET_SIZE(current) == count) {
        Py_INCREF(item);
        PyErr_Format(PyExc_RuntimeError,
                     "Cannot enter into task %R while another task %R is being executed.", task,
                     item);
        release(item, NULL);
        return -1;
    }
    return 0;
}

/* Takes the item of a key out of the dict: a new reference, or NULL with an exception if there is
 * none. */
static PyObject *take_item(PyObject *dict, PyObject *key) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *item;
    if (PyDict_Pop(dict, key, &item) == 0) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return item;
#else
    return _PyDict_Pop(dict, key, NULL);
#endif
}

static int leave_task(cam_state *state, CamStockTask *task) {
    PyObject *current = state->current_tasks;
    PyObject *item = take_item(current, task->loop);
    if (item == (PyObject *)task) {
        Py_DECREF(item);
        return 0;
    }
    if (item == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear();
        item = Py_NewRef(Py_None);
    } else if (PyDict_SetItem(current, task->loop, item) < 0) { /* it is another's */
        Py_DECREF(item);
        return -1;
    }
    PyErr_Format(PyExc_RuntimeError, "Leaving task %R does not match the current task %R.", task,
                 item);
    release(item, NULL);
    return -1;
}

/* ---- resumptions ---- */

static PyObject *resumption_call(PyObject *op, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames);

static Resumption *new_resumption(cam_state *state, CamStockTask *task, PyObject *error) {
    PyTypeObject *type = (PyTypeObject *)state->resumption_type;
    cam_task_stock *stock = state->task_stock;
    Resumption *self;
    if (stock->count > 0) {
        self = stock->items[--stock->count];
        (void)PyObject_Init((PyObject *)self, type);
    } else {
        self = PyObject_GC_New(Resumption, type);
        if (self == NULL) {
            return NULL;
        }
    }
    self->state = state;
    self->call = resumption_call;
    self->task = (CamStockTask *)Py_NewRef(task);
    self->error = Py_XNewRef(error);
    self->future = NULL;
    PyObject_GC_Track(self);
    return self;
}

static int run_step(LoopObject *loop, PyObject *task);
static int run_resumption(LoopObject *loop, PyObject *op);

int CamTask_StepSoon(cam_state *state, CamStockTask *task, PyObject *error) {
    LoopObject *loop = error == NULL ? queue_of(state, task->loop) : NULL;
    if (loop != NULL && PyContext_CheckExact(task->context)) {
        return CamLoop_Enqueue(loop, run_step, (PyObject *)task);
    }
    Resumption *callback = new_resumption(state, task, error);
    if (callback == NULL) {
        return -1;
    }
    int status = call_soon(state, task->loop, (PyObject *)callback, NULL, task->context);
    release((PyObject *)callback, NULL);
    return status;
}

/* ---- what the coroutine yields ---- */

/* Has RuntimeError thrown into the coroutine. */
static int fail_soon(cam_state *state, CamStockTask *task, const char *format, PyObject *first,
                     PyObject *second) {
    PyObject *text = PyUnicode_FromFormat(format, first, second);
    PyObject *error = text ? PyObject_CallOneArg(PyExc_RuntimeError, text) : NULL;
    Py_XDECREF(text);
    if (error == NULL) {
        return -1;
    }
    int status = CamTask_StepSoon(state, task, error);
    release(error, NULL);
    return status;
}

static int fail_different_loop(cam_state *state, CamStockTask *task, PyObject *future) {
    return fail_soon(state, task, "Task %R got Future %R attached to a different loop",
                     (PyObject *)task, future);
}

static int fail_not_blocking(cam_state *state, CamStockTask *task, PyObject *future) {
    return fail_soon(state, task, "yield was used instead of yield from in task %R with %R",
                     (PyObject *)task, future);
}

/* future.add_done_callback(resumption, context=context) */
static int add_done_callback(cam_state *state, PyObject *future, Resumption *callback,
                             PyObject *context) {
    PyObject *stack[3] = {future, (PyObject *)callback, Py_NewRef(context)};
    PyObject *answer = PyObject_VectorcallMethod(
        state->str_add_done_callback, stack, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, state->kw_context);
    int status = answer ? 0 : -1;
    release(answer, context);
    return status;
}

/* Has `future` resume the task, which waits for it now, and cancels it if the task was cancelled
 * in the meantime. */
static int wait_for(cam_state *state, CamStockTask *task, PyObject *future) {
    Resumption *callback = new_resumption(state, task, NULL);
    if (callback == NULL) {
        return -1;
    }
    CamStockFuture *stock = (CamStockFuture *)future;
    if (is_stock(state, future) && stock->status == CAM_STOCK_PENDING && stock->callback0 == NULL &&
        stock->callbacks == NULL) {
        stock->callback0 = (PyObject *)callback;
        stock->context0 = Py_NewRef(task->context);
    } else {
        int status = add_done_callback(state, future, callback, task->context);
        release((PyObject *)callback, NULL);
        if (status < 0) {
            return -1;
        }
    }
    Py_XSETREF(task->waits_for, Py_NewRef(future));
    if (!task->must_cancel) {
        return 0;
    }
    PyObject *message = Py_NewRef(task->cancel_message ? task->cancel_message : Py_None);
    PyObject *answer = PyObject_CallMethodOneArg(future, state->str_cancel, message);
    Py_DECREF(message);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (truth > 0) {
        task->must_cancel = 0;
    }
    return truth < 0 ? -1 : 0;
}

/* An asyncio.Future or asyncio.Task, no subclass. */
static int await_stock(cam_state *state, CamStockTask *task, PyObject *future) {
    CamStockFuture *stock = (CamStockFuture *)future;
    if (stock->loop != task->loop) {
        return fail_different_loop(state, task, future);
    }
    if (!stock->blocking) {
        return fail_not_blocking(state, task, future);
    }
    stock->blocking = 0;
    return wait_for(state, task, future);
}

/* asyncio.futures._get_loop(): new reference or NULL. */
static PyObject *loop_of(cam_state *state, PyObject *future) {
    PyObject *method = PyObject_GetAttr(future, state->str_get_loop);
    if (method != NULL) {
        PyObject *loop = PyObject_CallNoArgs(method);
        release(method, NULL);
        return loop;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return NULL;
    }
    PyErr_Clear();
    return PyObject_GetAttr(future, state->str__loop);
}

/* Anything with _asyncio_future_blocking, whose value `mark` is. */
static int await_other(cam_state *state, CamStockTask *task, PyObject *future, PyObject *mark) {
    int truth = PyObject_IsTrue(mark);
    if (truth < 0) {
        return -1;
    }
    PyObject *loop = loop_of(state, future);
    if (loop == NULL) {
        return -1;
    }
    bool same = loop == task->loop;
    Py_DECREF(loop);
    if (!same) {
        return fail_different_loop(state, task, future);
    }
    if (!truth) {
        return fail_not_blocking(state, task, future);
    }
    if (PyObject_SetAttr(future, state->str__asyncio_future_blocking, Py_False) < 0) {
        return -1;
    }
    return wait_for(state, task, future);
}

/* The coroutine has yielded `object`. 0, or -1 with an exception. */
static int yielded(cam_state *state, CamStockTask *task, PyObject *object) {
    if (object == Py_None) {
        return CamTask_StepSoon(state, task, NULL);
    }
    if (object == (PyObject *)task) {
        return fail_soon(state, task, "Task cannot await on itself: %R", object, NULL);
    }
    if (is_stock(state, object)) {
        return await_stock(state, task, object);
    }
    PyObject *mark = PyObject_GetAttr(object, state->str__asyncio_future_blocking);
    if (mark == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    if (mark != NULL && mark != Py_None) {
        int status = await_other(state, task, object, mark);
        release(mark, NULL);
        return status;
    }
    Py_XDECREF(mark);
    int generator = PyObject_IsInstance(object, (PyObject *)&PyGen_Type);
    if (generator < 0) {
        return -1;
    }
    return generator ? fail_soon(state, task,
                                 "yield was used instead of yield from for generator in task %R "
                                 "with %R",
                                 (PyObject *)task, object)
                     : fail_soon(state, task, "Task got bad yield: %R", object, NULL);
}

/* ---- the end of a task ---- */

/* Calls one of asyncio.Future's methods on the task; asyncio.Task has its own for others. */
static int end_by(CamStockTask *task, PyObject *method, PyObject *argument) {
    PyObject *stack[2] = {(PyObject *)task, argument};
    PyObject *answer = PyObject_Vectorcall(method, stack, 2, NULL);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

/* Queues a callback of the future or task, which is done. */
static int queue_callback(cam_state *state, CamStockFuture *future, PyObject *callback,
                          PyObject *context) {
    LoopObject *loop = queue_of(state, future->loop);
    if (loop == NULL) {
        return call_soon(state, future->loop, callback, (PyObject *)future, context);
    }
    Resumption *resumption = (Resumption *)callback;
    if (Py_TYPE(callback) == (PyTypeObject *)state->resumption_type && resumption->task != NULL &&
        resumption->error == NULL && resumption->future == NULL &&
        resumption->task->context == context && PyContext_CheckExact(context)) {
        resumption->future = Py_NewRef(future);
        return CamLoop_Enqueue(loop, run_resumption, callback);
    }
    PyObject *argument = (PyObject *)future;
    HandleObject *handle = CamHandle_New(loop, callback, &argument, 1, context);
    int status = handle ? CamLoop_Enqueue(loop, NULL, (PyObject *)handle) : -1;
    release((PyObject *)handle, NULL);
    return status;
}

/* set_result() of a future or task. */
static int finish(cam_state *state, CamStockFuture *future, PyObject *result) {
    if (future->status != CAM_STOCK_PENDING) { /* a task, from inside, by a method of Future's */
        PyErr_SetString(state->invalid_state_error, "invalid state");
        return -1;
    }
    Py_XSETREF(future->result, Py_NewRef(result));
    future->status = CAM_STOCK_FINISHED;
    PyObject *callback = future->callback0;
    PyObject *context = future->context0;
    PyObject *others = future->callbacks;
    future->callback0 = future->context0 = future->callbacks = NULL;
    int status = callback ? queue_callback(state, future, callback, context) : 0;
    for (Py_ssize_t i = 0; status == 0 && others != NULL && i < PyList_GET_SIZE(others); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(others, i));
        status =
            queue_callback(state, future, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        release(pair, NULL);
    }
    release(callback, context);
    if (others != NULL) {
        release(others, NULL);
    }
    return status;
}

/* Whether it is an asyncio.Future, no subclass, whose layout is known. */
static bool is_known_future(const cam_state *state, PyObject *object) {
    return state->drives_tasks && Py_TYPE(object) == (PyTypeObject *)state->stock_future;
}

int CamTask_MarkAwaited(cam_state *state, PyObject *future) {
    if (is_known_future(state, future)) {
        ((CamStockFuture *)future)->blocking = 1;
        return 0;
    }
    return PyObject_SetAttr(future, state->str__asyncio_future_blocking, Py_True);
}

int CamTask_Resolve(cam_state *state, PyObject *future) {
    if (is_known_future(state, future)) {
        CamStockFuture *stock = (CamStockFuture *)future;
        return stock->status == CAM_STOCK_PENDING ? finish(state, stock, Py_None) : 0;
    }
    PyObject *done = PyObject_CallMethodNoArgs(future, state->str_done);
    int is_done = done ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    if (is_done != 0) {
        return is_done < 0 ? -1 : 0;
    }
    PyObject *none = PyObject_CallMethodOneArg(future, state->str_set_result, Py_None);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* The coroutine has returned `value`. */
static int returned(cam_state *state, CamStockTask *task, PyObject *value) {
    if (!task->must_cancel) {
        return finish(state, (CamStockFuture *)task, value);
    }
    task->must_cancel = 0; /* cancelled right before it ended */
    PyObject *message = Py_NewRef(task->cancel_message ? task->cancel_message : Py_None);
    int status = end_by(task, state->stock_cancel, message);
    release(message, NULL);
    return status;
}

/* The coroutine has raised what is set. KeyboardInterrupt and SystemExit are for the loop too. */
static int raised(cam_state *state, CamStockTask *task) {
    PyObject *exception = PyErr_GetRaisedException();
    if (PyErr_GivenExceptionMatches(exception, state->cancelled_error)) {
        Py_XSETREF(task->cancelled_error, exception);
        return end_by(task, state->stock_cancel, Py_None);
    }
    int status = end_by(task, state->stock_set_exception, exception);
    if (status == 0 && (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt) ||
                        PyErr_GivenExceptionMatches(exception, PyExc_SystemExit))) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    release(exception, NULL);
    return status;
}

/* ---- a step ---- */

/* Throws into the coroutine; as PyIter_Send. */
static PySendResult throw_inside(cam_state *state, PyObject *coro, PyObject *error,
                                 PyObject **result) {
    *result = PyObject_CallMethodOneArg(coro, state->str_throw, error);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    if (!PyErr_Occurred()) { /* an iterator's way to say that it has ended */
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyObject *stop = PyErr_GetRaisedException();
    *result = Py_NewRef(((PyStopIterationObject *)stop)->value);
    Py_DECREF(stop);
    return PYGEN_RETURN;
}

/* A step as the current task, in the context it belongs to. `error` is thrown, if not NULL. */
static int step_inside(cam_state *state, CamStockTask *task, PyObject *error) {
    if (task->status != CAM_STOCK_PENDING) {
        PyErr_Format(state->invalid_state_error, "_step(): already done: %R %R", task,
                     error ? error : Py_None);
        return -1;
    }
    Py_XINCREF(error);
    if (task->must_cancel) {
        if (error == NULL || !PyErr_GivenExceptionMatches(error, state->cancelled_error)) {
            PyObject *cancelled =
                PyObject_CallMethodNoArgs((PyObject *)task, state->str__make_cancelled_error);
            release(error, NULL);
            if (cancelled == NULL) {
                return -1;
            }
            error = cancelled;
        }
        task->must_cancel = 0;
    }
    Py_CLEAR(task->waits_for);
    PyObject *coro = Py_XNewRef(task->coro);
    if (coro == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "uninitialized Task object");
        release(error, NULL);
        return -1;
    }
    PyObject *result = NULL;
    PySendResult outcome = error == NULL ? PyIter_Send(coro, Py_None, &result)
                                         : throw_inside(state, coro, error, &result);
    int status = outcome == PYGEN_RETURN ? returned(state, task, result)
                 : outcome == PYGEN_NEXT ? yielded(state, task, result)
                                         : raised(state, task);
    if (status == 0) {
        Py_XDECREF(result);
        Py_XDECREF(error);
        Py_DECREF(coro);
        return 0;
    }
    release(result, error);
    release(coro, NULL);
    return -1;
}

static int step(cam_state *state, CamStockTask *task, PyObject *error) {
    if (enter_task(state, task) < 0) {
        return -1;
    }
    int status = step_inside(state, task, error);
    if (status == 0) {
        return leave_task(state, task);
    }
    PyObject *exception = PyErr_GetRaisedException();
    (void)leave_task(state, task);
    chain_exception(exception);
    return -1;
}

/* `future`, which the task awaited, is done: a step with what it came to. */
static int wake(cam_state *state, CamStockTask *task, PyObject *future) {
    PyObject *result;
    if (is_stock(state, future)) {
        CamStockFuture *stock = (CamStockFuture *)future;
        if (stock->status == CAM_STOCK_FINISHED && stock->exception == NULL) {
            return step(state, task, NULL);
        }
        result = PyObject_Vectorcall(state->stock_result, &future, 1, NULL);
    } else {
        result = PyObject_CallMethodNoArgs(future, state->str_result);
    }
    if (result != NULL) {
        Py_DECREF(result);
        return step(state, task, NULL);
    }
    PyObject *error = PyErr_GetRaisedException();
    int status = step(state, task, error);
    release(error, NULL);
    return status;
}

/* ---- in the ready queue ---- */

/* Reports what is set as a callback's error, with the handle that callback(argument) would have
 * been. -1 when it must leave the loop. */
static int report(LoopObject *loop, PyObject *callback, PyObject *argument, PyObject *context) {
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *args = argument ? PyTuple_Pack(1, argument) : PyTuple_New(0);
    HandleObject *handle =
        args ? CamHandle_New(loop, callback, &argument, argument ? 1 : 0, context) : NULL;
    PyObject *answer = NULL;
    if (handle != NULL) {
        answer =
            PyObject_CallMethodObjArgs((PyObject *)loop, loop->state->str__report_callback_error,
                                       exception, callback, args, handle, NULL);
    }
    int status = answer ? 0 : -1;
    release(answer, (PyObject *)handle);
    release(args, exception);
    return status;
}

/* Runs a step, or with a future a resumption, in the task's context. */
static int run(LoopObject *loop, CamStockTask *task, PyObject *future, Resumption *callback) {
    cam_state *state = loop->state;
    PyObject *context = Py_NewRef(task->context);
    int status = PyContext_Enter(context);
    if (status == 0) {
        status = future ? wake(state, task, future) : step(state, task, NULL);
        if (status == 0) {
            status = PyContext_Exit(context);
        } else {
            PyObject *exception = PyErr_GetRaisedException();
            (void)PyContext_Exit(context);
            chain_exception(exception);
        }
    }
    if (status < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *shown =
            callback ? Py_NewRef(callback) : (PyObject *)new_resumption(state, task, NULL);
        if (shown == NULL) {
            PyErr_Clear();
            shown = Py_NewRef(task);
        }
        PyErr_SetRaisedException(exception);
        status = report(loop, shown, future, context);
        release(shown, NULL);
    }
    release(context, NULL);
    return status;
}

static int run_step(LoopObject *loop, PyObject *op) {
    CamStockTask *task = (CamStockTask *)op;
    /* Cleared by the garbage collector, or made anew by its __init__. */
    if (task->loop != (PyObject *)loop || task->context == NULL) {
        return 0;
    }
    return run(loop, task, NULL, NULL);
}

static int run_resumption(LoopObject *loop, PyObject *op) {
    Resumption *self = (Resumption *)op;
    PyObject *future = self->future;
    self->future = NULL;
    CamStockTask *task = (CamStockTask *)Py_XNewRef(self->task);
    int status = 0;
    if (future != NULL && task != NULL && task->loop == (PyObject *)loop && task->context != NULL) {
        status = run(loop, task, future, self);
    }
    release(future, (PyObject *)task);
    return status;
}

/* ---- resumptions as callables ---- */

static PyObject *resumption_call(PyObject *op, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames) {
    Resumption *self = (Resumption *)op;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0) {
        PyErr_SetString(PyExc_TypeError, "task_wakeup() takes no keyword arguments");
        return NULL;
    }
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "task_wakeup() takes exactly one argument (%zd given)",
                     nargs);
        return NULL;
    }
    CamStockTask *task = (CamStockTask *)Py_XNewRef(self->task);
    if (task == NULL) {
        Py_RETURN_NONE; /* cleared by the garbage collector */
    }
    PyObject *error = Py_XNewRef(self->error);
    int status = nargs > 0 ? wake(self->state, task, args[0]) : step(self->state, task, error);
    release((PyObject *)task, error);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *resumption_get_self(PyObject *op, void *Py_UNUSED(closure)) {
    CamStockTask *task = ((Resumption *)op)->task;
    return Py_NewRef(task ? (PyObject *)task : Py_None);
}

static PyObject *resumption_get_name(PyObject *Py_UNUSED(op), void *Py_UNUSED(closure)) {
    return PyUnicode_InternFromString("task_wakeup");
}

static int resumption_traverse(PyObject *op, visitproc visit, void *arg) {
    Resumption *self = (Resumption *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->task);
    Py_VISIT(self->error);
    Py_VISIT(self->future);
    return 0;
}

static int resumption_clear(PyObject *op) {
    Resumption *self = (Resumption *)op;
    Py_CLEAR(self->task);
    Py_CLEAR(self->error);
    Py_CLEAR(self->future);
    return 0;
}

static void resumption_dealloc(PyObject *op) {
    Resumption *self = (Resumption *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)resumption_clear(op);
    cam_task_stock *stock = self->state->task_stock;
    if (stock != NULL && stock->count < STOCK_SIZE) {
        stock->items[stock->count++] = self;
    } else {
        PyObject_GC_Del(op);
    }
    Py_DECREF(type);
}

static PyGetSetDef resumption_getset[] = {
    {"__self__", resumption_get_self, NULL, "The task, by which debug mode names a handle.", NULL},
    {"__name__", resumption_get_name, NULL, NULL, NULL},
    {"__qualname__", resumption_get_name, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef resumption_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Resumption, call), READONLY, NULL},
    {NULL},
};

static PyType_Slot resumption_slots[] = {
    {Py_tp_doc, (void *)"What resumes a task, as a callback."},
    {Py_tp_dealloc, resumption_dealloc},
    {Py_tp_traverse, resumption_traverse},
    {Py_tp_clear, resumption_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getset, resumption_getset},
    {Py_tp_members, resumption_members},
    {0, NULL},
};

static PyType_Spec resumption_spec = {
    .name = "camshaft._core.TaskResumption",
    .basicsize = sizeof(Resumption),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = resumption_slots,
};

void cam_task_free_stock(cam_state *state) {
    cam_task_stock *stock = state->task_stock;
    state->task_stock = NULL;
    if (stock != NULL) {
        while (stock->count > 0) {
            PyObject_GC_Del(stock->items[--stock->count]);
        }
        PyMem_Free(stock);
    }
}

int cam_task_step_exec(PyObject *module, cam_state *state) {
    state->task_stock = PyMem_Calloc(1, sizeof(cam_task_stock));
    if (state->task_stock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return CamState_AddType(module, &resumption_spec, NULL, 0, &state->resumption_type);
}
