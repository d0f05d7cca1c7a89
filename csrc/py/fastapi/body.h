/* SPDX-License-Identifier: MIT */
/*
 * The body of a request that a plan carries out.
 *
 * It is received event by event and, if it is JSON, decoded; with a Request at hand, its body() or
 * form() is awaited instead. All run user code.
 */
#ifndef CAM_FASTAPI_BODY_H
#define CAM_FASTAPI_BODY_H

#include "fastapi/call_parts.h"

/* Begins to read the body. The stage is then CAM_CALL_BODY, CAM_CALL_WHOLE_BODY or CAM_CALL_FORM,
 * whose functions are given what was awaited; they end with the stage CAM_CALL_READY. */
progress CamBody_Begin(CallObject *call);
progress CamBody_TakeEvent(CallObject *call, PyObject *event);
progress CamBody_TakeBytes(CallObject *call, PyObject *bytes);
progress CamBody_TakeForm(CallObject *call, PyObject *form);

/* What was awaited has raised: while the body is read that is FastAPI's to make an answer of
 * (REPLAY), else the exception that is set stays (FAILED). */
progress CamBody_Failed(CallObject *call);

#endif
