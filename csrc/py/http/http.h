/* SPDX-License-Identifier: MIT */
/* What the files of camshaft.http's C half share: each adds its types to the module. */
#ifndef CAM_PY_HTTP_HTTP_H
#define CAM_PY_HTTP_HTTP_H

#include "state.h"

int cam_http_parser_exec(PyObject *module, cam_state *state);
int cam_http_url_exec(PyObject *module, cam_state *state);

#endif
