/* SPDX-License-Identifier: MIT */
/*
 * Scheme and client of a scope from X-Forwarded-Proto and X-Forwarded-For of a trusted proxy, or,
 * if the server is told so, from Forwarded (RFC 7239) alone: who sets one of them passes on what
 * the client says in the other.
 *
 * The rules are uvicorn's, and stand in src/camshaft/middleware/proxy_headers.py; what has an odd
 * shape, or a trusted name that is no address, is left to the TrustedHosts object there. Of a
 * request without such headers nothing is asked but whether it has any, and of a connection whose
 * peer is not trusted, nothing.
 */
#ifndef CAM_ASGI_FORWARDED_H
#define CAM_ASGI_FORWARDED_H

#include "net/peers.h"
#include "state.h"

#include <stdbool.h>

struct HttpProtocolObject;

/* Part of an HttpServer. */
typedef struct cam_trust {
    PyObject *hosts; /* strong: a TrustedHosts; NULL: nobody is trusted */
    cam_peers peers; /* its addresses and networks */
    bool always;     /* everybody is trusted */
    bool literals;   /* it has entries that are no addresses */
} cam_trust;

/* Whether a connection's peer is trusted. */
typedef enum cam_trusted {
    CAM_TRUSTED_UNKNOWN, /* nobody has asked yet */
    CAM_TRUSTED_NO,
    CAM_TRUSTED_YES,
} cam_trusted;

/* Reads a TrustedHosts object. 0, or -1 with an exception. Runs user code. */
int CamTrust_Set(cam_trust *trust, PyObject *hosts);
void CamTrust_Clear(cam_trust *trust);

/* Puts into a new scope, whose headers are there, what its headers tell. 0, or -1 with an
 * exception. May run user code (an odd entry). */
int CamForwarded_Apply(struct HttpProtocolObject *connection, PyObject *scope, PyObject *headers);

#endif
