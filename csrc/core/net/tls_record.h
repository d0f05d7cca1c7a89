/* SPDX-License-Identifier: MIT */
/*
 * Where the records of a TLS connection end, told from their headers (RFC 8446 section 5.1; the
 * same in TLS 1.0 to 1.3).
 *
 * Whoever reads decrypted data asks in vain while nothing but a piece of a record is there. This
 * counts that piece, so that the question need not be asked. It judges nothing: whether a record
 * is valid, TLS says. Bytes that cannot be a header end the counting: all of them, and whatever
 * follows, pass for whole records, and TLS will refuse them.
 *
 * By value, all zero is the start of a connection. No allocation, no failure.
 */
#ifndef CAM_NET_TLS_RECORD_H
#define CAM_NET_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CAM_TLS_HEADER = 5,
    CAM_TLS_PLAINTEXT = 16 * 1024,                  /* of one record, at most */
    CAM_TLS_RECORD_BODY = CAM_TLS_PLAINTEXT + 2048, /* at most; TLS 1.3 allows less */
};

typedef struct cam_tls_records {
    size_t partial;               /* bytes seen of the record under way; 0 between two records */
    size_t left;                  /* bytes of its body still to come, once its header is whole */
    size_t whole;                 /* records that have ended; the caller takes off what it reads */
    uint8_t head[CAM_TLS_HEADER]; /* of the record under way */
    bool foreign;                 /* this is not TLS: partial stays 0, whole says nothing */
} cam_tls_records;

/* Counts the next `size` bytes that the peer has sent. */
void cam_tls_records_feed(cam_tls_records *records, const char *data, size_t size);

#endif
