/* SPDX-License-Identifier: MIT */
/* Watched descriptors: add_reader/add_writer for Python, CamIo for the C transports. */
#include "compat.h"
#include "loop/loop.h"
#include "loop/readiness.h"

#include "args.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { FIRST_CAPACITY = 64, LARGE_CAPACITY = 1024 };

static uint64_t token_of(int fd, uint32_t generation) {
    return (uint64_t)generation << 32 | (uint32_t)fd;
}

/* The entry of a descriptor, made if need be; NULL with MemoryError, or with OSError for a number
 * that is none: the table must not grow to whatever is asked for. */
static CamWatch *watch_reserve(LoopObject *loop, int fd) {
    if (fd >= loop->watch_capacity) {
        if (fcntl(fd, F_GETFD) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return NULL;
        }
        int capacity = loop->watch_capacity ? loop->watch_capacity : FIRST_CAPACITY;
        while (capacity <= fd) {
            capacity = capacity > INT_MAX / 2 ? INT_MAX : capacity * 2;
        }
        CamWatch *watches = PyMem_Realloc(loop->watches, (size_t)capacity * sizeof(CamWatch));
        if (watches == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        memset(watches + loop->watch_capacity, 0,
               (size_t)(capacity - loop->watch_capacity) * sizeof(CamWatch));
        for (int i = loop->watch_capacity; i < capacity; i++) {
            watches[i].generation = loop->lost_generation;
        }
        loop->watches = watches;
        loop->watch_capacity = capacity;
    }
    return &loop->watches[fd];
}

static bool is_in_use(const CamWatch *watch) {
    return watch->interest != 0 || watch->reader != NULL || watch->writer != NULL ||
           watch->kept != NULL || watch->io != NULL;
}

bool CamWatch_Shrink(LoopObject *loop) {
    int used = loop->watch_capacity;
    if (used <= LARGE_CAPACITY ||
        (loop->watch_top > 0 && is_in_use(&loop->watches[loop->watch_top]))) {
        return false; /* not worth it; or what was in the way the last time still is */
    }
    while (used > 0 && !is_in_use(&loop->watches[used - 1])) {
        used--;
    }
    int capacity = FIRST_CAPACITY;
    while (capacity < used) {
        capacity = capacity > INT_MAX / 2 ? INT_MAX : capacity * 2;
    }
    if (capacity >= loop->watch_capacity) {
        loop->watch_top = used - 1;
        return false;
    }
    loop->watch_top = 0;
    for (int i = capacity; i < loop->watch_capacity; i++) {
        if (loop->watches[i].generation > loop->lost_generation) {
            loop->lost_generation = loop->watches[i].generation;
        }
    }
    loop->watch_capacity = capacity;
    CamWatch *watches = PyMem_Realloc(loop->watches, (size_t)capacity * sizeof(CamWatch));
    if (watches == NULL) {
        return false; /* it stays as large as it was, unused */
    }
    loop->watches = watches;
    return true;
}

static CamWatch *watch_find(LoopObject *loop, int fd) {
    return fd >= 0 && fd < loop->watch_capacity ? &loop->watches[fd] : NULL;
}

/* Brings loop->watch_count and loop->doubted up to date after a change of the entry. What is kept
 * for the next wait counts for nothing: the loop need not look at the poller for its sake. */
static void watch_recount(LoopObject *loop, CamWatch *watch) {
    bool awaited = watch->reader != NULL || watch->writer != NULL;
    bool counts = watch->interest != 0 && (watch->kept == NULL || awaited);
    loop->watch_count += counts - watch->counted;
    watch->counted = counts;
    if (watch->doubted && !counts) {
        watch->doubted = false;
        loop->doubted--;
    }
}

static void watch_trust(LoopObject *loop, CamWatch *watch) {
    loop->doubted -= watch->doubted;
    watch->doubted = false;
}

/* Stops watching; never fails. Runs no user code. */
static void watch_stop(LoopObject *loop, CamWatch *watch, int fd) {
    Py_CLEAR(watch->kept); /* a weak reference without a callback: no user code */
    if (watch->interest != 0) {
        watch->interest = 0;
        if (!CamLoop_IsForeign(loop)) {
            cam_poll_unset(&loop->poll, fd);
        }
    }
    watch_recount(loop, watch);
}

/* Tells the poller even what it should know, unless it is the parent's of this process; 0 or
 * negative errno. `kept` is a weak reference to the socket for which to register edge-triggered
 * (stolen, also on failure), or NULL. Runs no user code. */
static int watch_set(LoopObject *loop, CamWatch *watch, int fd, uint32_t interest, PyObject *kept,
                     bool anew) {
    int known = watch->interest != 0;
    uint32_t generation = known && !anew ? watch->generation : watch->generation + 1;
    int error = 0;
    if (!CamLoop_IsForeign(loop)) {
        error = cam_poll_set(&loop->poll, fd, interest | (kept ? CAM_POLL_EDGE : 0),
                             token_of(fd, generation), known);
    }
    if (error < 0) {
        Py_XDECREF(kept);
        return error;
    }
    Py_XSETREF(watch->kept, kept);
    watch->generation = generation;
    watch->interest = interest;
    watch_trust(loop, watch);
    watch_recount(loop, watch);
    return 0;
}

/* Tells the poller what has changed of a level-triggered entry; 0 or negative errno. Runs no user
 * code. */
static int watch_update(LoopObject *loop, CamWatch *watch, int fd, uint32_t interest) {
    if (interest == watch->interest && watch->kept == NULL) {
        return 0;
    }
    if (interest == 0) {
        watch_stop(loop, watch, fd);
        return 0;
    }
    return watch_set(loop, watch, fd, interest, NULL, watch->kept != NULL);
}

static int raise_errno(int error) {
    errno = -error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static bool is_handle(LoopObject *loop, PyObject *watcher) {
    return watcher != NULL && Py_TYPE(watcher) == (PyTypeObject *)loop->state->handle_type;
}

/* Ends a watcher taken out of its place and drops it. Runs user code. */
static int drop_watcher(LoopObject *loop, PyObject *watcher) {
    int status = 0;
    if (watcher != NULL) {
        if (is_handle(loop, watcher)) {
            status = CamHandle_Cancel((HandleObject *)watcher);
        } else {
            ((ReadinessObject *)watcher)->watched = false;
        }
        Py_DECREF(watcher);
    }
    return status;
}

/* Queues what a watcher does when its descriptor is ready. */
static int queue_watcher(LoopObject *loop, PyObject *watcher) {
    return CamLoop_Enqueue(loop, is_handle(loop, watcher) ? NULL : CamReadiness_Wake, watcher);
}

static uint32_t awaited_sides(const CamWatch *watch) {
    return (watch->reader ? CAM_POLL_IN : 0) | (watch->writer ? CAM_POLL_OUT : 0);
}

/* What the watch was asked for by, once no handle is left in it; else NULL. */
static PyObject *take_file(LoopObject *loop, CamWatch *watch) {
    if (is_handle(loop, watch->reader) || is_handle(loop, watch->writer)) {
        return NULL;
    }
    PyObject *file = watch->file;
    watch->file = NULL;
    return file;
}

/* Takes the C owner out of a watch; returns the loop's reference to it, NULL when it had none. */
static PyObject *forget_io(CamWatch *watch) {
    CamIo *io = watch->io;
    PyObject *owner = io->interest != 0 ? io->owner : NULL;
    io->interest = 0;
    watch->io = NULL;
    return owner;
}

int CamLoop_WatchIo(LoopObject *loop, CamIo *io, uint32_t interest) {
    if (CamLoop_CheckUsable(loop) < 0) {
        return -1;
    }
    CamWatch *watch = watch_reserve(loop, io->fd);
    if (watch == NULL) {
        return -1;
    }
    PyObject *reader = watch->reader;
    PyObject *writer = watch->writer;
    watch->reader = NULL;
    watch->writer = NULL;
    PyObject *file = take_file(loop, watch);
    PyObject *former = NULL;
    if (watch->io != NULL && watch->io != io) {
        /* The number was closed behind its owner's back and opened again. */
        former = forget_io(watch);
        (void)watch_update(loop, watch, io->fd, 0);
    }
    watch->io = io;
    /* Where the number was left behind by add_reader, the poller may have lost it since. */
    bool stale = (reader != NULL || writer != NULL) && interest != 0;
    int error = stale ? watch_set(loop, watch, io->fd, interest, NULL, true)
                      : watch_update(loop, watch, io->fd, interest);
    watch_recount(loop, watch);
    PyObject *unwatched = NULL;
    if (error == 0) {
        if (io->interest == 0 && interest != 0) {
            Py_INCREF(io->owner);
        } else if (io->interest != 0 && interest == 0) {
            unwatched = io->owner;
        }
        io->interest = interest;
    }
    /* From here on user code may run and the table may move. */
    Py_XDECREF(unwatched);
    Py_XDECREF(former);
    Py_XDECREF(file);
    if (drop_watcher(loop, reader) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        (void)drop_watcher(loop, writer);
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
        return -1;
    }
    if (drop_watcher(loop, writer) < 0) {
        return -1;
    }
    return error < 0 ? raise_errno(error) : 0;
}

void CamLoop_UnwatchIo(LoopObject *loop, CamIo *io) {
    CamWatch *watch = watch_find(loop, io->fd);
    if (watch == NULL || watch->io != io) {
        return;
    }
    (void)watch_update(loop, watch, io->fd, 0);
    Py_XDECREF(forget_io(watch)); /* not the last: the caller has one */
}

bool CamLoop_IsWatched(LoopObject *loop, int fd) {
    CamWatch *watch = watch_find(loop, fd);
    return watch != NULL && (watch->io != NULL || watch->reader != NULL || watch->writer != NULL);
}

int CamWatch_Dispatch(LoopObject *loop, const cam_poll_event *event) {
    int fd = (int)(uint32_t)event->token;
    uint32_t generation = (uint32_t)(event->token >> 32);
    CamWatch *watch = watch_find(loop, fd);
    if (watch == NULL || watch->generation != generation || watch->interest == 0) {
        return 0;
    }
    uint32_t ready = event->ready & watch->interest;
    if (watch->io != NULL) {
        CamIo *io = watch->io;
        if ((ready & CAM_POLL_IN) && CamLoop_Enqueue(loop, io->readable, io->owner) < 0) {
            return -1;
        }
        if ((ready & CAM_POLL_OUT) && CamLoop_Enqueue(loop, io->writable, io->owner) < 0) {
            return -1;
        }
        return 0;
    }
    watch_trust(loop, watch);
    if ((ready & CAM_POLL_IN) && watch->reader != NULL && queue_watcher(loop, watch->reader) < 0) {
        return -1;
    }
    if ((ready & CAM_POLL_OUT) && watch->writer != NULL && queue_watcher(loop, watch->writer) < 0) {
        return -1;
    }
    uint32_t awaited = awaited_sides(watch);
    if (watch->kept != NULL && (ready & ~awaited)) {
        /* Kept for a wait that has not come: whoever the data is for is busy. */
        if (awaited == 0 ||
            watch_set(loop, watch, fd, awaited, Py_NewRef(watch->kept), false) < 0) {
            watch_stop(loop, watch, fd);
        }
    }
    return 0;
}

void CamWatch_Verify(LoopObject *loop) {
    for (int fd = 0; loop->doubted > 0 && fd < loop->watch_capacity; fd++) {
        CamWatch *watch = &loop->watches[fd];
        if (watch->doubted) {
            (void)watch_set(loop, watch, fd, watch->interest, Py_NewRef(watch->kept), false);
            watch_trust(loop, watch);
        }
    }
}

int CamWatch_Traverse(LoopObject *loop, visitproc visit, void *arg) {
    for (int fd = 0; fd < loop->watch_capacity; fd++) {
        CamIo *io = loop->watches[fd].io;
        if (io != NULL && io->interest != 0) {
            Py_VISIT(io->owner);
        }
        Py_VISIT(loop->watches[fd].file);
        PyObject *pair[] = {loop->watches[fd].reader, loop->watches[fd].writer};
        for (int i = 0; i < 2; i++) {
            Py_VISIT(pair[i]);
            if (is_handle(loop, pair[i]) && Py_REFCNT(pair[i]) == 1) {
                int status = CamHandle_Visit((HandleObject *)pair[i], visit, arg);
                if (status) {
                    return status;
                }
            }
        }
    }
    return 0;
}

void CamWatch_Clear(LoopObject *loop) {
    CamWatch *watches = loop->watches;
    int capacity = loop->watch_capacity;
    loop->watches = NULL;
    loop->watch_capacity = 0;
    loop->watch_count = 0;
    loop->doubted = 0;
    /* First those that the loop holds no reference to: they may die with what is dropped below. */
    for (int fd = 0; fd < capacity; fd++) {
        if (watches[fd].io != NULL && watches[fd].io->interest == 0) {
            watches[fd].io = NULL;
        }
    }
    for (int fd = 0; fd < capacity; fd++) {
        if (watches[fd].io != NULL) {
            Py_XDECREF(forget_io(&watches[fd]));
        }
        PyObject *pair[] = {watches[fd].reader, watches[fd].writer};
        for (int i = 0; i < 2; i++) {
            if (is_handle(loop, pair[i])) {
                CamHandle_Finish((HandleObject *)pair[i]);
            } else if (pair[i] != NULL) {
                ((ReadinessObject *)pair[i])->watched = false;
            }
            Py_XDECREF(pair[i]);
        }
        Py_XDECREF(watches[fd].kept);
        Py_XDECREF(watches[fd].file);
    }
    PyMem_Free(watches);
}

/* ---- add_reader and its kin ---- */

static PyObject **side_of(CamWatch *watch, uint32_t side) {
    return side == CAM_POLL_IN ? &watch->reader : &watch->writer;
}

/* The number that an int or an object with fileno() has, with asyncio's ValueError for what is
 * neither; a closed file's may be negative. 0, or -1 with an exception. May run user code. */
static int number_of(PyObject *file, int *fd) {
    PyObject *number;
    if (PyLong_Check(file)) {
        number = Py_NewRef(file);
    } else {
        PyObject *told = PyObject_CallMethod(file, "fileno", NULL);
        number = told ? PyNumber_Long(told) : NULL;
        Py_XDECREF(told);
        if (number == NULL) {
            if (PyErr_ExceptionMatches(PyExc_AttributeError) ||
                PyErr_ExceptionMatches(PyExc_TypeError) ||
                PyErr_ExceptionMatches(PyExc_ValueError)) {
                PyErr_Clear();
                PyErr_Format(PyExc_ValueError, "Invalid file object: %R", file);
            }
            return -1;
        }
    }
    long value = PyLong_AsLong(number);
    Py_DECREF(number);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value > INT_MAX || value < INT_MIN) {
        PyErr_SetString(PyExc_OverflowError, "the descriptor's number is too large");
        return -1;
    }
    *fd = (int)value;
    return 0;
}

static void *raise_invalid(int fd) {
    PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %d", fd);
    return NULL;
}

/* The number under which a file is watched that was closed meanwhile; -1 if it is not. */
static int number_of_closed(LoopObject *loop, PyObject *file) {
    for (int fd = 0; fd < loop->watch_capacity; fd++) {
        if (loop->watches[fd].file == file) {
            return fd;
        }
    }
    return -1;
}

/* Refuses a descriptor that belongs to a live transport, as asyncio does; `file` is what it was
 * given as, or NULL for its number. */
static int check_not_transport(LoopObject *loop, int fd, PyObject *file) {
    CamWatch *watch = watch_find(loop, fd);
    if (watch == NULL || watch->io == NULL) {
        return 0;
    }
    PyObject *owner = Py_NewRef(watch->io->owner);
    PyObject *shown = file ? Py_NewRef(file) : PyLong_FromLong(fd);
    if (shown != NULL) {
        PyErr_Format(PyExc_RuntimeError, "File descriptor %R is used by transport %R", shown,
                     owner);
        Py_DECREF(shown);
    }
    Py_DECREF(owner);
    return -1;
}

/* `context` as CamHandle_New takes it. */
static PyObject *watch_add(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *context, uint32_t side) {
    if (CamLoop_CheckUsable(loop) < 0) {
        return NULL;
    }
    int fd;
    if (number_of(args[0], &fd) < 0 || check_not_transport(loop, fd, args[0]) < 0) {
        return NULL;
    }
    if (fd < 0) {
        return raise_invalid(fd);
    }
    HandleObject *handle = CamHandle_New(loop, args[1], args + 2, nargs - 2, context);
    if (handle == NULL) {
        return NULL;
    }
    handle->repeats = true;
    CamWatch *watch = watch_reserve(loop, fd);
    if (watch == NULL) {
        Py_DECREF(handle);
        return NULL;
    }
    /* The poller is told even when the side was watched already: whoever owns the descriptor may
     * have closed it meanwhile, and the number is another file's now (libpq does so). */
    bool anew = (watch->interest & side) != 0 || watch->kept != NULL;
    int error = watch_set(loop, watch, fd, awaited_sides(watch) | side, NULL, anew);
    if (error < 0) {
        Py_DECREF(handle);
        raise_errno(error);
        return NULL;
    }
    PyObject **slot = side_of(watch, side);
    PyObject *old = *slot;
    *slot = Py_NewRef(handle);
    if (!PyLong_Check(args[0])) {
        Py_XSETREF(watch->file, Py_NewRef(args[0]));
    }
    if (drop_watcher(loop, old) < 0) {
        Py_DECREF(handle);
        return NULL;
    }
    return (PyObject *)handle;
}

/* A side has no watcher any more. */
static void side_left(LoopObject *loop, CamWatch *watch, int fd) {
    if (watch->kept != NULL) {
        watch_recount(loop, watch);
    } else if (watch_update(loop, watch, fd, awaited_sides(watch)) < 0) {
        watch_stop(loop, watch, fd); /* closed already: the poller has forgotten it by itself */
    }
}

static PyObject *watch_remove(LoopObject *loop, PyObject *file, uint32_t side) {
    int fd;
    if (number_of(file, &fd) < 0) {
        return NULL;
    }
    if (loop->closed) {
        Py_RETURN_FALSE;
    }
    if (fd < 0) {
        int closed = number_of_closed(loop, file);
        if (closed < 0) {
            return raise_invalid(fd);
        }
        fd = closed;
    }
    CamWatch *watch = watch_find(loop, fd);
    if (watch == NULL || watch->io != NULL || *side_of(watch, side) == NULL) {
        Py_RETURN_FALSE;
    }
    PyObject *old = *side_of(watch, side);
    *side_of(watch, side) = NULL;
    PyObject *last = take_file(loop, watch);
    side_left(loop, watch, fd);
    int status = drop_watcher(loop, old); /* from here on the table may move */
    if (status < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_XDECREF(last);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    Py_XDECREF(last);
    Py_RETURN_TRUE;
}

/* ---- sock_recv and its kin ---- */

/* True when `sock` is what was registered edge-triggered. */
static bool is_kept_for(const CamWatch *watch, PyObject *sock) {
    if (watch->kept == NULL) {
        return false;
    }
    PyObject *registered = CamCompat_WeakrefTarget(watch->kept);
    bool same = registered == sock;
    Py_XDECREF(registered);
    return same;
}

/* What is to be kept for `sock` where nothing is yet: a weak reference to it, else NULL, without an
 * exception. Making one may run the garbage collector (before 3.12), hence user code: no pointer
 * into the table may be held. */
static PyObject *make_kept(LoopObject *loop, int fd, PyObject *sock) {
    CamWatch *watch = watch_find(loop, fd);
    if (watch != NULL && is_kept_for(watch, sock)) {
        return NULL;
    }
    PyObject *kept = PyWeakref_NewRef(sock, NULL);
    if (kept == NULL) {
        PyErr_Clear(); /* of a type without weak references: nothing can be kept for it */
    }
    return kept;
}

/* Registers fd for a Readiness on `side`; 0 or negative errno. `kept` is make_kept()'s, stolen. No
 * user code. */
static int watch_for_wait(LoopObject *loop, CamWatch *watch, int fd, uint32_t side, PyObject *sock,
                          PyObject *kept, bool drained) {
    PyObject *other = side == CAM_POLL_IN ? watch->writer : watch->reader;
    uint32_t awaited = awaited_sides(watch) | side;
    if (is_handle(loop, other)) {
        Py_XDECREF(kept);
        return watch_set(loop, watch, fd, awaited, NULL, true); /* it wants to be told every turn */
    }
    if (!is_kept_for(watch, sock)) {
        return watch_set(loop, watch, fd, awaited, kept, true);
    }
    Py_XDECREF(kept);
    if (drained && (watch->interest & side)) {
        loop->doubted += !watch->doubted;
        watch->doubted = true;
        return 0;
    }
    return watch_set(loop, watch, fd, watch->interest | side, Py_NewRef(watch->kept), false);
}

int CamWatch_Wait(LoopObject *loop, PyObject *readiness, int fd, uint32_t side, PyObject *sock,
                  bool drained) {
    PyObject *kept = make_kept(loop, fd, sock);
    if (CamLoop_CheckUsable(loop) < 0 || check_not_transport(loop, fd, NULL) < 0) {
        Py_XDECREF(kept);
        return -1;
    }
    if (fd < 0) {
        Py_XDECREF(kept);
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %d", fd);
        return -1;
    }
    CamWatch *watch = watch_reserve(loop, fd);
    if (watch == NULL) {
        Py_XDECREF(kept);
        return -1;
    }
    int error = watch_for_wait(loop, watch, fd, side, sock, kept, drained);
    if (error < 0) {
        return raise_errno(error);
    }
    PyObject **slot = side_of(watch, side);
    PyObject *old = *slot;
    *slot = Py_NewRef(readiness);
    ((ReadinessObject *)readiness)->watched = true;
    watch_recount(loop, watch);
    Py_XDECREF(take_file(loop, watch)); /* may run user code: the table may move */
    return drop_watcher(loop, old);
}

void CamWatch_EndWait(LoopObject *loop, PyObject *readiness, int fd, uint32_t side) {
    CamWatch *watch = watch_find(loop, fd);
    if (watch == NULL || *side_of(watch, side) != readiness) {
        return;
    }
    *side_of(watch, side) = NULL;
    ((ReadinessObject *)readiness)->watched = false;
    side_left(loop, watch, fd);
    Py_DECREF(readiness); /* not the last: the caller has one */
}

#define RETURN_NONE_FOR(expression)                                                                \
    PyObject *result = (expression);                                                               \
    if (result == NULL) {                                                                          \
        return NULL;                                                                               \
    }                                                                                              \
    Py_DECREF(result);                                                                             \
    Py_RETURN_NONE

static const char *const add_parameters[] = {"fd", "callback", NULL};
static const char *const remove_parameters[] = {"fd", NULL};

/* No keywords but those that CamArgs_ByName puts in place. */
static int check_no_keywords(const char *name, PyObject *kwnames) {
    if (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", name,
                     PyTuple_GET_ITEM(kwnames, 0));
        return -1;
    }
    return 0;
}

static PyObject *loop_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    if (nargs < 2) {
        return CamArgs_ByName(loop_add_reader, "add_reader", add_parameters, self, args, nargs,
                              kwnames);
    }
    if (check_no_keywords("add_reader", kwnames) < 0) {
        return NULL;
    }
    RETURN_NONE_FOR(watch_add((LoopObject *)self, args, nargs, NULL, CAM_POLL_IN));
}

