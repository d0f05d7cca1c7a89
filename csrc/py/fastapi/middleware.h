/* SPDX-License-Identifier: MIT */
/*
 * Starlette's own middleware, done natively for requests that are answered before it: CORS, GZip,
 * TrustedHost and HTTPSRedirect.
 *
 * A table has the layers of its application's stack from the outermost on, made of what
 * camshaft.fastapi.middleware has found in the middleware objects. Each does to a request on its
 * way in and to a whole answer on its way out what the object would, and says so if it cannot:
 * then the request goes through the objects themselves. All of it is the loop's thread's.
 */
#ifndef CAM_FASTAPI_MIDDLEWARE_H
#define CAM_FASTAPI_MIDDLEWARE_H

#include "fastapi/plan.h"

/* The values of camshaft.fastapi.plan.Layer. */
typedef enum cam_layer_kind {
    CAM_LAYER_CORS,
    CAM_LAYER_GZIP,
    CAM_LAYER_TRUSTED_HOST,
    CAM_LAYER_HTTPS_REDIRECT,
} cam_layer_kind;

/* The members of camshaft.fastapi.plan.Cors, GZip and TrustedHost. Every object is borrowed of what
 * the table keeps. */
typedef struct cam_cors {
    PyObject *simple;    /* tuple of fields */
    PyObject *preflight; /* tuple of fields */
    PyObject *origins;   /* these three are the middleware's own containers, as they are now */
    PyObject *methods;
    PyObject *headers;
    PyObject *fullmatch; /* of the expression for origins, bound; or None */
    int all_origins;
    int all_headers;
    int credentials;
    int explicit_preflight;
    int private_network;
} cam_cors;

typedef struct cam_gzip {
    PyObject *level;    /* int */
    PyObject *excluded; /* tuple of bytes: types of content, in lower case */
    Py_ssize_t minimum_size;
    Py_ssize_t thread_minimum_size;
} cam_gzip;

typedef struct cam_trusted_host {
    PyObject *patterns; /* tuple of bytes */
    int any;
} cam_trusted_host;

struct cam_layer {
    union {
        cam_cors cors;
        cam_gzip gzip;
        cam_trusted_host hosts;
    };
    uint8_t kind; /* cam_layer_kind */
};

/* What the layers need to know of a request when it is answered. */
typedef struct cam_passed {
    PyObject *origin; /* bytes, a strong reference, or NULL */
    bool accepts_gzip;
    bool layered; /* there are layers at all */
} cam_passed;

/* What a browser asks before a request of another origin. All are bytes, borrowed, or NULL. */
typedef struct cam_preflight {
    PyObject *origin;
    PyObject *method;
    PyObject *headers;
    PyObject *private_network;
} cam_preflight;

typedef enum cam_entered {
    CAM_ENTER_FAILED = -1, /* with an exception */
    CAM_ENTER_PASSED,      /* the layers let it through */
    CAM_ENTER_ANSWERED,    /* one of them has answered: there is an awaitable */
    CAM_ENTER_STOPPED,     /* one of them answers itself: it must be asked */
    CAM_ENTER_LEFT,        /* what they do with it is theirs to say */
} cam_entered;

/* Reads source.layers into the table. 0, or -1 with an exception. */
int CamMiddleware_Read(TableObject *table, PyObject *source);

/* Takes a request to `app`, args being scope, receive and send, through all layers on the way in.
 * *passed is filled where they let it through, *awaitable (new) where one has answered. Runs user
 * code only where an answer is sent. */
cam_entered CamMiddleware_Enter(TableObject *table, PyObject *app, PyObject *const *args,
                                cam_passed *passed, PyObject **awaitable);

/* Takes a whole answer through the `count` outermost layers on the way out. `headers` is a list
 * that is nobody else's and is edited; *body, bytes, may be replaced. Runs no user code. 1; 0 if
 * the middleware itself must be asked, and then the headers are good for nothing any more; -1 with
 * an exception. */
int CamMiddleware_Answer(TableObject *table, Py_ssize_t count, const cam_passed *passed, int status,
                         PyObject *headers, PyObject **body);

/* cors.c: what CORSMiddleware does to the headers of an answer to a request of `origin` (or NULL).
 * 0, or -1 with an exception. */
int CamCors_Answer(cam_state *state, const cam_cors *cors, PyObject *origin, PyObject *headers);
/* Its answer to a preflight request: headers (a new list) and body (bytes). As
 * CamMiddleware_Answer. */
int CamCors_Preflight(cam_state *state, const cam_cors *cors, const cam_preflight *asked,
                      int *status, PyObject **headers, PyObject **body);

/* gzip.c: what GZipMiddleware does to an answer, whose peer takes gzip if `accepted`. As
 * CamMiddleware_Answer. */
int CamGzip_Answer(cam_state *state, const cam_gzip *gzip, bool accepted, int status,
                   PyObject *headers, PyObject **body);

#endif
