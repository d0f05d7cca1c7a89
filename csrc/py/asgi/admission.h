/* SPDX-License-Identifier: MIT */
/*
 * Who is let in: how many connections there may be, in all and of one address, and how many
 * requests at once.
 *
 * A connection too many is answered with 503 and closed without being read: an answer tells a
 * client, a balancer and a log what has happened, where a closed connection tells nobody and is
 * tried again at once. Those that are being told count as well; when they become many, as in a
 * flood, the next are closed without a word, so that refusing costs as little as can be.
 *
 * An address is an IPv4 address or the first 64 bits of an IPv6 address, which is what one
 * customer is given (RFC 6177). Unix sockets have none and only the limit of all applies.
 */
#ifndef CAM_ASGI_ADMISSION_H
#define CAM_ASGI_ADMISSION_H

#include "asgi/cycle.h"

/* Counts a new connection: 1 when it may stay, 0 when it was refused, -1 with an exception. Runs
 * user code when it is refused, and with a limit for each address (get_extra_info). */
int CamAdmission_Enter(HttpProtocolObject *connection);

/* Counts it no more; the second call does nothing. */
void CamAdmission_Leave(HttpProtocolObject *connection);

/* Looks whether there are as many connections as may be accepted, after their number has changed,
 * and tells server->on_full of a change; connections that are idle make room then. An exception
 * that is set stays. Runs user code. */
void CamAdmission_Look(HttpServerObject *server);

/* Whether another request is one too many, as uvicorn counts: this one's connection is among the
 * connections, and its task not among the tasks. */
bool CamAdmission_IsFull(const HttpServerObject *server);

/* Answers a request that has no task with uvicorn's 503, and sees its connection to the end. 0, or
 * -1 with an exception. Runs user code (the logs). */
int CamAdmission_Decline(CycleObject *cycle);

#endif
