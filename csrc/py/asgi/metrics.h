/* SPDX-License-Identifier: MIT */
/*
 * What an HttpServer counts for those who watch it: answers by status, how long they took, how
 * late the event loop is.
 *
 * Owned by the server, on the loop's thread, plain numbers. A server that nobody watches has none
 * and asks no clock. Runs no user code but in CamMetrics_Snapshot's making of objects.
 */
#ifndef CAM_ASGI_METRICS_H
#define CAM_ASGI_METRICS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

enum {
    CAM_METRICS_STATUS_END = 600, /* statuses are below it */
    CAM_METRICS_BOUNDS = 14,      /* of the histogram; the last bucket has no bound */
};

typedef struct cam_metrics {
    uint64_t answers[CAM_METRICS_STATUS_END]; /* complete ones, by status */
    uint64_t taken[CAM_METRICS_BOUNDS + 1];   /* by duration; each counted in one bucket */
    int64_t taken_sum;                        /* nanoseconds */
    uint64_t connections;                     /* ever made */
    uint64_t websockets;                      /* now open */
    int64_t late;                             /* nanoseconds: the last timer's lateness, */
    int64_t late_most;                        /* and the most since the snapshot before */
} cam_metrics;

/* Nanoseconds on a precise clock that only goes forward. */
int64_t CamMetrics_Now(void);

/* An answer is complete that was asked for at `began`; 0 is one that was no request. */
void CamMetrics_Answered(cam_metrics *metrics, int status, int64_t began);

/* A timer that was due at `due` has come. */
void CamMetrics_Late(cam_metrics *metrics, int64_t due);

/* A new dict of all of it, "late_most" beginning anew: see HttpServer.metrics() in _core.pyi.
 * NULL with an exception. */
PyObject *CamMetrics_Snapshot(cam_metrics *metrics);

#endif
