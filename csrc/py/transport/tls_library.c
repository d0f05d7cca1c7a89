/* SPDX-License-Identifier: MIT */
#include "transport/tls_library.h"

#include "compat.h"
#include "transport/tls.h"

#include <limits.h>

/* ---- the window ---- */

/* A buffer object that is pointed at memory for the length of one call, so that ssl can read into
 * and write from memory that no Python object owns. Only methods written in C are given it: they
 * keep no buffer. */
typedef struct WindowObject {
    PyObject_HEAD
    char *data;
    Py_ssize_t size;
} WindowObject;

static int window_get_buffer(PyObject *self, Py_buffer *view, int flags) {
    WindowObject *window = (WindowObject *)self;
    return PyBuffer_FillInfo(view, self, window->data, window->size, 0, flags);
}

static void window_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot window_slots[] = {
    {Py_tp_doc, "Memory that a TLS connection lends to the ssl module for one call."},
    {Py_tp_dealloc, window_dealloc},
    {Py_bf_getbuffer, window_get_buffer},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "camshaft._core._TlsWindow",
    .basicsize = sizeof(WindowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

int cam_tls_window_exec(PyObject *module, cam_state *state) {
    return CamState_AddType(module, &window_spec, NULL, 0, &state->tls_window_type);
}

static PyObject *point_window(CamTlsPool *pool, const char *data, size_t size) {
    WindowObject *window = (WindowObject *)pool->window;
    window->data = (char *)data;
    window->size = size < INT_MAX ? (Py_ssize_t)size : INT_MAX;
    return pool->window;
}

/* ---- the pool ---- */

static void free_pool(CamTlsPool *pool) {
    if (pool != NULL) {
        Py_XDECREF(pool->read_args);
        Py_XDECREF(pool->window);
        PyMem_Free(pool->buffer);
        PyMem_Free(pool);
    }
}

CamTlsPool *cam_tls_pool(LoopObject *loop) {
    if (loop->tls_pool != NULL) {
        return loop->tls_pool;
    }
    CamTlsPool *pool = PyMem_Calloc(1, sizeof(CamTlsPool));
    if (pool == NULL || (pool->buffer = PyMem_Malloc(CAM_TLS_BUFFER)) == NULL) {
        free_pool(pool);
        PyErr_NoMemory();
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)loop->state->tls_window_type;
    pool->window = type->tp_alloc(type, 0);
    pool->read_args = pool->window ? Py_BuildValue("(iO)", 0, pool->window) : NULL;
    if (pool->read_args == NULL) {
        free_pool(pool);
        return NULL;
    }
    loop->tls_pool = pool;
    return pool;
}

void CamTls_FreePool(LoopObject *loop) {
    CamTlsPool *pool = loop->tls_pool;
    loop->tls_pool = NULL;
    if (pool != NULL && pool->users > 0) {
        pool->orphaned = true; /* closed from inside a call of the application: see give_back */
    } else {
        free_pool(pool);
    }
}

char *cam_tls_borrow(CamTlsPool *pool, size_t size) {
    char *buffer = pool->buffer;
    if (!pool->busy && size <= CAM_TLS_BUFFER) {
        pool->busy = true;
    } else if ((buffer = PyMem_Malloc(size)) == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    pool->users++;
    return buffer;
}

void cam_tls_give_back(CamTlsPool *pool, char *buffer) {
    if (buffer == pool->buffer) {
        pool->busy = false;
    } else {
        PyMem_Free(buffer);
    }
    if (--pool->users == 0 && pool->orphaned) {
        free_pool(pool);
    }
}

/* ---- the ssl module ---- */

static int import_from(const char *module_name, const char *name, PyObject **object) {
    PyObject *module = PyImport_ImportModule(module_name);
    *object = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return *object ? 0 : -1;
}

/* Looks a method of a type in C up. Whatever else it should be one day is called through Python. */
static int find_method(PyObject *type, const char *name, cam_tls_method *method) {
    method->descriptor = PyObject_GetAttrString(type, name);
    if (method->descriptor == NULL) {
        return -1;
    }
    if (Py_IS_TYPE(method->descriptor, &PyMethodDescr_Type)) {
        PyMethodDef *definition = ((PyMethodDescrObject *)method->descriptor)->d_method;
        method->function = definition->ml_meth;
        method->flags = definition->ml_flags;
    }
    return 0;
}

static int load(cam_tls_library *library) {
    if (import_from("ssl", "SSLContext", &library->context_class) < 0 ||
        import_from("ssl", "SSLObject", &library->object_class) < 0 ||
        import_from("_ssl", "_SSLSocket", &library->socket_class) < 0 ||
        import_from("ssl", "MemoryBIO", &library->bio_class) < 0 ||
        import_from("ssl", "SSLError", &library->error) < 0 ||
        import_from("ssl", "SSLWantReadError", &library->want_read) < 0 ||
        import_from("ssl", "SSLSyscallError", &library->syscall_error) < 0 ||
        import_from("ssl", "CertificateError", &library->certificate_error) < 0 ||
        import_from("asyncio", "CancelledError", &library->cancelled_error) < 0 ||
        import_from("asyncio.sslproto", "_create_transport_context", &library->default_context) <
            0) {
        return -1;
    }
    PyObject *modes;
    if (import_from("asyncio.constants", "_SendfileMode", &modes) < 0) {
        return -1;
    }
    library->fallback = PyObject_GetAttrString(modes, "FALLBACK");
    Py_DECREF(modes);
    library->bio_pending = PyObject_GetAttrString(library->bio_class, "pending");
    return library->fallback == NULL || library->bio_pending == NULL ||
                   find_method(library->socket_class, "read", &library->read) < 0 ||
                   find_method(library->socket_class, "write", &library->write) < 0 ||
                   find_method(library->socket_class, "do_handshake", &library->do_handshake) < 0 ||
                   find_method(library->socket_class, "shutdown", &library->shutdown) < 0 ||
                   find_method(library->bio_class, "read", &library->bio_read) < 0 ||
                   find_method(library->bio_class, "write", &library->bio_write) < 0
               ? -1
               : 0;
}

/* Calls visit(&member) for every object that is held. */
#define EACH_OBJECT(library, VISIT)                                                                \
    VISIT((library)->context_class);                                                               \
    VISIT((library)->object_class);                                                                \
    VISIT((library)->socket_class);                                                                \
    VISIT((library)->bio_class);                                                                   \
    VISIT((library)->error);                                                                       \
    VISIT((library)->want_read);                                                                   \
    VISIT((library)->syscall_error);                                                               \
    VISIT((library)->certificate_error);                                                           \
    VISIT((library)->cancelled_error);                                                             \
    VISIT((library)->default_context);                                                             \
    VISIT((library)->fallback);                                                                    \
    VISIT((library)->bio_pending);                                                                 \
    VISIT((library)->read.descriptor);                                                             \
    VISIT((library)->write.descriptor);                                                            \
    VISIT((library)->do_handshake.descriptor);                                                     \
    VISIT((library)->shutdown.descriptor);                                                         \
    VISIT((library)->bio_read.descriptor);                                                         \
    VISIT((library)->bio_write.descriptor)

int cam_tls_traverse(cam_state *state, visitproc visit, void *arg) {
    EACH_OBJECT(&state->tls, Py_VISIT);
    return 0;
}

void cam_tls_free(cam_state *state) {
    EACH_OBJECT(&state->tls, Py_CLEAR);
    state->tls.loaded = false;
}

int cam_tls_load(cam_state *state) {
    if (state->tls.loaded) {
        return 0;
    }
    if (load(&state->tls) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        cam_tls_free(state);
        PyErr_SetRaisedException(exception);
        if (PyErr_ExceptionMatches(PyExc_ImportError)) {
            PyErr_SetString(PyExc_RuntimeError, "stdlib ssl module not available");
        }
        return -1;
    }
    state->tls.loaded = true;
    return 0;
}

/* True when the object's class replaces a method of ssl.SSLObject; -1 with an exception. */
static int overrides(cam_state *state, PyObject *object, const char *name) {
    PyObject *own = PyObject_GetAttrString((PyObject *)Py_TYPE(object), name);
    PyObject *stock = own ? PyObject_GetAttrString(state->tls.object_class, name) : NULL;
    int differ = stock ? own != stock : -1;
    Py_XDECREF(own);
    Py_XDECREF(stock);
    return differ;
}

/* Decides what of the SSLObject is called directly. */
static int look_inside(TlsObject *tls) {
    cam_state *state = tls->state;
    PyObject *object = tls->ssl_object;
    tls->own_read = tls->own_write = tls->own_handshake = tls->own_unwrap = true;
    if (!PyObject_TypeCheck(object, (PyTypeObject *)state->tls.object_class)) {
        return 0;
    }
    PyObject *inner = PyObject_GetAttrString(object, "_sslobj");
    if (inner == NULL) {
        PyErr_Clear();
        return 0;
    }
    if (!Py_IS_TYPE(inner, (PyTypeObject *)state->tls.socket_class)) {
        Py_DECREF(inner);
        return 0;
    }
    tls->ssl_socket = inner;
    bool *const own[] = {&tls->own_read, &tls->own_write, &tls->own_handshake, &tls->own_unwrap};
    static const char *const names[] = {"read", "write", "do_handshake", "unwrap"};
    bool stock = Py_IS_TYPE(object, (PyTypeObject *)state->tls.object_class);
    for (int i = 0; i < 4; i++) {
        int differs = stock ? 0 : overrides(state, object, names[i]);
        if (differs < 0) {
            return -1;
        }
        *own[i] = differs;
    }
    return 0;
}

int cam_tls_wrap(TlsObject *tls, int server_side, PyObject *server_hostname) {
    PyObject *bio_class = tls->state->tls.bio_class;
    if ((tls->incoming = PyObject_CallNoArgs(bio_class)) == NULL ||
        (tls->outgoing = PyObject_CallNoArgs(bio_class)) == NULL) {
        return -1;
    }
    PyObject *method = PyObject_GetAttrString(tls->ssl_context, "wrap_bio");
    PyObject *args = Py_BuildValue("(OO)", tls->incoming, tls->outgoing);
    PyObject *keywords = Py_BuildValue("{sOsO}", "server_side", server_side ? Py_True : Py_False,
                                       "server_hostname", server_hostname);
    if (method != NULL && args != NULL && keywords != NULL) {
        tls->ssl_object = PyObject_Call(method, args, keywords);
    }
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(keywords);
    return tls->ssl_object != NULL ? look_inside(tls) : -1;
}

/* ---- calls ---- */

/* object.method(argument), or without one when it is NULL; both outlive the call. */
static PyObject *call_held(const cam_tls_method *method, PyObject *object, PyObject *argument) {
    switch (method->flags) {
    case METH_NOARGS:
        if (argument == NULL) {
            return method->function(object, NULL);
        }
        break;
    case METH_O:
        if (argument != NULL) {
            return method->function(object, argument);
        }
        break;
    case METH_FASTCALL: {
        typedef PyObject *(*fast)(PyObject *, PyObject *const *, Py_ssize_t);
        fast function = (fast)(void (*)(void))method->function;
        return function(object, &argument, argument ? 1 : 0);
    }
    default:
        break;
    }
    PyObject *stack[] = {object, argument};
    return PyObject_Vectorcall(method->descriptor, stack, argument ? 2 : 1, NULL);
}

/* Drops what was held over a call; keeps the exception that is set. Runs user code. */
static void let_go(PyObject *object) {
    PyObject *exception = PyErr_GetRaisedException();
    Py_XDECREF(object);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
}

/* object.method(argument). What ssl calls back may end the connection, and so drop the object that
 * is at work and the pool with the window. */
static PyObject *call(const cam_tls_method *method, PyObject *object, PyObject *argument) {
    Py_INCREF(object);
    Py_XINCREF(argument);
    PyObject *result = call_held(method, object, argument);
    let_go(argument);
    let_go(object);
    return result;
}

/* CAM_TLS_AGAIN when the exception says so, and it is cleared; else -1. */
static int read_exception(TlsObject *tls) {
    const cam_tls_library *library = &tls->state->tls;
    if (PyErr_ExceptionMatches(library->want_read) ||
        PyErr_ExceptionMatches(library->syscall_error)) {
        PyErr_Clear();
        return CAM_TLS_AGAIN;
    }
    return -1;
}

/* A count out of a result, which is consumed; as the functions that call it. */
static Py_ssize_t read_count(TlsObject *tls, PyObject *result) {
    if (result == NULL) {
        return read_exception(tls);
    }
    Py_ssize_t count = PyLong_AsSsize_t(result);
    Py_DECREF(result);
    if (count < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "the SSL object returned a negative count");
    }
    return count < 0 ? -1 : count;
}

/* A subclass's own read() may keep a buffer that it is given: it is asked for bytes. */
static Py_ssize_t read_by_method(TlsObject *tls, char *buffer, size_t size) {
    PyObject *bytes = PyObject_CallMethod(tls->ssl_object, "read", "n", (Py_ssize_t)size);
    if (bytes == NULL) {
        return read_exception(tls);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        Py_DECREF(bytes);
        return -1;
    }
    Py_ssize_t count = view.len;
    if ((size_t)count <= size) {
        memcpy(buffer, view.buf, (size_t)count);
    } else {
        PyErr_SetString(PyExc_ValueError, "the SSL object returned more than it was asked for");
        count = -1;
    }
    PyBuffer_Release(&view);
    Py_DECREF(bytes);
    return count;
}

Py_ssize_t cam_tls_ssl_read(TlsObject *tls, char *buffer, size_t size) {
    if (tls->own_read) {
        return read_by_method(tls, buffer, size);
    }
    CamTlsPool *pool = cam_tls_pool(tls->loop);
    if (pool == NULL) {
        return -1;
    }
    (void)point_window(pool, buffer, size);
    const cam_tls_method *method = &tls->state->tls.read;
    PyObject *ssl_socket = Py_NewRef(tls->ssl_socket); /* as in call() */
    PyObject *args = Py_NewRef(pool->read_args);
    PyObject *result;
    if (method->flags == METH_VARARGS) {
        result = method->function(ssl_socket, args);
    } else {
        PyObject *stack[] = {ssl_socket, PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1)};
        result = PyObject_Vectorcall(method->descriptor, stack, 3, NULL);
    }
    let_go(args);
    let_go(ssl_socket);
    return read_count(tls, result);
}

Py_ssize_t cam_tls_ssl_write(TlsObject *tls, PyObject *bytes, const char *data, size_t size) {
    if (tls->own_write) {
        PyObject *copy =
            bytes ? Py_NewRef(bytes) : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
        PyObject *count = copy ? PyObject_CallMethod(tls->ssl_object, "write", "O", copy) : NULL;
        Py_XDECREF(copy);
        return read_count(tls, count);
    }
    PyObject *argument = bytes;
    if (argument == NULL) {
        CamTlsPool *pool = cam_tls_pool(tls->loop);
        if (pool == NULL) {
            return -1;
        }
        argument = point_window(pool, data, size);
    }
    return read_count(tls, call(&tls->state->tls.write, tls->ssl_socket, argument));
}

/* A call whose result says nothing. */
static int call_for_effect(TlsObject *tls, bool own, const char *name,
                           const cam_tls_method *method) {
    PyObject *result = own ? PyObject_CallMethod(tls->ssl_object, name, NULL)
                           : call(method, tls->ssl_socket, NULL);
    Py_XDECREF(result);
    return result ? 0 : read_exception(tls);
}

int cam_tls_ssl_handshake(TlsObject *tls) {
    return call_for_effect(tls, tls->own_handshake, "do_handshake", &tls->state->tls.do_handshake);
}

int cam_tls_ssl_shutdown(TlsObject *tls) {
    return call_for_effect(tls, tls->own_unwrap, "unwrap", &tls->state->tls.shutdown);
}

int cam_tls_feed(TlsObject *tls, const char *data, size_t size) {
    CamTlsPool *pool = cam_tls_pool(tls->loop);
    if (pool == NULL) {
        return -1;
    }
    PyObject *count =
        call(&tls->state->tls.bio_write, tls->incoming, point_window(pool, data, size));
    if (count == NULL) {
        return -1;
    }
    Py_DECREF(count);
    cam_tls_records_feed(&tls->records, data, size);
    tls->held += size;
    return 0;
}

Py_ssize_t cam_tls_pending(TlsObject *tls, PyObject *bio) {
    if (bio == NULL) {
        return 0; /* the connection is lost and dismissed */
    }
    PyObject *descriptor = tls->state->tls.bio_pending;
    PyObject *count;
    if (Py_IS_TYPE(descriptor, &PyGetSetDescr_Type)) {
        PyGetSetDef *definition = ((PyGetSetDescrObject *)descriptor)->d_getset;
        count = definition->get(bio, definition->closure);
    } else {
        count = PyObject_GetAttrString(bio, "pending");
    }
    if (count == NULL) {
        return -1;
    }
    Py_ssize_t pending = PyLong_AsSsize_t(count);
    Py_DECREF(count);
    return pending;
}

PyObject *cam_tls_take_outgoing(TlsObject *tls) {
    PyObject *bytes = call(&tls->state->tls.bio_read, tls->outgoing, NULL);
    if (bytes != NULL && !PyBytes_CheckExact(bytes)) {
        PyErr_SetString(PyExc_TypeError, "MemoryBIO.read() returned no bytes");
        Py_CLEAR(bytes);
    }
    return bytes;
}
