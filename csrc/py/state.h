/* SPDX-License-Identifier: MIT */
/*
 * State of the extension module: every type and object that the C code shares.
 *
 * One per module object, so one per interpreter; nothing here is static. Objects reach it by a
 * pointer of their own, never by a look-up per call. The state lives as long as any object of
 * its types (object -> heap type -> module), which is why the module has no m_clear.
 * Members are strong references; filled at import by the *_exec function of the part named.
 */
#ifndef CAM_PY_STATE_H
#define CAM_PY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "asgi/constants.h"
#include "fastapi/constants.h"
#include "http/constants.h"
#include "transport/tls_library.h"

#include <stdbool.h>
#include <stdint.h>

/* Interned strings, as state->str_NAME. */
#define CAM_STRINGS(X)                                                                             \
    X(context)                                                                                     \
    X(loop)                                                                                        \
    X(name)                                                                                        \
    X(message)                                                                                     \
    X(exception)                                                                                   \
    X(handle)                                                                                      \
    X(source_traceback)                                                                            \
    X(call_exception_handler)                                                                      \
    X(_report_callback_error)                                                                      \
    X(_check_callback)                                                                             \
    X(_check_thread)                                                                               \
    X(_create_task_by_factory)                                                                     \
    X(Future)                                                                                      \
    X(Task)                                                                                        \
    X(_report_slow)                                                                                \
    X(_report_slow_step)                                                                           \
    /* loop/task*.c */                                                                             \
    X(create_task)                                                                                 \
    X(get_loop)                                                                                    \
    X(_loop)                                                                                       \
    X(_asyncio_future_blocking)                                                                    \
    X(_make_cancelled_error)                                                                       \
    X(add_done_callback)                                                                           \
    X(result)                                                                                      \
    X(throw)                                                                                       \
    X(call_soon)                                                                                   \
    /* transport/stream*.c, transport/listener.c */                                                \
    X(connection_made)                                                                             \
    X(connection_lost)                                                                             \
    X(data_received)                                                                               \
    X(eof_received)                                                                                \
    X(get_buffer)                                                                                  \
    X(buffer_updated)                                                                              \
    X(pause_writing)                                                                               \
    X(resume_writing)                                                                              \
    X(transport)                                                                                   \
    X(protocol)                                                                                    \
    X(socket)                                                                                      \
    X(sockname)                                                                                    \
    X(peername)                                                                                    \
    X(family)                                                                                      \
    X(type)                                                                                        \
    X(proto)                                                                                       \
    X(fileno)                                                                                      \
    X(setblocking)                                                                                 \
    X(_io_refs)                                                                                    \
    X(_decref_socketios)                                                                           \
    X(close)                                                                                       \
    X(create_future)                                                                               \
    X(cancelled)                                                                                   \
    X(done)                                                                                        \
    X(set_result)                                                                                  \
    X(set_exception)                                                                               \
    X(_attach)                                                                                     \
    X(_detach)                                                                                     \
    /* transport/pipe*.c, transport/process_pipe.c */                                              \
    X(pipe)                                                                                        \
    X(pipe_data_received)                                                                          \
    X(_pipe_data_received)                                                                         \
    X(_pipe_connection_lost)                                                                       \
    X(stdout)                                                                                      \
    X(stderr)                                                                                      \
    /* transport/reader.c */                                                                       \
    X(feed_data)                                                                                   \
    X(pause_reading)                                                                               \
    X(_stream_reader_wr)                                                                           \
    X(_eof)                                                                                        \
    X(_buffer)                                                                                     \
    X(_waiter)                                                                                     \
    X(_limit)                                                                                      \
    X(_transport)                                                                                  \
    X(_paused)                                                                                     \
    /* loop/sock.c */                                                                              \
    X(gettimeout)                                                                                  \
    X(recv)                                                                                        \
    X(recv_into)                                                                                   \
    X(recvfrom)                                                                                    \
    X(recvfrom_into)                                                                               \
    X(send)                                                                                        \
    X(sendto)                                                                                      \
    X(accept)                                                                                      \
    X(connect)                                                                                     \
    X(getsockopt)                                                                                  \
    /* loop/executor.c */                                                                          \
    X(cancel)                                                                                      \
    X(_state)                                                                                      \
    X(_exception)                                                                                  \
    X(_result)                                                                                     \
    X(FINISHED)                                                                                    \
    /* transport/datagram*.c */                                                                    \
    X(datagram_received)                                                                           \
    X(error_received)                                                                              \
    X(addr)                                                                                        \
    X(data)                                                                                        \
    /* transport/tls*.c */                                                                         \
    X(write)                                                                                       \
    X(_force_close)                                                                                \
    X(resume_reading)                                                                              \
    X(is_closing)                                                                                  \
    X(get_extra_info)                                                                              \
    X(call_later)                                                                                  \
    X(sslcontext)                                                                                  \
    X(ssl_object)                                                                                  \
    X(peercert)                                                                                    \
    X(cipher)                                                                                      \
    X(compression)                                                                                 \
    X(getaddrinfo)