static PyObject *loop_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    if (nargs < 2) {
        return CamArgs_ByName(loop_add_writer, "add_writer", add_parameters, self, args, nargs,
                              kwnames);
    }
    if (check_no_keywords("add_writer", kwnames) < 0) {
        return NULL;
    }
    RETURN_NONE_FOR(watch_add((LoopObject *)self, args, nargs, NULL, CAM_POLL_OUT));
}

/* What asyncio's own transports call; from 3.15 on they name the context. */
static PyObject *private_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames, uint32_t side, const char *name) {
    LoopObject *loop = (LoopObject *)self;
    PyObject *context;
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes a file descriptor and a callback", name);
        return NULL;
    }
    if (CamLoop_ParseContext(loop->state, name, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    return watch_add(loop, args, nargs, context, side);
}

static PyObject *loop_private_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                         PyObject *kwnames) {
    return private_add(self, args, nargs, kwnames, CAM_POLL_IN, "_add_reader");
}

static PyObject *loop_private_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                         PyObject *kwnames) {
    return private_add(self, args, nargs, kwnames, CAM_POLL_OUT, "_add_writer");
}

static PyObject *watch_remove_checked(LoopObject *loop, const char *name, PyObject *const *args,
                                      Py_ssize_t nargs, PyObject *kwnames, uint32_t side) {
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes 1 argument but %zd were given", name, nargs);
        return NULL;
    }
    if (check_no_keywords(name, kwnames) < 0) {
        return NULL;
    }
    int fd;
    if (number_of(args[0], &fd) < 0 || check_not_transport(loop, fd, args[0]) < 0) {
        return NULL;
    }
    return watch_remove(loop, args[0], side);
}

