/* SPDX-License-Identifier: MIT */
/*
 * The event loop's C half: `_core.Loop`, which camshaft.EventLoop (Python) derives from.
 *
 * Belongs to the thread that runs it; only call_soon_threadsafe may be called from others, and
 * the GIL is what guards the ready queue then. The GIL is released only round a blocking wait.
 *
 * A turn (loop/turn.c): wait for the poller; queue what is ready behind what already waits; queue
 * due timers behind that; run as many entries as were queued when the count was taken; flush the
 * streams written to. This is asyncio's order (BaseEventLoop._run_once).
 */
#ifndef CAM_LOOP_LOOP_H
#define CAM_LOOP_LOOP_H

#include "state.h"
#include "base/heap.h"
#include "loop/handle.h"
#include "transport/spare.h"
#include "net/poll.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct LoopObject LoopObject;
typedef struct CamDatagramBuffers CamDatagramBuffers;

/* Work done by C in the place of a handle. Runs on the loop's thread and may run user code.
 * 0, or -1 with an exception, which the loop treats as it does one out of a handle. */
typedef int (*CamStep)(LoopObject *loop, PyObject *owner);

/* One entry of the ready queue: `step(loop, owner)`, or a HandleObject when step is NULL. */
typedef struct CamReady {
    CamStep step;
    PyObject *owner; /* strong */
} CamReady;

/* A descriptor watched by C code, embedded in the object that owns it (and the descriptor).
 * While anything is watched the loop holds a reference to the owner, as asyncio's selector does:
 * a connection lives on though nobody holds its transport. The owner must call CamLoop_UnwatchIo
 * before it closes the descriptor or dies, and hold a reference of its own round both calls. */
typedef struct CamIo {
    int fd;
    uint32_t interest; /* CAM_POLL_* now asked of the poller; 0: not watched */
    PyObject *owner;   /* the embedding object; see above for who holds it */
    CamStep readable;  /* queued when ready; must check whether it still applies when it runs */
    CamStep writable;
} CamIo;

/* A stream with bytes to send at the end of the turn, embedded in it. */
typedef struct CamFlush {
    struct CamFlush *next;
    PyObject *owner;                /* borrowed; the loop holds a reference while it is queued */
    void (*flush)(PyObject *owner); /* must not raise; may queue steps; runs no user code */
    bool queued;
} CamFlush;

/* Somebody who rests for want of descriptors, embedded in it; see CamLoop_Rest. */
typedef struct CamRest {
    struct CamRest *next;
    struct CamRest **link; /* what points here; NULL when not resting */
    PyObject *owner;       /* the embedding object, which ends its rest before it dies */
    CamStep wake;          /* queued once a descriptor came free */
} CamRest;

/* What is known of one descriptor number; an entry of LoopObject.watches.
 *
 * A watcher is the Handle of add_reader and add_writer or the Readiness that a sock_* call waits
 * for; the newer takes the older one's place. Where Readiness alone watches a socket, the poller is
 * asked edge-triggered and stays asked after the wait (`kept`), so that the next wait costs no
 * system call. Nobody tells us when such a socket is closed. Hence: it is only reported once, so
 * that a description that lives on elsewhere (dup, fork) cannot make the loop spin; it counts only
 * for the socket object that it was made for; and a wait that was built on it is verified
 * (CamWatch_Verify) if nothing comes. */
typedef struct CamWatch {
    uint32_t generation; /* changes whenever the number starts to be watched anew */
    uint32_t interest;   /* CAM_POLL_IN, CAM_POLL_OUT registered; 0: none */
    PyObject *reader;    /* strong or NULL: a watcher */
    PyObject *writer;
    PyObject *file; /* strong or NULL: what add_reader() or add_writer() was given, if no number */
    PyObject *kept; /* strong or NULL: weak reference to the socket registered edge-triggered */
    CamIo *io;      /* borrowed or NULL: C owner; excludes reader and writer */
    bool counted;   /* in LoopObject.watch_count */
    bool doubted;   /* in LoopObject.doubted: waits on what was registered earlier */
} CamWatch;

