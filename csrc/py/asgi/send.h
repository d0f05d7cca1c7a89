/* SPDX-License-Identifier: MIT */
/*
 * What the files that take an application's events share: send.c (the order of events, head and
 * body), send_file.c (files), send_fields.c (early hints, trailers).
 *
 * An event may be any mapping, and its values anything: to look at them may run user code, after
 * which the answer may be further along and the connection lost. So first all of an event is
 * looked at, and then CamSend_Part looks at the cycle again.
 */
#ifndef CAM_ASGI_SEND_H
#define CAM_ASGI_SEND_H

#include "asgi/cycle.h"

#include <sys/types.h>

/* Part of a body: bytes (with the bytes object they are, if it can be kept) or, with fd >= 0,
 * `size` bytes of a file from `offset` on. */
typedef struct cam_part {
    PyObject *bytes; /* borrowed or NULL */
    const char *data;
    size_t size;
    int fd; /* owned; -1 for none */
    off_t offset;
} cam_part;

/* event[key]: 1 with *value a new reference, 0 when it is not there, -1. */
int CamSend_Lookup(PyObject *event, PyObject *key, PyObject **value);

/* Whether event[key] is true: 1 or 0, also when it is not there, or -1. */
int CamSend_Flag(PyObject *event, PyObject *key);

/* 0 when a part of that size fits what Content-Length says, or -1 with RuntimeError. */
int CamSend_CheckLength(const CycleObject *self, uint64_t size, bool more_body);

/* Sends a part, after the head if that is held. Takes the file over. 0, or -1 with an exception. */
int CamSend_Part(CycleObject *self, cam_part *part, bool more_body);

/* Sends the head, if it is held, before there is anything of the body. 0, or -1 with an exception.
 */
int CamSend_Head(CycleObject *self);

/* Ends the answer: the connection is free for the next one. */
int CamSend_Complete(CycleObject *self);

/* What is out cannot be taken back, and what is not will never come: with an exception set, ends
 * the connection. Returns -1. */
int CamSend_Fail(CycleObject *self);

/* http.response.pathsend and http.response.zerocopysend: 0 or -1. self->waiter is what is to be
 * awaited if the transport cannot send files. */
int CamSend_Path(CycleObject *self, PyObject *event);
int CamSend_File(CycleObject *self, PyObject *event);

/* http.response.early_hint and http.response.trailers. 0 or -1. */
int CamSend_EarlyHint(CycleObject *self, PyObject *event);
int CamSend_Trailers(CycleObject *self, PyObject *event);

#endif
