/* SPDX-License-Identifier: MIT */
/*
 * Request methods that are registered or in wide use (RFC 9110 section 16.1.1, the IANA registry).
 *
 * A method is any token, and our server leaves it to the application. A parser that stands in for
 * httptools has to refuse what is in no list, so here is one: the registry and what is used
 * without being in it (PURGE, SOURCE, SUBSCRIBE, NOTIFY, M-SEARCH).
 */
#ifndef CAM_HTTP_H1_METHODS_H
#define CAM_HTTP_H1_METHODS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* X(identifier, text): the most frequent first. */
#define CAM_H1_METHODS(X)                                                                          \
    X(GET, "GET")                                                                                  \
    X(POST, "POST")                                                                                \
    X(PUT, "PUT")                                                                                  \
    X(DELETE, "DELETE")                                                                            \
    X(HEAD, "HEAD")                                                                                \
    X(OPTIONS, "OPTIONS")                                                                          \
    X(PATCH, "PATCH")                                                                              \
    X(CONNECT, "CONNECT")                                                                          \
    X(TRACE, "TRACE")                                                                              \
    X(QUERY, "QUERY")                                                                              \
    X(PROPFIND, "PROPFIND")                                                                        \
    X(PROPPATCH, "PROPPATCH")                                                                      \
    X(MKCOL, "MKCOL")                                                                              \
    X(COPY, "COPY")                                                                                \
    X(MOVE, "MOVE")                                                                                \
    X(LOCK, "LOCK")                                                                                \
    X(UNLOCK, "UNLOCK")                                                                            \
    X(SEARCH, "SEARCH")                                                                            \
    X(REPORT, "REPORT")                                                                            \
    X(MKCALENDAR, "MKCALENDAR")                                                                    \
    X(ACL, "ACL")                                                                                  \
    X(BASELINE_CONTROL, "BASELINE-CONTROL")                                                        \
    X(BIND, "BIND")                                                                                \
    X(CHECKIN, "CHECKIN")                                                                          \
    X(CHECKOUT, "CHECKOUT")                                                                        \
    X(LABEL, "LABEL")                                                                              \
    X(LINK, "LINK")                                                                                \
    X(MERGE, "MERGE")                                                                              \
    X(MKACTIVITY, "MKACTIVITY")                                                                    \
    X(MKREDIRECTREF, "MKREDIRECTREF")                                                              \
    X(MKWORKSPACE, "MKWORKSPACE")                                                                  \
    X(M_SEARCH, "M-SEARCH")                                                                        \
    X(NOTIFY, "NOTIFY")                                                                            \
    X(ORDERPATCH, "ORDERPATCH")                                                                    \
    X(PRI, "PRI")                                                                                  \
    X(PURGE, "PURGE")                                                                              \
    X(REBIND, "REBIND")                                                                            \
    X(SOURCE, "SOURCE")                                                                            \
    X(SUBSCRIBE, "SUBSCRIBE")                                                                      \
    X(UNBIND, "UNBIND")                                                                            \
    X(UNCHECKOUT, "UNCHECKOUT")                                                                    \
    X(UNLINK, "UNLINK")                                                                            \
    X(UNSUBSCRIBE, "UNSUBSCRIBE")                                                                  \
    X(UPDATE, "UPDATE")                                                                            \
    X(UPDATEREDIRECTREF, "UPDATEREDIRECTREF")                                                      \
    X(VERSION_CONTROL, "VERSION-CONTROL")

typedef enum cam_h1_method {
    CAM_H1_METHOD_UNKNOWN = 0,
#define CAM_H1_METHOD_ID(identifier, text) CAM_H1_METHOD_##identifier,
    CAM_H1_METHODS(CAM_H1_METHOD_ID)
#undef CAM_H1_METHOD_ID
        CAM_H1_METHOD_COUNT /* one more than the greatest number */
} cam_h1_method;

/* The number of a method, which is case-sensitive, or CAM_H1_METHOD_UNKNOWN. */
cam_h1_method cam_h1_method_find(const char *text, size_t len);

/* Whether some method begins with this text, so that more bytes could still make it one. */
bool cam_h1_method_begins(const char *text, size_t len);

/* The method, a constant; empty for CAM_H1_METHOD_UNKNOWN and out of range. */
cam_slice cam_h1_method_text(unsigned method);

#endif
