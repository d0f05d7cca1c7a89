/* SPDX-License-Identifier: MIT */
/*
 * The access log: a line for each answer, written when its head is.
 *
 * Each line goes to a Python function, which has `logging` make a record of it. As long as nobody
 * would see the difference (one handler that writes to a file, with our formatter and its own
 * format, no filter, nothing patched) the line is made here instead and goes to the file at the
 * end of the loop's turn. camshaft.server.access says when that is so; what it looked at is
 * compared before each line, and all of it is looked at anew once a second.
 *
 * Embedded in the server; on the loop's thread. The server holds no more than CAM_LOG_HELD bytes
 * for an output that does not take them: what comes then is dropped and counted, as is what an
 * output refuses. Nothing ever waits for it but the end of the server.
 */
#ifndef CAM_ASGI_ACCESS_LOG_H
#define CAM_ASGI_ACCESS_LOG_H

#include "asgi/buffer.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct CycleObject;
struct HttpServerObject;

enum {
    CAM_LOG_WRITE = 32 * 1024, /* bytes of lines that are written before the turn ends */
    CAM_LOG_HELD = 256 * 1024,
};

typedef struct cam_access_log {
    PyObject *function; /* called for a line; NULL for no access log */
    PyObject *plain;    /* called to ask whether lines may be made here, or NULL: never */
    PyObject *watched;  /* tuple: what must be as it was for that; NULL when they may not */
    PyObject *prepare;  /* called before a turn's first line: flushes the stream above the file */
    PyObject *phrases;  /* tuple of bytes: what stands for a status, by its number */
    int fd;             /* owned; -1 for none */
    bool polled;        /* it may have no room: asked before a write */
    bool colors;
    bool failing;  /* the last write failed, and somebody was told */
    int error;     /* of a write that failed, to be told; 0 for none */
    bool planned;  /* a call of the server's flush_access_log is on its way */
    time_t looked; /* the second when `plain` was asked */
    cam_buffer lines;
    unsigned long long line_count; /* in `lines` */
    pid_t process;                 /* that the lines are of; on another loop than ours */
    unsigned long long dropped;    /* lines */
    CamFlush flush;
} cam_access_log;

/* Sets up the log of a server; both may be None. */
void CamAccessLog_Init(struct HttpServerObject *server, PyObject *function, PyObject *plain);

/* Logs an answer whose status is known. Runs user code; what that raises goes to
 * sys.unraisablehook. */
void CamAccessLog_Add(struct CycleObject *cycle);

/* As CamAccessLog_Flush, and plans to try again if not all is taken. Runs user code then. */
void CamAccessLog_Resume(struct HttpServerObject *server, int patience);

/* Writes what is held, waiting up to that many milliseconds in all for an output that has no room.
 * Runs no user code, though other threads may while it waits. */
void CamAccessLog_Flush(struct HttpServerObject *server, int patience);

int CamAccessLog_Traverse(cam_access_log *log, visitproc visit, void *arg);

/* Lets the functions go: lines are no longer logged. */
void CamAccessLog_Clear(cam_access_log *log);

/* Writes what is held and lets everything go. */
void CamAccessLog_Free(struct HttpServerObject *server);

#endif
