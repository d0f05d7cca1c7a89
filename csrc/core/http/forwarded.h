/* SPDX-License-Identifier: MIT */
/*
 * The entries of X-Forwarded-For, from the last to the first: each proxy adds at the end whom it
 * has the request from.
 *
 * No standard describes the field; it is read as uvicorn reads it. Whom to believe is the
 * caller's business (net/peers.h). Slices borrow from the value; nothing here fails.
 */
#ifndef CAM_HTTP_FORWARDED_H
#define CAM_HTTP_FORWARDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Takes the last entry off the list, without the white space (SP, HTAB) around it. False when
 * none is left; a list of n commas has n + 1 entries, empty ones included. */
bool cam_forwarded_last(cam_slice *list, cam_slice *entry);

/*
 * Splits host, host:port, [host]:port and [host]. The port is 0 where there is none, and an entry
 * of any other shape is a host as a whole. False when what is in the place of the port is neither
 * a few digits nor anything else that plainly is no number: then whoever knows what Python's int()
 * makes of it has to say.
 */
bool cam_forwarded_split(cam_slice entry, cam_slice *host, uint32_t *port);

#endif
