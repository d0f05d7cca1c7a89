/* SPDX-License-Identifier: MIT */
/*
 * The bytes that a transport has been given and not yet sent, oldest first.
 *
 * bytes objects and texts in ASCII are kept, not copied, unless they are small and there is room
 * behind others; everything else is copied, so that its owner may change it. Embedded in the
 * transport, which sends by a system call of its kind: cam_outbox_vectors, then cam_outbox_consume.
 * It does not move. On the loop's thread. Runs no user code. All zero is empty.
 */
#ifndef CAM_TRANSPORT_OUTBOX_H
#define CAM_TRANSPORT_OUTBOX_H

#include "state.h"

#include <sys/uio.h>

/* Bytes that wait to be sent: kept (`keep`), or copied into the room that follows the chunk. */
typedef struct CamChunk {
    struct CamChunk *next;
    const char *data; /* the first unsent byte */
    size_t size;      /* unsent bytes */
    size_t capacity;  /* of the room; 0 when the bytes are another object's */
    PyObject *keep;   /* strong: a bytes or str object; NULL for a copy */
} CamChunk;

/* Bytes of a file, in a stream transport's outbox alone: the chunk's data is NULL. */
typedef struct CamFileChunk {
    CamChunk chunk;
    off_t offset; /* of the first unsent byte */
    int fd;       /* owned */
} CamFileChunk;

typedef struct CamOutbox {
    CamChunk *first;
    CamChunk *last;
    size_t size; /* sum of the chunks' sizes */
    CamChunk
        lone; /* for a bytes object that waits alone, as most do: nothing is allocated for it */
} CamOutbox;

enum { CAM_OUTBOX_VECTORS = 64 };

/* Queues a copy. 0, or -1 with MemoryError. */
int cam_outbox_add_copy(CamOutbox *outbox, const char *data, size_t size);

/* Queues what an object holds that is of exactly the type bytes, or str and ASCII; it is not empty.
 * 0, or -1 with MemoryError. */
int cam_outbox_add_kept(CamOutbox *outbox, PyObject *object, const char *data, size_t size);

static inline int cam_outbox_add_bytes(CamOutbox *outbox, PyObject *bytes) {
    return cam_outbox_add_kept(outbox, bytes, PyBytes_AS_STRING(bytes),
                               (size_t)PyBytes_GET_SIZE(bytes));
}

/* Queues `size` bytes, not 0, of a file. Takes the descriptor over, whatever comes of it. 0, or -1
 * with MemoryError. */
int cam_outbox_add_file(CamOutbox *outbox, int fd, off_t offset, size_t size);

/* What is to be sent next if that is of a file, else NULL. */
static inline CamFileChunk *cam_outbox_file(const CamOutbox *outbox) {
    CamChunk *first = outbox->first;
    return first != NULL && first->data == NULL ? (CamFileChunk *)first : NULL;
}

/* Fills at most CAM_OUTBOX_VECTORS with what is to be sent next, up to the next file; returns how
 * many, *size being their sum. */
int cam_outbox_vectors(const CamOutbox *outbox, struct iovec *vectors, size_t *size);

/* Takes `count` sent bytes off the front. */
void cam_outbox_consume(CamOutbox *outbox, size_t count);

/* Forgets what is unsent. */
void cam_outbox_clear(CamOutbox *outbox);

#endif
