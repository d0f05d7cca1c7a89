/* SPDX-License-Identifier: MIT */
/*
 * `_core.FastAPIRouter`: an ASGI application that answers by plans, and by another one what they
 * do not cover.
 *
 * It stands where the application's own router was asked (app.router.middleware_stack): `original`
 * is what stood there. Its `entrance`, another ASGI application, stands before the whole
 * FastAPI object, and passes over the middleware where that can be stood in for.
 */
#ifndef CAM_FASTAPI_ROUTER_H
#define CAM_FASTAPI_ROUTER_H

#include "fastapi/plan.h"

typedef struct RouterObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    cam_state *state;
    PyObject *original;                /* ASGI application */
    PyObject *app;                     /* the FastAPI object, or NULL: there is no entrance */
    PyObject *compile;                 /* callable() -> camshaft.fastapi.plan.Table */
    TableObject *table;                /* NULL until the first request */
    unsigned long long native_count;   /* requests that a plan has taken */
    unsigned long long whole_count;    /* of them, before the middleware */
    unsigned long long replayed_count; /* of them, given back to FastAPI */
    unsigned long long fallback_count; /* requests that none has taken */
    uint32_t compilations;
    bool compiling;
} RouterObject;

typedef struct EntranceObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    RouterObject *router; /* strong */
} EntranceObject;

int cam_router_exec(PyObject *module, cam_state *state);

/* Sets the keys of a scope that FastAPI's routers would have set. Runs no user code but that of a
 * scope that is a dict by inheritance. 0, or -1 with an exception. */
int CamRouter_Publish(TableObject *table, const cam_entry *entry, PyObject *scope,
                      PyObject *path_params);

/* Fills state->fastapi with what FastAPI has; imports it. 0, or -1 with an exception. */
int cam_fastapi_prepare(cam_state *state);

#endif
