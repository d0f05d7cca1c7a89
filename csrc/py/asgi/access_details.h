/* SPDX-License-Identifier: MIT */
/*
 * What a line of the access log may say beyond the answer's status: headers, bytes, duration.
 *
 * Only with the option `access_details`, and then of each request that is logged; its line is made
 * when the answer is complete, or the connection lost in the middle of it, and not by C. Belongs to
 * its cycle; on the loop's thread.
 */
#ifndef CAM_ASGI_ACCESS_DETAILS_H
#define CAM_ASGI_ACCESS_DETAILS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

struct CycleObject;

typedef struct cam_access_details {
    PyObject *fields;        /* the scope's headers, strong */
    PyObject *answer_fields; /* those of http.response.start as they were sent, strong, or NULL */
    uint64_t sent;           /* bytes of the body */
    int64_t began;           /* CamMetrics_Now() */
} cam_access_details;

/* Gives a cycle its details. 0 or -1. */
int CamAccessDetails_Begin(struct CycleObject *cycle, PyObject *scope);

/* The application's headers, or NULL. */
void CamAccessDetails_Answer(struct CycleObject *cycle, PyObject *headers);

/* Calls the access log's function, once, with the details: as AccessDetails in _core.pyi. An
 * exception that is set stays. Runs user code; what that raises goes to sys.unraisablehook. */
void CamAccessDetails_Log(struct CycleObject *cycle);

int CamAccessDetails_Traverse(cam_access_details *details, visitproc visit, void *arg);
void CamAccessDetails_Free(cam_access_details *details);

#endif
