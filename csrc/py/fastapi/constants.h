/* SPDX-License-Identifier: MIT */
/*
 * What the FastAPI router keeps in the module's state: interned names, its types, and, once the
 * first router is made, what it needs of FastAPI, Starlette and camshaft.fastapi.
 */
#ifndef CAM_FASTAPI_CONSTANTS_H
#define CAM_FASTAPI_CONSTANTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* X(identifier, text): strings, as state->fastapi.str_IDENTIFIER. */
#define CAM_FASTAPI_STRINGS(X)                                                                     \
    /* keys of the scope */                                                                        \
    X(app, "app")                                                                                  \
    X(router, "router")                                                                            \
    X(endpoint, "endpoint")                                                                        \
    X(path_params, "path_params")                                                                  \
    X(route, "route")                                                                              \
    X(fastapi, "fastapi")                                                                          \
    X(telemetry, "fastapi.telemetry")                                                              \
    X(included_router, "included_router")                                                          \
    X(route_context, "effective_route_context")                                                    \
    X(form_limits, "form_limits")                                                                  \
    X(inner_astack, "fastapi_inner_astack")                                                        \
    X(function_astack, "fastapi_function_astack")                                                  \
    X(cleanup_scopes, "fastapi_async_cleanup_scopes")                                              \
    X(failure, "camshaft.failure")                                                                 \
    X(limiter, "starlette._body_limit_responder")                                                  \
    X(max_body_size, "max_body_size")                                                              \
    X(http_one, "1.") /* what the versions of HTTP/1 begin with */                                 \
    /* attributes and keywords */                                                                  \
    X(routes, "routes")                                                                            \
    X(content_type, "content-type")                                                                \
    X(content_length, "content-length")                                                            \
    X(from_attributes, "from_attributes")                                                          \
    X(validate_python, "validate_python")                                                          \
    X(to_json, "to_json")                                                                          \
    X(to_python, "to_python")                                                                      \
    X(mode, "mode")                                                                                \
    X(json, "json")                                                                                \
    X(get, "get")                                                                                  \
    X(getlist, "getlist")                                                                          \
    X(body, "body")                                                                                \
    X(json_attribute, "_json")                                                                     \
    X(scope, "scope")                                                                              \
    X(background, "background")                                                                    \
    X(dumps, "dumps")

/* Types and other objects, as state->fastapi.NAME. Those below `loads` are NULL until
 * cam_fastapi_prepare(). */
#define CAM_FASTAPI_OBJECTS(X)                                                                     \
    X(router_type)                                                                                 \
    X(table_type)                                                                                  \
    X(entrance_type)                                                                               \
    X(call_type)                                                                                   \
    X(kw_from_attributes)                                                                          \
    X(name_content_length)                                                                         \
    X(name_content_type)                                                                           \
    X(media_json)                                                                                  \
    /* header names, and fields as tuples, of middleware */                                        \
    X(name_content_encoding)                                                                       \
    X(name_allow_origin)                                                                           \
    X(name_allow_headers)                                                                          \
    X(field_vary_origin)                                                                           \
    X(field_vary_encoding)                                                                         \
    X(field_gzip)                                                                                  \
    X(field_plain_text)                                                                            \
    X(field_allow_private_network)                                                                 \
    X(zlib_deflated)                                                                               \
    X(zlib_gzip_bits)                                                                              \
    X(loads)      /* json.loads */                                                                 \
    X(dumps)      /* json.dumps */                                                                 \
    X(json_names) /* the dict of the module json */                                                \
    X(scan_once)  /* json's scanner */                                                             \
    X(deepcopy)                                                                                    \
    X(compressobj) /* zlib.compressobj */                                                          \
    X(uuid)                                                                                        \
    X(validation_error) /* pydantic_core.ValidationError */                                        \
    X(response)         /* starlette.responses.Response */                                         \
    X(json_response)    /* JSONResponse */                                                         \
    X(jsonable_encoder)                                                                            \
    X(anext)                                                                                       \
    X(solve_generator)                                                                             \
    /* functions of camshaft.fastapi.generators */                                                 \
    X(open_scope)                                                                                  \
    X(pass_on)                                                                                     \
    X(leave)                                                                                       \
    X(refuse_to_go_on)                                                                             \
    /* functions of camshaft.fastapi.calls */                                                      \
    X(through_handler)                                                                             \
    X(before_middleware)                                                                           \
    X(body)    /* calls.Body */                                                                    \
    X(failure) /* calls.Failure */                                                                 \
    X(fail)                                                                                        \
    X(fail_here)                                                                                   \
    X(fail_inside)                                                                                 \
    X(respond)                                                                                     \
    X(respond_before)                                                                              \
    X(respond_inside)                                                                              \
    X(respond_json_inside)                                                                         \
    X(send_answer)                                                                                 \
    X(validate_in_thread)                                                                          \
    X(replay)                                                                                      \
    X(read_form)                                                                                   \
    X(solve_form)                                                                                  \
    X(read_again)                                                                                  \
    X(received)                                                                                    \
    X(field_errors)                                                                                \
    X(missing_error)                                                                               \
    X(invalid_request)                                                                             \
    X(invalid_response)                                                                            \
    X(inject)                                                                                      \
    X(build)

typedef struct cam_dict_watcher {
    int number; /* PyDict_AddWatcher's */
    bool there;
} cam_dict_watcher;

typedef struct cam_fastapi_constants {
#define X(name, text) PyObject *str_##name;
    CAM_FASTAPI_STRINGS(X)
#undef X
#define X(name) PyObject *name;
    CAM_FASTAPI_OBJECTS(X)
#undef X
    bool prepared;                                /* cam_fastapi_prepare() has found everything */
    cam_dict_watcher state_watcher, home_watcher; /* fastapi/guard.c */
    struct cam_pool_state *pool;                  /* fastapi/pool.c */
} cam_fastapi_constants;

#endif
