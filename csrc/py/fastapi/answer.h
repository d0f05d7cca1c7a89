/* SPDX-License-Identifier: MIT */
/* From what an endpoint has returned to the bytes or the Response that answer with it. */
#ifndef CAM_FASTAPI_ANSWER_H
#define CAM_FASTAPI_ANSWER_H

#include "fastapi/call.h"

/* Validates and serialises call->content by the route's model, as FastAPI's serialize_response()
 * with the validation already made if `validated`. Then content is what the response is made of:
 * JSON in bytes if the plan's answer dumps JSON, else what JSON is made of. Runs user code. 0, or
 * -1 with an exception, which for an invalid content is FastAPI's ResponseValidationError. */
int CamAnswer_Serialize(CallObject *call, bool validated);

/* The same for a content without a model: a new bytes object of JSON if that can be had without
 * Python and says what jsonable_encoder() and JSONResponse would (with `encode`; JSONResponse
 * alone without); NULL without an exception if they must be asked. */
PyObject *CamAnswer_Json(PyObject *content, bool encode);

/* The two events of an answer of `body`, bytes, in JSON. New references; NULL with an exception. */
PyObject *CamAnswer_StartEvent(CallObject *call, PyObject *status, PyObject *headers);
PyObject *CamAnswer_BodyEvent(CallObject *call, PyObject *body);
/* [content-length, content-type]: a new list. */
PyObject *CamAnswer_JsonHeaders(CallObject *call, PyObject *body);

#endif