struct LoopObject {
    PyObject_HEAD
    cam_state *state;
    cam_poll poll;
    CamReady *ready; /* ring; capacity is a power of two */
    size_t ready_head;
    size_t ready_count;
    size_t ready_capacity;
    cam_heap timers;
    size_t cancelled_timers;
    CamWatch *watches; /* indexed by descriptor */
    int watch_capacity;
    int watch_top;            /* what kept CamWatch_Shrink from it the last time; 0 at first */
    uint32_t lost_generation; /* the highest of entries that were freed: new ones go on from it */
    int watch_count;          /* descriptors that somebody waits for */
    int doubted;              /* those waiting on a registration that was not verified since */
    PyObject *reading;        /* borrowed: the stream that is reading: it sends after that */
    CamFlush *flush_first;
    CamFlush *flush_last;
    CamRest *resting;            /* who waits for a descriptor to come free */
    size_t unflushed;            /* bytes that those streams were given since the last flush */
    size_t streams;              /* stream transports that live */
    size_t streams_peak;         /* most of them since give_memory_back() looked last */
    CamSpare spare;              /* the last message, to be used for the next */
    char *read_buffer;           /* CAM_READ_BUFFER bytes, made at the first read */
    char *call_buffer;           /* as many for sock_* calls, made at the first of them */
    struct CamTlsPool *tls_pool; /* transport/tls_library.c; NULL before the first TLS connection */
    PyObject *task_factory;      /* strong; NULL for none */
    double slow_callback_duration; /* seconds; debug mode */
    PyObject *called;              /* strong or NULL; debug mode: what a step called last */
    PyObject *called_method;       /* borrowed, interned, or NULL: its method */
    unsigned long thread;          /* ident of the running thread; 0: not running */
    unsigned forks;                /* forks this process had behind it when it made the loop */
    /* transport/datagram_read.c's, one block of PyMem_RawMalloc; NULL before the first datagram. */
    CamDatagramBuffers *datagram_buffers;
    bool closed;
    bool stopping;
    bool plain;      /* call_soon(), create_task() and create_future() are those written here */
    bool fast_tasks; /* create_task() may drive its tasks itself: loop/task.h */
    bool debug;
    bool waiting;      /* blocked, or about to be, without the GIL */
    bool gathered;     /* since it was woken last, other threads had more to say before it ran */
    bool sock_bulk;    /* the last sock_recv was a large one; see sock.c */
    bool turning;      /* inside _run(): a second entry is refused */
    bool timing;       /* inside a step that debug mode times */
    bool waited;       /* the last turn waited for descriptors, and some were ready */
    unsigned unpolled; /* turns since the poller was asked */
    unsigned doubted_polls; /* polls since nothing was doubted, or what was has been verified */
    /* Held by a thread that has work of the loop's, NULL for none: CamLoop_HandOver(). */
    PyThread_type_lock handover;
    unsigned single_wakes; /* in a row, by threads that had nothing more to say */
    unsigned wakers;       /* atomic: threads that are in CamLoop_WakeLate(), or about to be */
};

enum {
    CAM_READ_BUFFER = 256 * 1024,
    CAM_FLUSH_BUDGET = 64 * 1024,
};

/* Now, on the loop's clock (CLOCK_MONOTONIC), in nanoseconds. */
int64_t CamLoop_Now(void);

/* Makes room in the ready queue. 0, or -1 with MemoryError. */
int CamLoop_GrowReady(LoopObject *loop);

/* Queues a step (or a handle, step NULL) behind what waits; takes a reference to owner and wakes
 * a loop that is blocked. 0, or -1 with MemoryError. */
static inline int CamLoop_Enqueue(LoopObject *loop, CamStep step, PyObject *owner) {
    if (loop->ready_count == loop->ready_capacity && CamLoop_GrowReady(loop) < 0) {
        return -1;
    }
    size_t slot = (loop->ready_head + loop->ready_count) & (loop->ready_capacity - 1);
    loop->ready[slot] = (CamReady){step, Py_NewRef(owner)};
    loop->ready_count++;
    if (loop->waiting) {
        loop->waiting = false; /* one wake-up is enough */
        (void)cam_poll_wake(&loop->poll);
    }
    return 0;
}

/* From a step of the loop's: releases the lock that another thread waits on, which then wants the
 * GIL, but not before the loop lets go of that, if it is about to wait. No other step is made
 * before. */
void CamLoop_HandOver(LoopObject *loop, PyThread_type_lock lock);

/* Releases the lock that was handed over last, if it is not yet. */
static inline void CamLoop_EndHandOver(LoopObject *loop) {
    if (loop->handover != NULL) {
        PyThread_type_lock lock = loop->handover;
        loop->handover = NULL;
        PyThread_release_lock(lock);
    }
}

/* CamLoop_Enqueue() from any thread, which may let go of the GIL. */
int CamLoop_EnqueueShared(LoopObject *loop, CamStep step, PyObject *owner);

/* CamLoop_Enqueue() from another thread that is about to let go of the GIL: if *late is true
 * afterwards, it calls CamLoop_WakeLate() without the GIL then, and with nothing in between that
 * may take long. So the loop does not wake up to wait for the GIL. */
int CamLoop_EnqueueLate(LoopObject *loop, CamStep step, PyObject *owner, bool *late);
void CamLoop_WakeLate(LoopObject *loop);

/* A new asyncio.Future of this loop; NULL with an exception. Runs user code only where the loop's
 * class overrides get_debug(). */
PyObject *CamLoop_CreateFuture(LoopObject *loop);

/* Drops the reference that making futures keeps to a loop that turns. The caller has another. */
void CamLoop_ForgetFutures(LoopObject *loop);

/* 0, or -1 with RuntimeError when the loop is closed or this is a forked child. */
int CamLoop_CheckUsable(LoopObject *loop);

/* Reads the one keyword, context, that the scheduling methods take, out of vectorcall arguments:
 * *context is borrowed, NULL if it was not given. 0, or -1 with TypeError for any other keyword. */
