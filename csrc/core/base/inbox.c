/* SPDX-License-Identifier: MIT */
/* The atomic operations are the compiler's built-in ones, which C11's are made of in gcc and clang.
 */
#include "base/inbox.h"

#include "base/alloc.h"

#include <errno.h>
#include <stddef.h>

/* Marks are nodes that are never linked in: no allocation has their address. */
static cam_inbox_node sleeping_mark;
static cam_inbox_node closed_mark;

static int is_mark(const cam_inbox_node *node) {
    return node == &sleeping_mark || node == &closed_mark;
}

void cam_inbox_init(cam_inbox *inbox) {
    inbox->newest = NULL; /* nobody else knows it yet */
}

int cam_inbox_put(cam_inbox *inbox, void *item) {
    cam_inbox_node *node = cam_alloc(sizeof(*node));
    if (node == NULL) {
        return -ENOMEM;
    }
    node->item = item;
    cam_inbox_node *newest = __atomic_load_n(&inbox->newest, __ATOMIC_RELAXED);
    do {
        if (newest == &closed_mark) {
            cam_free(node);
            return -EPIPE;
        }
        node->next = newest == &sleeping_mark ? NULL : newest;
        /* Release: the owner sees the node, and what the caller wrote before. A chain of puts is
         * one release sequence, so that its single acquire sees all of them. */
    } while (!__atomic_compare_exchange_n(&inbox->newest, &newest, node, 1, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    return newest == &sleeping_mark;
}

/* The list the other way round. */
static cam_inbox_node *oldest_first(cam_inbox_node *newest) {
    cam_inbox_node *oldest = NULL;
    while (newest != NULL) {
        cam_inbox_node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

cam_inbox_node *cam_inbox_take(cam_inbox *inbox) {
    cam_inbox_node *newest = __atomic_load_n(&inbox->newest, __ATOMIC_RELAXED);
    if (newest == NULL || newest == &closed_mark) {
        return NULL;
    }
    newest = __atomic_exchange_n(&inbox->newest, NULL, __ATOMIC_ACQUIRE);
    return is_mark(newest) ? NULL : oldest_first(newest);
}

void *cam_inbox_next(cam_inbox_node **list) {
    cam_inbox_node *node = *list;
    void *item = node->item;
    *list = node->next;
    cam_free(node);
    return item;
}

int cam_inbox_sleep(cam_inbox *inbox) {
    cam_inbox_node *nothing = NULL;
    /* Nothing is handed over here: the take that follows a wake-up acquires. */
    return __atomic_compare_exchange_n(&inbox->newest, &nothing, &sleeping_mark, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
           nothing == &sleeping_mark;
}

cam_inbox_node *cam_inbox_close(cam_inbox *inbox) {
    cam_inbox_node *newest = __atomic_exchange_n(&inbox->newest, &closed_mark, __ATOMIC_ACQUIRE);
    return is_mark(newest) ? NULL : oldest_first(newest);
}
