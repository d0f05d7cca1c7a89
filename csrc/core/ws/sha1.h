/* SPDX-License-Identifier: MIT */
/*
 * SHA-1 (RFC 3174) of something short, as the WebSocket handshake wants it.
 *
 * There it proves nothing but that the server speaks WebSocket, so that SHA-1's weakness does not
 * matter; it is used for nothing else.
 */
#ifndef CAM_WS_SHA1_H
#define CAM_WS_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define CAM_SHA1_LEN 20

/* The digest of data[0 .. len). */
void cam_sha1(uint8_t digest[CAM_SHA1_LEN], const void *data, size_t len);

#endif
