/* SPDX-License-Identifier: MIT */
/* What the files of a call share: how a step has ended, and awaiting. */
#ifndef CAM_FASTAPI_CALL_PARTS_H
#define CAM_FASTAPI_CALL_PARTS_H

#include "fastapi/call.h"

/* What a step has come to. */
typedef enum progress {
    GO_ON,  /* the next stage */
    WAIT,   /* for call->inner */
    ENDED,  /* *value is the result, a new reference */
    FAILED, /* with the exception that is set */
    REPLAY, /* FastAPI is to do it all */
} progress;

/* Sets call->inner to what steps an awaitable, which is stolen; NULL: an exception is set. May run
 * user code. WAIT or FAILED. */
progress CamCall_Await(CallObject *call, PyObject *awaitable);

#endif