int CamLoop_ParseContext(cam_state *state, const char *name, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames, PyObject **context);

/* True in a process forked after the loop was made: its poller is shared with the parent's. */
bool CamLoop_IsForeign(LoopObject *loop);

/* Sets what is watched of io->fd: any of CAM_POLL_*, 0 for nothing now; the number stays taken
 * until CamLoop_UnwatchIo. 0, or -1 with an exception. */
int CamLoop_WatchIo(LoopObject *loop, CamIo *io, uint32_t interest);

/* True when the number is somebody's: add_reader's, add_writer's or a transport's in C. */
bool CamLoop_IsWatched(LoopObject *loop, int fd);

/* Stops watching and gives the number up; never fails, no user code. Safe on one not watched. */
void CamLoop_UnwatchIo(LoopObject *loop, CamIo *io);

/* Asks for flush->flush(owner) at the end of this turn (or the start of the next), `size` being
 * the bytes it has just been given. When all streams together wait with more than
 * CAM_FLUSH_BUDGET bytes, all are flushed now: later they would be out of the processor's cache.
 * May run user code then (a stream's last reference goes). */
void CamLoop_FlushLater(LoopObject *loop, CamFlush *flush, size_t size);

/* Queues rest->wake(owner) once a descriptor of the loop's has come free; again a no-op. */
void CamLoop_Rest(LoopObject *loop, CamRest *rest);

/* Safe on one that does not rest. */
void CamLoop_EndRest(CamRest *rest);

/* To be called whenever a descriptor was closed: those who rest try again. No user code. */
void CamLoop_WakeResting(LoopObject *loop);
static inline void CamLoop_DescriptorFreed(LoopObject *loop) {
    if (loop->resting != NULL) {
        CamLoop_WakeResting(loop);
    }
}

/* The loop's read buffer, CAM_READ_BUFFER bytes, for the steps of transports: a protocol may work
 * in it until the step returns. NULL with MemoryError. */
char *CamLoop_ReadBuffer(LoopObject *loop);

/* As large a one for what may be called from inside such a step (sock_recv in an eager task): its
 * contents are copied before anything else runs. NULL with MemoryError. */
char *CamLoop_CallBuffer(LoopObject *loop);

/* Reports the exception that is set by loop.call_exception_handler({message, exception, ...}),
 * as asyncio does for protocols: `extra` is a dict or NULL (protocol, transport keys ...).
 * KeyboardInterrupt and SystemExit are left set and give -1; else 0. */
int CamLoop_ReportError(LoopObject *loop, const char *message, PyObject *extra);

/* Debug mode: notes what a step is about to call, and which method of it (an interned name that
 * outlives the step, or NULL), so that it can be named when it was slow. May run user code. */
static inline void CamLoop_NoteCall(LoopObject *loop, PyObject *callee, PyObject *method) {
    if (loop->timing) {
        loop->called_method = method;
        Py_XSETREF(loop->called, Py_NewRef(callee));
    }
}

/* transport/tls_library.c */
void CamTls_FreePool(LoopObject *loop);

/* loop/watch.c */
int CamWatch_Traverse(LoopObject *loop, visitproc visit, void *arg);
void CamWatch_Clear(LoopObject *loop);

/* Frees the unused end of the table by descriptor, if it is large. True if it did. No user code. */
bool CamWatch_Shrink(LoopObject *loop);
int CamWatch_Dispatch(LoopObject *loop, const cam_poll_event *event);
extern PyMethodDef cam_watch_methods[];

/* Registers anew what waits on an earlier registration: it may have been lost with a descriptor
 * that was closed and opened again under the same socket object. No user code. */
void CamWatch_Verify(LoopObject *loop);

/* Makes a Readiness the watcher of fd for `side` (CAM_POLL_IN or CAM_POLL_OUT), in the place of
 * whatever watched it. `sock` is the object the descriptor was taken from; `drained` says that the
 * kernel has just refused (EAGAIN), so that an earlier registration will report the change.
 * 0, or -1 with an exception (RuntimeError when a transport owns the descriptor). Runs user
 * code. */
int CamWatch_Wait(LoopObject *loop, PyObject *readiness, int fd, uint32_t side, PyObject *sock,
                  bool drained);

/* Takes a Readiness out of its place, if it is still there; the caller has a reference to it.
 * Never fails; no user code. */
void CamWatch_EndWait(LoopObject *loop, PyObject *readiness, int fd, uint32_t side);

/* loop/sock.c */
extern PyMethodDef cam_sock_methods[];

/* loop/executor.c */
extern PyMethodDef cam_executor_methods[];

/* loop/lookup.c */
extern PyMethodDef cam_lookup_methods[];

/* transport/connect.c */
extern PyMethodDef cam_connect_methods[];

/* loop/turn.c */
void CamTurn_Flush(LoopObject *loop);    /* flushes the streams written to */
PyObject *CamTurn_Run(LoopObject *loop); /* runs turns until stop(); NULL with an exception */

/* True when a loop of ours is `object`. */
int CamLoop_Check(cam_state *state, PyObject *object);

#endif
