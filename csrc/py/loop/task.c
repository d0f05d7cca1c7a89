/* SPDX-License-Identifier: MIT */
/* Making a task, and what is needed of asyncio for it. */
#include "loop/task.h"

#include "compat.h"

#include <string.h>

/* ---- asyncio's set of tasks ---- */

/* The callback of a weak reference in the WeakSet that asyncio.all_tasks() reads: what the set's
 * own callback does, in C. While somebody iterates over the set, what is to be removed goes to a
 * list that the last iterator works off. */
static PyObject *unlist(PyObject *module, PyObject *reference) {
    cam_state *state = PyModule_GetState(module);
    int status = PySet_GET_SIZE(state->all_tasks_iterating) == 0
                     ? PySet_Discard(state->all_tasks, reference)
                     : PyList_Append(state->all_tasks_removed, reference);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef unlist_method = {"_unlist_task", unlist, METH_O, NULL};

/* As _asyncio's register_task(). */
static int list_task(cam_state *state, PyObject *task) {
    if (state->all_tasks == NULL) { /* not the WeakSet that is known here */
        PyObject *answer = PyObject_CallOneArg(state->register_task, task);
        Py_XDECREF(answer);
        return answer ? 0 : -1;
    }
    PyObject *reference = PyWeakref_NewRef(task, state->unlist_task);
    int status = reference ? PySet_Add(state->all_tasks, reference) : -1;
    Py_XDECREF(reference);
    return status;
}

/* ---- making one ---- */

/* asyncio.iscoroutine(), which is asked once for each type that is not a coroutine's. */
static int is_coroutine(cam_state *state, PyObject *coro) {
    if (PyCoro_CheckExact(coro)) {
        return 1;
    }
    int known = PySet_Contains(state->coroutine_types, (PyObject *)Py_TYPE(coro));
    if (known != 0) {
        return known;
    }
    PyObject *answer = PyObject_CallOneArg(state->iscoroutine, coro);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (truth > 0 && PySet_GET_SIZE(state->coroutine_types) < 100 &&
        PySet_Add(state->coroutine_types, (PyObject *)Py_TYPE(coro)) < 0) {
        return -1;
    }
    return truth;
}

/* What stands for the default name, "Task-" and a number. */
static PyObject *default_name(cam_state *state) {
    unsigned long long number = ++state->task_number;
#if PY_VERSION_HEX >= 0x030C0000
    return PyLong_FromUnsignedLongLong(number); /* get_name() makes the text */
#else
    char text[25];
    char *first = text + sizeof(text);
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (const char *prefix = "-ksaT"; *prefix != '\0'; prefix++) { /* backwards, as the digits */
        *--first = *prefix;
    }
    Py_ssize_t length = text + sizeof(text) - first;
    PyObject *name = PyUnicode_New(length, 'z');
    if (name != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(name), first, (size_t)length);
    }
    return name;
#endif
}

