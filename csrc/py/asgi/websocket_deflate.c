/* SPDX-License-Identifier: MIT */
#include "asgi/websocket_deflate.h"

#include "compat.h"

#include <string.h>

enum {
    WINDOW_BITS = 12, /* both ways, as uvicorn's; the client may insist on 15 for its own */
    MEMORY_LEVEL = 5,
    STREAMS_MAX = 16, /* deflate streams in a piece of a message: each costs a decompressor */
};

/* What every sync flush ends with, and is not sent (RFC 7692 section 7.2.1). */
static const char tail[4] = {0x00, 0x00, (char)0xff, (char)0xff};

const cam_ws_deflate *CamDeflate_Wanted(cam_state *state) {
    static const cam_ws_deflate wanted = {
        .server_max_window_bits = WINDOW_BITS,
        .client_max_window_bits = WINDOW_BITS,
    };
    return state->asgi.zlib_compressobj != NULL ? &wanted : NULL;
}

cam_websocket_codec *CamDeflate_New(const cam_ws_deflate *agreed) {
    cam_websocket_codec *codec = PyMem_Calloc(1, sizeof *codec);
    if (codec == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    codec->agreed = *agreed;
    return codec;
}

void CamDeflate_Free(cam_websocket_codec *codec) {
    if (codec != NULL) {
        Py_CLEAR(codec->compressor);
        Py_CLEAR(codec->decompressor);
        PyMem_Free(codec);
    }
}

int CamDeflate_Traverse(cam_websocket_codec *codec, visitproc visit, void *arg) {
    if (codec != NULL) {
        Py_VISIT(codec->compressor);
        Py_VISIT(codec->decompressor);
    }
    return 0;
}

/* ---- out ---- */

static PyObject *new_compressor(cam_state *state, int bits) {
    /* level, method, wbits, memLevel */
    return PyObject_CallFunction(state->asgi.zlib_compressobj, "iiii", -1, 8, -bits, MEMORY_LEVEL);
}

/* Both halves in one object, without the tail. */
static PyObject *join(PyObject *begin, PyObject *end) {
    Py_ssize_t begin_len = PyBytes_GET_SIZE(begin);
    Py_ssize_t end_len = PyBytes_GET_SIZE(end) - (Py_ssize_t)sizeof tail;
    if (end_len < 0 || memcmp(PyBytes_AS_STRING(end) + end_len, tail, sizeof tail) != 0) {
        PyErr_SetString(PyExc_RuntimeError, "zlib's sync flush has no end");
        return NULL;
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, begin_len + end_len);
    if (whole != NULL) {
        memcpy(PyBytes_AS_STRING(whole), PyBytes_AS_STRING(begin), (size_t)begin_len);
        memcpy(PyBytes_AS_STRING(whole) + begin_len, PyBytes_AS_STRING(end), (size_t)end_len);
    }
    return whole;
}

PyObject *CamDeflate_Compress(cam_state *state, cam_websocket_codec *codec, PyObject *payload) {
    PyObject *compressor = codec->compressor != NULL
                               ? Py_NewRef(codec->compressor)
                               : new_compressor(state, codec->agreed.server_max_window_bits);
    if (compressor == NULL) {
        return NULL;
    }
    Py_CLEAR(codec->compressor); /* whatever happens, half a message is no context */
    PyObject *whole = NULL;
    PyObject *begin = PyObject_CallMethodOneArg(compressor, state->asgi.str_compress, payload);
    PyObject *end = begin ? PyObject_CallMethodOneArg(compressor, state->asgi.str_flush,
                                                      state->asgi.zlib_sync_flush)
                          : NULL;
    if (end != NULL && PyBytes_CheckExact(begin) && PyBytes_CheckExact(end)) {
        whole = join(begin, end);
    }
    Py_XDECREF(begin);
    Py_XDECREF(end);
    if (whole != NULL && !codec->agreed.server_no_context_takeover) {
        codec->compressor = compressor;
    } else {
        Py_DECREF(compressor);
    }
    return whole;
}

/* ---- in ---- */

static int make_decompressor(cam_state *state, cam_websocket_codec *codec) {
    /* zlib takes 8 for 9 in some versions, when it deflates: a window of 9 is right for both. */
    int bits = codec->agreed.client_max_window_bits;
    PyObject *new =
        PyObject_CallFunction(state->asgi.zlib_decompressobj, "i", bits < 9 ? -9 : -bits);
    if (new == NULL) {
        return -1;
    }
    Py_XSETREF(codec->decompressor, new);
    return 0;
}

/* The end of a deflate stream is no end of the message (RFC 7692 section 7.2.3.4): what follows
 * begins a stream of its own. Takes what is left out of the decompressor and puts a new one in its
 * place; *rest is NULL when it has not come to an end. */
static int begin_again(cam_state *state, cam_websocket_codec *codec, PyObject **rest) {
    *rest = NULL;
    PyObject *eof = PyObject_GetAttr(codec->decompressor, state->asgi.str_eof);
    int ended = eof ? PyObject_IsTrue(eof) : -1;
    Py_XDECREF(eof);
    if (ended <= 0) {
        return ended;
    }
    PyObject *unused = PyObject_GetAttr(codec->decompressor, state->asgi.str_unused_data);
    if (unused == NULL || make_decompressor(state, codec) < 0) {
        Py_XDECREF(unused);
        return -1;
    }
    *rest = unused;
    return 0;
}

static PyObject *decompress(cam_state *state, cam_websocket_codec *codec, PyObject *data,
                            size_t limit) {
    /* One byte more than may be, to tell that there is more; 0 would be no limit. */
    size_t most = limit < (size_t)PY_SSIZE_T_MAX ? limit + 1 : 0;
    PyObject *length = PyLong_FromSize_t(most);
    if (length == NULL) {
        return NULL;
    }
    PyObject *stack[] = {codec->decompressor, data, length};
    PyObject *result = PyObject_VectorcallMethod(state->asgi.str_decompress, stack,
                                                 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(length);
    if (result == NULL && PyErr_ExceptionMatches(state->asgi.zlib_error)) {
        PyErr_SetString(PyExc_ValueError, "the compressed data cannot be inflated");
    }
    return result;
}

PyObject *CamDeflate_Inflate(cam_state *state, cam_websocket_codec *codec, const char *data,
                             size_t size, bool first, bool last, size_t limit) {
    if ((codec->decompressor == NULL || (first && codec->agreed.client_no_context_takeover)) &&
        make_decompressor(state, codec) < 0) {
        return NULL;
    }
    PyObject *input = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(size + (last ? 4 : 0)));
    if (input == NULL) {
        return NULL;
    }
    memcpy(PyBytes_AS_STRING(input), data, size);
    if (last) {
        memcpy(PyBytes_AS_STRING(input) + size, tail, sizeof tail);
    }
    PyObject *output = decompress(state, codec, input, limit);
    Py_DECREF(input);
    for (int streams = 1; output != NULL && (size_t)PyBytes_GET_SIZE(output) <= limit; streams++) {
        PyObject *rest;
        if (begin_again(state, codec, &rest) < 0) {
            Py_CLEAR(output);
        } else if (rest != NULL && streams == STREAMS_MAX) {
            PyErr_SetString(PyExc_ValueError, "the compressed data has too many streams");
            Py_CLEAR(rest);
            Py_CLEAR(output);
        }
        if (output == NULL || rest == NULL) {
            break;
        }
        PyObject *more =
            PyBytes_GET_SIZE(rest) > 0
                ? decompress(state, codec, rest, limit - (size_t)PyBytes_GET_SIZE(output))
                : PyBytes_FromStringAndSize(NULL, 0);
        Py_DECREF(rest);
        PyBytes_ConcatAndDel(&output, more);
    }
    if (last && codec->agreed.client_no_context_takeover) {
        Py_CLEAR(codec->decompressor);
    }
    return output;
}
