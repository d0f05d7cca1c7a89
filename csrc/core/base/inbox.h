/* SPDX-License-Identifier: MIT */
/*
 * An inbox: any thread may put items in, one thread takes them out and may sleep when there are
 * none.
 *
 * All of its state is one atomic word: a list of items, newest first, or nothing, or the mark that
 * the owner sleeps, or the mark that it is closed. So whoever puts the first item in front of a
 * sleeping owner learns in the same step that a wake-up is wanted, and an owner cannot fall asleep
 * past an item: neither can be lost. Puts release what was written before them to the owner, whose
 * take acquires it. The list is only ever taken whole, so a node that is freed and made again
 * cannot be mistaken (no ABA).
 *
 * Items of one thread come out in the order they were put in. The inbox owns its nodes, not the
 * items. Runs no user code and takes no lock.
 *
 * The event loop does not use it yet: while the GIL guards the ready queue, entering a callback
 * there directly costs less than any hand-over. It is what call_soon_threadsafe() is to go
 * through on a Python without that lock.
 */
#ifndef CAM_BASE_INBOX_H
#define CAM_BASE_INBOX_H

typedef struct cam_inbox_node {
    struct cam_inbox_node *next;
    void *item;
} cam_inbox_node;

typedef struct cam_inbox {
    cam_inbox_node *newest; /* or one of inbox.c's marks; accessed by atomic operations alone */
} cam_inbox;

void cam_inbox_init(cam_inbox *inbox);

/* Any thread. 0; 1 when the owner sleeps and has to be woken by the caller, once; -ENOMEM; or
 * -EPIPE when the inbox is closed. On an error the item is still the caller's. */
int cam_inbox_put(cam_inbox *inbox, void *item);

/* The owner: takes all that is there, oldest first, and is awake from now on. NULL for nothing.
 * Each node is given back by cam_inbox_next. */
cam_inbox_node *cam_inbox_take(cam_inbox *inbox);

/* The owner: the item of a list that cam_inbox_take or cam_inbox_close gave, whose node is freed;
 * *list moves on, and is NULL after the last. */
void *cam_inbox_next(cam_inbox_node **list);

/* The owner, before it blocks: 1 when it may, and the next put asks for a wake-up; 0 when there is
 * something to take, or the inbox is closed. To be called again after each take. */
int cam_inbox_sleep(cam_inbox *inbox);

/* The owner: refuses all further items; returns those that were still there, oldest first. */
cam_inbox_node *cam_inbox_close(cam_inbox *inbox);

#endif
