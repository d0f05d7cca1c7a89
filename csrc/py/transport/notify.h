/* SPDX-License-Identifier: MIT */
/*
 * How a transport in C calls its protocol in Python and tells of what went wrong.
 *
 * On the loop's thread. All of it runs user code: the caller holds a reference to its transport and
 * reads its fields again afterwards.
 */
#ifndef CAM_TRANSPORT_NOTIFY_H
#define CAM_TRANSPORT_NOTIFY_H

#include "loop/loop.h"

/* Enters a transport's context, or a copy of it when it is entered already. The context entered, a
 * new reference for CamNotify_Leave; NULL with an exception. Runs no user code. */
PyObject *CamNotify_Enter(PyObject *context);

/* Leaves and releases what CamNotify_Enter gave. Keeps an exception that is set. */
void CamNotify_Leave(PyObject *context);

/* Calls object.name(first, second) in the context, or in a copy of it when it is entered already;
 * second, or both, may be NULL. New reference; NULL with an exception. */
PyObject *CamNotify_Call(PyObject *context, PyObject *object, PyObject *name, PyObject *first,
                         PyObject *second);

/* Calls object.name(argument or nothing) in the context that is current. New reference; NULL with
 * an exception. */
PyObject *CamNotify_CallHere(PyObject *object, PyObject *name, PyObject *argument);

/* Calls object.name(argument or nothing) for its effect. Exceptions are reported as unraisable;
 * one that is set is kept. */
void CamNotify_Quietly(PyObject *object, PyObject *name, PyObject *argument);

/* Reports the exception that is set to the loop's exception handler, with the transport and the
 * protocol (which may be NULL). Without a loop it is unraisable. 0, or -1 with KeyboardInterrupt or
 * SystemExit, or what the handler raised. */
int CamNotify_Report(LoopObject *loop, PyObject *transport, PyObject *protocol,
                     const char *message);

/* Logs "<transport> text" to asyncio's logger by its method `level`; with an exception,
 * "<transport>: text" and its traceback. Never fails; keeps an exception that is set. */
void CamNotify_Log(cam_state *state, const char *level, PyObject *transport, const char *text,
                   PyObject *exception);

/* A step: gives a future None, unless it is cancelled. */
int CamNotify_WakeWaiter(LoopObject *loop, PyObject *waiter);

#endif
