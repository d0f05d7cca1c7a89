/* SPDX-License-Identifier: MIT */
/*
 * The transports of pipes, FIFOs, terminals and sockets that are used in one direction, as
 * loop.connect_read_pipe() and connect_write_pipe() make them and as a child process has them:
 * what both ends have in common (pipe.c); pipe_read.c and pipe_write.c hold one type each.
 *
 * Life: made (connection_made, watching and the waiter each queued as a step) -> open -> closing
 * (write_eof() or close() with unsent bytes) -> lost (connection_lost queued) -> finished
 * (connection_lost called, the file closed, references dropped, `loop` NULL).
 *
 * The descriptor belongs to `file`, the object that was given, and is closed by its close() alone,
 * after it was taken out of the poller. A number that somebody else watches already (one terminal
 * read by one transport and written by another) is watched by a duplicate, which is ours to close.
 *
 * Writing may raise SIGPIPE where the application has taken back CPython's SIG_IGN, as on asyncio:
 * write(2) has no MSG_NOSIGNAL.
 *
 * The loop holds a reference to a transport while it is watched or has bytes to flush; one that
 * waits for nothing and that nobody holds is closed with a ResourceWarning, as asyncio does.
 */
#ifndef CAM_TRANSPORT_PIPE_H
#define CAM_TRANSPORT_PIPE_H

#include "loop/loop.h"

#include <stdbool.h>
#include <sys/types.h>

/* asyncio's base classes have at most five slots (transports._FlowControlMixin). */
enum { CAM_PIPE_BASE_SLOTS = 5 };

typedef struct PipeObject {
    PyObject_HEAD
    PyObject *base_slots[CAM_PIPE_BASE_SLOTS]; /* asyncio's, unused: our attributes hide them */
    cam_state *state;
    LoopObject *loop;   /* strong; NULL before it is made and once finished */
    PyObject *protocol; /* strong; NULL with loop */
    PyObject *context;  /* strong; protocols are called in it */
    PyObject *file;     /* strong; owns the descriptor; NULL once it is closed */
    PyObject *extra;    /* strong: dict behind get_extra_info */
    PyObject *reason;   /* strong or NULL: what connection_lost will be given */
    PyObject *dict;     /* strong or NULL: attributes set on this instance */
    PyObject *weakrefs;
    CamStep finish;  /* what cam_pipe_lose queues: cam_pipe_finish, or what ends in it */
    CamIo io;        /* io.fd: the file's descriptor, or the duplicate */
    int shown_fd;    /* the file's descriptor, also after it was closed */
    bool duplicated; /* io.fd is a duplicate */
    bool claimed;    /* io is known to the loop */
    bool closing;    /* no more is read, or taken for writing */
    bool lost;       /* connection_lost is queued */
    bool finished;   /* and was called */
} PipeObject;

/* A file that is given to be one end: its place in asyncio's constructor. All borrowed. */
typedef struct CamPipeSetup {
    PyObject *loop;
    PyObject *file;
    PyObject *protocol;
    PyObject *waiter; /* Py_None for none */
    PyObject *extra;  /* Py_None for none */
} CamPipeSetup;

PyObject *cam_pipe_new(PyTypeObject *type, PyObject *args, PyObject *keywords);

/* Takes the file over: it does not block any more and is one that asyncio takes for a pipe, else
 * ValueError(refusal). *mode is its st_mode. Queues nothing yet. 0, or -1 with an exception and the
 * file left to the caller. Runs user code (fileno). */
int cam_pipe_adopt(PipeObject *pipe, const CamPipeSetup *setup, const char *refusal, mode_t *mode);

/* Queues connection_made, `start` and the waiter's result. 0; or -1, the file being the caller's
 * again. */
int cam_pipe_begin(PipeObject *pipe, CamStep start, PyObject *waiter);

/* Changes what is watched, beginning with whose the number is. 0, or -1 with an exception. */
int cam_pipe_watch(PipeObject *pipe, uint32_t interest);

/* Calls protocol.name(argument or nothing) in the transport's context; an exception is reported as
 * that of a callback, and nothing closed, as on asyncio. 0, or -1 with KeyboardInterrupt or
 * SystemExit. */
int cam_pipe_tell(PipeObject *pipe, PyObject *name, PyObject *argument, const char *message);

/* Queues connection_lost(reason; NULL: None), once. 0, or -1 with an exception. */
int cam_pipe_lose(PipeObject *pipe, PyObject *reason);

/* Calls connection_lost and closes the file; a CamStep. */
int cam_pipe_finish(LoopObject *loop, PyObject *owner);

/* Debug mode: logs "<transport> text" on asyncio's logger by its method `level`. Never fails. */
void cam_pipe_log(PipeObject *pipe, const char *level, const char *text, PyObject *exception);

/* The parts of the types that are alike. */
int cam_pipe_traverse(PipeObject *pipe, visitproc visit, void *arg);
void cam_pipe_clear(PipeObject *pipe);
void cam_pipe_finalize(PyObject *self);
void cam_pipe_dealloc(PyObject *self);
PyObject *cam_pipe_get_extra_info(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *cam_pipe_set_protocol(PyObject *self, PyObject *protocol);
PyObject *cam_pipe_get_protocol(PyObject *self, PyObject *ignored);
PyObject *cam_pipe_is_closing(PyObject *self, PyObject *ignored);

/* The beginning of asyncio's repr() up to what is watched: "<Name closing fd=5 polling". */
PyObject *cam_pipe_describe(PipeObject *pipe, uint32_t interest);

extern PyGetSetDef cam_pipe_getset[];

/* The members that every type has; needs <structmember.h>. */
#define CAM_PIPE_MEMBERS                                                                           \
    {"__dictoffset__", T_PYSSIZET, offsetof(PipeObject, dict), READONLY, NULL}, {                  \
        "__weaklistoffset__", T_PYSSIZET, offsetof(PipeObject, weakrefs), READONLY, NULL           \
    }

/* A class of asyncio.transports to derive from; NULL with an exception, also when this Python's
 * has more slots than are left for it. */
PyObject *cam_pipe_base(const char *name);

#endif
