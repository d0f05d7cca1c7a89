/* SPDX-License-Identifier: MIT */
/*
 * Header field names that are worth a number.
 *
 * The parser gives each header the number of its name, so that nobody above compares strings
 * again and the binding can hand out one interned object per name. Sorted by length, which is
 * what the look-up goes by; within one length the most frequent come first.
 */
#ifndef CAM_HTTP_H1_NAMES_H
#define CAM_HTTP_H1_NAMES_H

#include <stdint.h>

#include "base/slice.h"

/* X(identifier, text): text in lower case. */
#define CAM_H1_NAMES(X)                                                                            \
    X(TE, "te")                                                                                    \
    X(DNT, "dnt")                                                                                  \
    X(VIA, "via")                                                                                  \
    X(HOST, "host")                                                                                \
    X(DATE, "date")                                                                                \
    X(FROM, "from")                                                                                \
    X(RANGE, "range")                                                                              \
    X(COOKIE, "cookie")                                                                            \
    X(ACCEPT, "accept")                                                                            \
    X(ORIGIN, "origin")                                                                            \
    X(EXPECT, "expect")                                                                            \
    X(PRAGMA, "pragma")                                                                            \
    X(REFERER, "referer")                                                                          \
    X(UPGRADE, "upgrade")                                                                          \
    X(TRAILER, "trailer")                                                                          \
    X(SEC_GPC, "sec-gpc")                                                                          \
    X(IF_MATCH, "if-match")                                                                        \
    X(IF_RANGE, "if-range")                                                                        \
    X(PRIORITY, "priority")                                                                        \
    X(SEC_CH_UA, "sec-ch-ua")                                                                      \
    X(FORWARDED, "forwarded")                                                                      \
    X(X_REAL_IP, "x-real-ip")                                                                      \
    X(CONNECTION, "connection")                                                                    \
    X(USER_AGENT, "user-agent")                                                                    \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(TRACESTATE, "tracestate")                                                                    \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(MAX_FORWARDS, "max-forwards")                                                                \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(AUTHORIZATION, "authorization")                                                              \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(LAST_EVENT_ID, "last-event-id")                                                              \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                                            \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                            \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                            \
    X(SEC_FETCH_USER, "sec-fetch-user")                                                            \
    X(ACCEPT_CHARSET, "accept-charset")                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(ACCEPT_LANGUAGE, "accept-language")                                                          \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile")                                                        \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_LANGUAGE, "content-language")                                                        \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                        \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                        \
    X(X_REQUESTED_WITH, "x-requested-with")                                                        \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                      \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                      \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform")                                                    \
    X(CONTENT_DISPOSITION, "content-disposition")                                                  \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                  \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                              \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                            \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                                        \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")                                      \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")                              \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers")

typedef enum cam_h1_name {
    CAM_H1_NAME_UNKNOWN = 0,
#define CAM_H1_NAME_ID(identifier, text) CAM_H1_NAME_##identifier,
    CAM_H1_NAMES(CAM_H1_NAME_ID)
#undef CAM_H1_NAME_ID
        CAM_H1_NAME_COUNT /* one more than the greatest number */
} cam_h1_name;

/* The number of a name in any case, or CAM_H1_NAME_UNKNOWN. The name holds no CR. */
uint16_t cam_h1_name_find(const char *name, size_t len);

/* The name in lower case, a constant; empty for CAM_H1_NAME_UNKNOWN and out of range. */
cam_slice cam_h1_name_text(unsigned id);

#endif