PyObject *CamTask_New(LoopObject *loop, PyObject *coro, PyObject *name, PyObject *context,
                      bool checked) {
    cam_state *state = loop->state;
    int coroutine = checked ? 1 : is_coroutine(state, coro);
    if (coroutine <= 0) {
        if (coroutine == 0) {
            PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R", coro);
        }
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)state->stock_task;
    CamStockTask *task = (CamStockTask *)type->tp_alloc(type, 0);
    if (task == NULL) {
        return NULL;
    }
    task->log_destroy_pending = 1;
    task->loop = Py_NewRef(loop);
    task->coro = Py_NewRef(coro);
    task->context = context ? Py_NewRef(context) : PyContext_CopyCurrent();
    task->name = name == NULL                 ? default_name(state)
                 : PyUnicode_CheckExact(name) ? Py_NewRef(name)
                                              : PyObject_Str(name);
    if (task->context == NULL || task->name == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    if (CamTask_StepSoon(state, task, NULL) < 0 || list_task(state, (PyObject *)task) < 0) {
        Py_DECREF(task);
        return NULL;
    }
    return (PyObject *)task;
}

/* ---- what is needed of asyncio ---- */

typedef struct Needed {
    const char *module;
    const char *name;
    PyObject **slot;
} Needed;

static int import_needed(const Needed *needed, size_t count) {
    for (size_t i = 0; i < count; i++) {
        PyObject *module = PyImport_ImportModule(needed[i].module);
        if (module == NULL) {
            return -1;
        }
        *needed[i].slot = PyObject_GetAttrString(module, needed[i].name);
        Py_DECREF(module);
        if (*needed[i].slot == NULL) {
            return -1;
        }
    }
    return 0;
}

/* The parts of asyncio's WeakSet of tasks; none if it is not made as it is known here. */
static int find_all_tasks(PyObject *module, cam_state *state) {
    const char *name = PY_VERSION_HEX >= 0x030C0000 ? "_scheduled_tasks" : "_all_tasks";
    PyObject *set = NULL;
    PyObject *type = NULL;
    const Needed needed[] = {{"asyncio.tasks", name, &set}, {"weakref", "WeakSet", &type}};
    if (import_needed(needed, 2) < 0) {
        Py_XDECREF(set);
        return -1;
    }
    bool known = Py_TYPE(set) == (PyTypeObject *)type;
    Py_DECREF(type);
    if (known) {
        state->all_tasks = PyObject_GetAttrString(set, "data");
        state->all_tasks_iterating = PyObject_GetAttrString(set, "_iterating");
        state->all_tasks_removed = PyObject_GetAttrString(set, "_pending_removals");
        state->unlist_task = PyCFunction_New(&unlist_method, module);
        known = state->all_tasks != NULL && PySet_CheckExact(state->all_tasks) &&
                state->all_tasks_iterating != NULL &&
                PySet_CheckExact(state->all_tasks_iterating) && state->all_tasks_removed != NULL &&
                PyList_CheckExact(state->all_tasks_removed) && state->unlist_task != NULL;
        PyErr_Clear();
    }
    Py_DECREF(set);
    if (!known) {
        Py_CLEAR(state->all_tasks);
    }
    return 0;
}

/* Whether the dict of current tasks is the one that asyncio's C code uses: 1, 0, or -1. */
static int check_current_tasks(cam_state *state) {
    if (!PyDict_CheckExact(state->current_tasks)) {
        return 0;
    }
    PyObject *enter = NULL;
    PyObject *leave = NULL;
    const Needed needed[] = {{"asyncio.tasks", "_enter_task", &enter},
                             {"asyncio.tasks", "_leave_task", &leave}};
    int found = import_needed(needed, 2);
    if (found == 0) {
        PyObject *key = state->str_loop; /* anything will do that is no loop */
        PyObject *answer = PyObject_CallFunctionObjArgs(enter, key, key, NULL);
        found = answer ? PyDict_Contains(state->current_tasks, key) : -1;
        Py_XDECREF(answer);
        answer = found >= 0 ? PyObject_CallFunctionObjArgs(leave, key, key, NULL) : NULL;
        found = answer ? found : -1;
        Py_XDECREF(answer);
    }
    Py_XDECREF(enter);
    Py_XDECREF(leave);
    return found;
}

/* 1 if this Python's tasks can be driven here, 0 if not, -1 with an exception. */
static int find_asyncio(PyObject *module, cam_state *state) {
    /* From 3.14 on _asyncio keeps tasks in lists of its own through their structs. */
    if (PY_VERSION_HEX >= 0x030E0000) {
        return 0;
    }
    PyObject *implementation = PyImport_ImportModule("_asyncio");
    if (implementation == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(implementation);
    const Needed needed[] = {
        {"_asyncio", "Future", &state->stock_future},
        {"_asyncio", "Task", &state->stock_task},
        {"asyncio.coroutines", "iscoroutine", &state->iscoroutine},
        {"asyncio.tasks", "_current_tasks", &state->current_tasks},
        {"asyncio.tasks", "_register_task", &state->register_task},
    };
    if (import_needed(needed, sizeof(needed) / sizeof(needed[0])) < 0) {
        return -1;
    }
    if (state->asyncio_task != state->stock_task || state->asyncio_future != state->stock_future) {
        return 0; /* somebody has replaced them, with Python's perhaps */
    }
    PyObject *future = state->stock_future;
    state->stock_result = PyObject_GetAttr(future, state->str_result);
    state->stock_cancel = PyObject_GetAttr(future, state->str_cancel);
    state->stock_set_exception = PyObject_GetAttr(future, state->str_set_exception);
    if (state->stock_result == NULL || state->stock_cancel == NULL ||
        state->stock_set_exception == NULL) {
        return -1;
    }
    int known = cam_task_layout_check(state);
    if (known > 0) {
        known = check_current_tasks(state);
    }
    return known > 0 && find_all_tasks(module, state) < 0 ? -1 : known;
}

int cam_task_exec(PyObject *module, cam_state *state) {
    int known = find_asyncio(module, state);
    if (known <= 0) {
        return known;
    }
    state->coroutine_types = PySet_New(NULL);
    state->kw_context = PyTuple_Pack(1, state->str_context);
    if (state->coroutine_types == NULL || state->kw_context == NULL ||
        cam_task_step_exec(module, state) < 0) {
        return -1;
    }
    state->drives_tasks = true;
    return 0;
}