static PyObject *loop_remove_reader(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames) {
    if (nargs < 1) {
        return CamArgs_ByName(loop_remove_reader, "remove_reader", remove_parameters, self, args,
                              nargs, kwnames);
    }
    return watch_remove_checked((LoopObject *)self, "remove_reader", args, nargs, kwnames,
                                CAM_POLL_IN);
}

static PyObject *loop_remove_writer(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames) {
    if (nargs < 1) {
        return CamArgs_ByName(loop_remove_writer, "remove_writer", remove_parameters, self, args,
                              nargs, kwnames);
    }
    return watch_remove_checked((LoopObject *)self, "remove_writer", args, nargs, kwnames,
                                CAM_POLL_OUT);
}

static PyObject *loop_private_remove_reader(PyObject *self, PyObject *file) {
    return watch_remove((LoopObject *)self, file, CAM_POLL_IN);
}

static PyObject *loop_private_remove_writer(PyObject *self, PyObject *file) {
    return watch_remove((LoopObject *)self, file, CAM_POLL_OUT);
}

static PyObject *loop_ensure_fd_no_transport(PyObject *self, PyObject *file) {
    int fd;
    if (number_of(file, &fd) < 0 || check_not_transport((LoopObject *)self, fd, file) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(interest_doc, "_interest($self, fd, /)\n--\n\n"
                           "What fd is watched for: 1 reading, 2 writing, 3 both, 0 nothing.");

static PyObject *loop_interest(PyObject *self, PyObject *file) {
    int fd = PyObject_AsFileDescriptor(file);
    if (fd < 0) {
        return NULL;
    }
    CamWatch *watch = watch_find((LoopObject *)self, fd);
    if (watch == NULL) {
        return PyLong_FromLong(0);
    }
    return PyLong_FromUnsignedLong(watch->io ? watch->interest : awaited_sides(watch));
}

PyDoc_STRVAR(add_reader_doc,
             "add_reader($self, fd, callback, *args)\n--\n\n"
             "Call callback(*args) whenever fd (int or object with fileno()) can be read.\n\n"
             "The descriptor stays the caller's. RuntimeError when a transport owns it.");
PyDoc_STRVAR(add_writer_doc, "add_writer($self, fd, callback, *args)\n--\n\n"
                             "Call callback(*args) whenever fd can be written; see add_reader().");
PyDoc_STRVAR(remove_reader_doc, "remove_reader($self, fd)\n--\n\n"
                                "Stop watching fd for reading; True if it was watched.");
PyDoc_STRVAR(remove_writer_doc, "remove_writer($self, fd)\n--\n\n"
                                "Stop watching fd for writing; True if it was watched.");

PyMethodDef cam_watch_methods[] = {
    {"add_reader", (PyCFunction)(void (*)(void))loop_add_reader, METH_FASTCALL | METH_KEYWORDS,
     add_reader_doc},
    {"add_writer", (PyCFunction)(void (*)(void))loop_add_writer, METH_FASTCALL | METH_KEYWORDS,
     add_writer_doc},
    {"remove_reader", (PyCFunction)(void (*)(void))loop_remove_reader,
     METH_FASTCALL | METH_KEYWORDS, remove_reader_doc},
    {"remove_writer", (PyCFunction)(void (*)(void))loop_remove_writer,
     METH_FASTCALL | METH_KEYWORDS, remove_writer_doc},
    {"_add_reader", (PyCFunction)(void (*)(void))loop_private_add_reader,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_add_writer", (PyCFunction)(void (*)(void))loop_private_add_writer,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_remove_reader", loop_private_remove_reader, METH_O, NULL},
    {"_remove_writer", loop_private_remove_writer, METH_O, NULL},
    {"_interest", loop_interest, METH_O, interest_doc},
    {"_ensure_fd_no_transport", loop_ensure_fd_no_transport, METH_O, NULL},
    {NULL},
};
