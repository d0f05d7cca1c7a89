/* SPDX-License-Identifier: MIT */
/*
 * permessage-deflate (RFC 7692) of one WebSocket, by the objects of Python's zlib module.
 *
 * Both objects are made when they are first needed, so that a connection that sends or receives
 * nothing has neither: with the window of 12 bits and the memory level of 5 that uvicorn has, a
 * compressor takes some 32 KiB and a decompressor 11 KiB (of 15 bits, which a client may insist on
 * for what it sends: 39 KiB). What inflates is bounded before it is allocated.
 */
#ifndef CAM_ASGI_WEBSOCKET_DEFLATE_H
#define CAM_ASGI_WEBSOCKET_DEFLATE_H

#include "state.h"

#include "ws/deflate.h"

/* Payloads of fewer bytes are sent as they are: an extension may leave messages alone, and these
 * are one packet either way. */
enum { CAM_DEFLATE_MIN = 128 };

typedef struct cam_websocket_codec {
    cam_ws_deflate agreed;
    PyObject *compressor; /* zlib's, or NULL until needed */
    PyObject *decompressor;
} cam_websocket_codec;

/* What this server wants to agree upon; NULL when this Python has no zlib. */
const cam_ws_deflate *CamDeflate_Wanted(cam_state *state);

/* A new codec; NULL with MemoryError. Free takes NULL. */
cam_websocket_codec *CamDeflate_New(const cam_ws_deflate *agreed);
void CamDeflate_Free(cam_websocket_codec *codec);
int CamDeflate_Traverse(cam_websocket_codec *codec, visitproc visit, void *arg);

/* Compresses a whole message, an object with the buffer interface: a new bytes object, or NULL
 * with an exception. */
PyObject *CamDeflate_Compress(cam_state *state, cam_websocket_codec *codec, PyObject *payload);

/*
 * Inflates a piece of a message; `last` is its last piece, `first` its first. A new bytes object,
 * of more than `limit` bytes (by one) when there was more than that. NULL with an exception:
 * ValueError for what cannot be inflated.
 */
PyObject *CamDeflate_Inflate(cam_state *state, cam_websocket_codec *codec, const char *data,
                             size_t size, bool first, bool last, size_t limit);

#endif
