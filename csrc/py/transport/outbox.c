/* SPDX-License-Identifier: MIT */
#include "transport/outbox.h"

#include <string.h>
#include <unistd.h>

enum {
    KEEP_SIZE = 2 * 1024, /* objects from here on are kept even behind a copy */
    FIRST_ROOM = 448,     /* with its header still one of PyMem's small blocks */
    LARGEST_ROOM = 64 * 1024,
};

static void drop_first(CamOutbox *outbox) {
    CamChunk *chunk = outbox->first;
    outbox->first = chunk->next;
    if (outbox->first == NULL) {
        outbox->last = NULL;
    }
    PyObject *keep = chunk->keep;
    if (chunk->data == NULL) {
        close(((CamFileChunk *)chunk)->fd);
    }
    if (chunk != &outbox->lone) {
        PyMem_Free(chunk);
    }
    Py_XDECREF(keep); /* exactly bytes or str: no user code */
}

void cam_outbox_clear(CamOutbox *outbox) {
    outbox->size = 0;
    while (outbox->first != NULL) {
        drop_first(outbox);
    }
}

void cam_outbox_consume(CamOutbox *outbox, size_t count) {
    outbox->size -= count;
    while (count > 0 && outbox->first != NULL) {
        CamChunk *chunk = outbox->first;
        if (count < chunk->size) {
            if (chunk->data == NULL) {
                ((CamFileChunk *)chunk)->offset += (off_t)count;
            } else {
                chunk->data += count;
            }
            chunk->size -= count;
            return;
        }
        count -= chunk->size;
        drop_first(outbox);
    }
}

int cam_outbox_vectors(const CamOutbox *outbox, struct iovec *vectors, size_t *size) {
    int used = 0;
    *size = 0;
    for (CamChunk *chunk = outbox->first;
         chunk != NULL && chunk->data != NULL && used < CAM_OUTBOX_VECTORS; chunk = chunk->next) {
        vectors[used].iov_base = (char *)chunk->data;
        vectors[used].iov_len = chunk->size;
        *size += chunk->size;
        used++;
    }
    return used;
}

static char *room_of(CamChunk *chunk) {
    return (char *)(chunk + 1);
}

/* An empty chunk with that much room; NULL with MemoryError. */
static CamChunk *make_chunk(size_t capacity) {
    CamChunk *chunk = PyMem_Malloc(sizeof(CamChunk) + capacity);
    if (chunk == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    chunk->next = NULL;
    chunk->data = room_of(chunk);
    chunk->size = 0;
    chunk->capacity = capacity;
    chunk->keep = NULL;
    return chunk;
}

static void append_chunk(CamOutbox *outbox, CamChunk *chunk) {
    if (outbox->last != NULL) {
        outbox->last->next = chunk;
    } else {
        outbox->first = chunk;
    }
    outbox->last = chunk;
}

/* Room left behind the last chunk's bytes. */
static size_t room_left(CamOutbox *outbox) {
    CamChunk *last = outbox->last;
    if (last == NULL || last->keep != NULL || last->data == NULL) {
        return 0;
    }
    return last->capacity - (size_t)(last->data - room_of(last)) - last->size;
}

static void fill(CamOutbox *outbox, const char *data, size_t size) {
    CamChunk *last = outbox->last;
    memcpy((char *)last->data + last->size, data, size);
    last->size += size;
    outbox->size += size;
}

int cam_outbox_add_copy(CamOutbox *outbox, const char *data, size_t size) {
    size_t room = room_left(outbox);
    if (size > room) {
        /* Each chunk is larger than the one before it: few of them, and little room unused. */
        size_t wanted = FIRST_ROOM;
        if (outbox->last != NULL && outbox->last->capacity > 0) {
            wanted = outbox->last->capacity * 4;
        }
        if (wanted > LARGEST_ROOM) {
            wanted = LARGEST_ROOM;
        }
        if (wanted < size - room) {
            wanted = size - room;
        }
        CamChunk *next = make_chunk(wanted);
        if (next == NULL) {
            return -1;
        }
        if (room > 0) {
            fill(outbox, data, room);
            data += room;
            size -= room;
        }
        append_chunk(outbox, next);
    }
    fill(outbox, data, size);
    return 0;
}

int cam_outbox_add_kept(CamOutbox *outbox, PyObject *object, const char *data, size_t size) {
    if (size < KEEP_SIZE && size <= room_left(outbox)) {
        fill(outbox, data, size);
        return 0;
    }
    if (size < KEEP_SIZE && outbox->first != NULL) {
        return cam_outbox_add_copy(outbox, data, size);
    }
    CamChunk *chunk = outbox->first == NULL ? &outbox->lone : make_chunk(0);
    if (chunk == NULL) {
        return -1;
    }
    *chunk = (CamChunk){
        .data = data,
        .size = size,
        .keep = Py_NewRef(object),
    };
    append_chunk(outbox, chunk);
    outbox->size += size;
    return 0;
}

int cam_outbox_add_file(CamOutbox *outbox, int fd, off_t offset, size_t size) {
    CamFileChunk *file = PyMem_Malloc(sizeof(CamFileChunk));
    if (file == NULL) {
        close(fd);
        PyErr_NoMemory();
        return -1;
    }
    *file = (CamFileChunk){.chunk = {.size = size}, .offset = offset, .fd = fd};
    append_chunk(outbox, &file->chunk);
    outbox->size += size;
    return 0;
}