/* Types and functions, as state->NAME. */
#define CAM_OBJECTS(X)                                                                             \
    /* loop/ */                                                                                    \
    X(handle_type)                                                                                 \
    X(timer_type)                                                                                  \
    X(asyncio_handle)                                                                              \
    X(asyncio_timer_handle)                                                                        \
    X(asyncio_shared_handle)                                                                       \
    X(loop_type)                                                                                   \
    X(asyncio_future)                                                                              \
    X(asyncio_task)                                                                                \
    X(futures_names)                                                                               \
    X(tasks_names)                                                                                 \
    X(extract_stack)                                                                               \
    X(format_callback)                                                                             \
    X(no_arguments)                                                                                \
    X(future_keywords)                                                                             \
    X(kw_loop)                                                                                     \
    X(kw_loop_context)                                                                             \
    X(kw_loop_name)                                                                                \
    X(kw_loop_name_context)                                                                        \
    /* loop/task*.c */                                                                             \
    X(resumption_type)                                                                             \
    X(stock_task)                                                                                  \
    X(stock_future)                                                                                \
    X(stock_result)                                                                                \
    X(stock_cancel)                                                                                \
    X(stock_set_exception)                                                                         \
    X(iscoroutine)                                                                                 \
    X(coroutine_types)                                                                             \
    X(current_tasks)                                                                               \
    X(register_task)                                                                               \
    X(unlist_task)                                                                                 \
    X(all_tasks)                                                                                   \
    X(all_tasks_iterating)                                                                         \
    X(all_tasks_removed)                                                                           \
    X(kw_context)                                                                                  \
    /* protocol.c */                                                                               \
    X(protocol_type)                                                                               \
    /* transport/stream.c, transport/listener.c */                                                 \
    X(stream_type)                                                                                 \
    X(listener_type)                                                                               \
    X(share_type)                                                                                  \
    X(asyncio_logger)                                                                              \
    X(buffered_protocol)                                                                           \
    X(transport_socket)                                                                            \
    X(socket_class)                                                                                \
    X(sendfile_mode)                                                                               \
    X(connector_type)                                                                              \
    /* transport/reader.c */                                                                       \
    X(reader_type)                                                                                 \
    X(reader_protocol_type)                                                                        \
    X(reader_feed_data)                                                                            \
    X(reader_data_received)                                                                        \
    /* loop/readiness.c, loop/sock.c */                                                            \
    X(readiness_type)                                                                              \
    X(sock_call_type)                                                                              \
    X(cancelled_error)                                                                             \
    X(invalid_state_error)                                                                         \
    X(sock_fileno)                                                                                 \
    X(sock_family)                                                                                 \
    X(check_ssl_socket)                                                                            \
    /* transport/datagram.c */                                                                     \
    X(datagram_type)                                                                               \
    /* transport/tls*.c */                                                                         \
    X(entrance_type)                                                                               \
    X(arrival_type)                                                                                \
    X(tls_type)                                                                                    \
    X(tls_transport_type)                                                                          \
    X(tls_window_type)                                                                             \
    X(process_protocol_type)                                                                       \
    X(process_data_received)                                                                       \
    /* transport/pipe*.c, transport/process_pipe.c */                                              \
    X(read_pipe_type)                                                                              \
    X(write_pipe_type)                                                                             \
    X(process_pipe_type)                                                                           \
    /* loop/executor.c */                                                                          \
    X(bridge_type)                                                                                 \
    X(concurrent_future)                                                                           \
    X(convert_exception)                                                                           \
    X(wrap_future)                                                                                 \
    /* loop/lookup.c */                                                                            \
    X(socket_module)                                                                               \
    X(socket_getaddrinfo)                                                                          \
    X(address_shapes)

