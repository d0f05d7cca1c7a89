/* SPDX-License-Identifier: MIT */
/*
 * How bytes come in from a descriptor: one read(2) per readiness, then the poller is asked again,
 * so that no connection starves the others.
 *
 * Small reads go through the loop's one hot buffer and are copied out at their exact size; after a
 * read of more than 4 KiB the next goes straight into the object that is to hold the bytes, which
 * saves the copy. Embedded in the transport; on the loop's thread. All zero is the beginning.
 */
#ifndef CAM_TRANSPORT_INBOX_H
#define CAM_TRANSPORT_INBOX_H

#include "loop/loop.h"

typedef struct CamInbox {
    size_t bulk_size; /* bytes to read straight into an object; 0: the hot buffer */
    bool is_pipe;     /* which holds 64 KiB: room for more would be made and never filled */
} CamInbox;

/* What the functions below answer in place of a number of bytes. */
enum {
    CAM_INBOX_END = 0,
    CAM_INBOX_NOTHING = -1, /* nothing now */
    CAM_INBOX_FAILED = -2,  /* an exception is set, an OSError if it is the kernel's */
    CAM_INBOX_REFUSED = -3, /* the bytes are read, but the reader raised: an exception is set */
};

/* read(2), which is recv(2) on a socket. Runs no user code. */
Py_ssize_t cam_inbox_read(int fd, void *buffer, size_t size);

/* A bytes object of what there is, to be given back by CamSpare_Done; NULL with the answer in
 * *size. Runs no user code. */
PyObject *cam_inbox_bytes(CamInbox *inbox, LoopObject *loop, int fd, Py_ssize_t *size);

/* Feeds what there is to an asyncio.StreamReader (see reader.h). Where Python has to do that, the
 * bytes are in *left (for CamSpare_Done) instead; *left may be NULL with CAM_INBOX_FAILED alone.
 * Runs what CamReader_Feed may run. */
Py_ssize_t cam_inbox_feed(CamInbox *inbox, LoopObject *loop, int fd, PyObject *reader,
                          PyObject **left);

#endif