typedef struct cam_handle_stock cam_handle_stock;
typedef struct cam_task_stock cam_task_stock;

typedef struct cam_state {
#define X(name) PyObject *str_##name;
    CAM_STRINGS(X)
#undef X
#define X(name) PyObject *name;
    CAM_OBJECTS(X)
#undef X
    PyObject *future_loop;          /* borrowed: the loop in future_keywords, NULL for none */
    cam_task_stock *task_stock;     /* loop/task_step.c: callables kept for the next await */
    uint64_t task_number;           /* of the last task with a default name */
    bool drives_tasks;              /* loop/task.h: this Python's tasks are known well enough */
    cam_handle_stock *handle_stock; /* loop/handle.c: handles kept for the next call_soon */
    cam_asgi_constants asgi;        /* asgi/ */
    cam_http_constants http;        /* http/ */
    cam_fastapi_constants fastapi;  /* fastapi/ */
    cam_tls_library tls;            /* transport/tls_library.c */
} cam_state;

/* Fill the state and the module's names; 0, or -1 with an exception. */
int cam_protocol_exec(PyObject *module, cam_state *state);
int cam_handle_exec(PyObject *module, cam_state *state);
int cam_loop_exec(PyObject *module, cam_state *state);
int cam_stream_exec(PyObject *module, cam_state *state);
int cam_listener_exec(PyObject *module, cam_state *state);
int cam_share_exec(PyObject *module, cam_state *state);
int cam_reader_exec(cam_state *state);
int cam_connect_exec(PyObject *module, cam_state *state);
int cam_readiness_exec(PyObject *module, cam_state *state);
int cam_sock_exec(PyObject *module, cam_state *state);
int cam_datagram_exec(PyObject *module, cam_state *state);
int cam_tls_exec(PyObject *module, cam_state *state);
int cam_entrance_exec(PyObject *module, cam_state *state);
int cam_arrival_exec(PyObject *module, cam_state *state);
int cam_read_pipe_exec(PyObject *module, cam_state *state);
int cam_write_pipe_exec(PyObject *module, cam_state *state);
int cam_process_pipe_exec(PyObject *module, cam_state *state);
int cam_task_exec(PyObject *module, cam_state *state);
int cam_lookup_exec(cam_state *state);
int cam_executor_exec(PyObject *module, cam_state *state);
int cam_asgi_exec(PyObject *module, cam_state *state);
int cam_http_exec(PyObject *module, cam_state *state);
int cam_fastapi_exec(PyObject *module, cam_state *state);

/* Frees what the state holds outside of the object tables. */
void cam_handle_free_stock(cam_state *state);
void cam_task_free_stock(cam_state *state);
void cam_asgi_free(cam_state *state);
int cam_asgi_traverse(cam_state *state, visitproc visit, void *arg);
void cam_http_free(cam_state *state);
int cam_http_traverse(cam_state *state, visitproc visit, void *arg);
void cam_fastapi_free(cam_state *state);
int cam_fastapi_traverse(cam_state *state, visitproc visit, void *arg);
void cam_tls_free(cam_state *state);
int cam_tls_traverse(cam_state *state, visitproc visit, void *arg);

/* The state of the module that made `type` or one of its bases; NULL with an exception. */
cam_state *CamState_OfType(PyTypeObject *type);

/* Makes a heap type from a spec, stores it in *slot and adds it to the module under its short
 * name when `public` is true. 0, or -1 with an exception. */
int CamState_AddType(PyObject *module, PyType_Spec *spec, PyObject *base, int public,
                     PyObject **slot);

#endif
