/* SPDX-License-Identifier: MIT */
/*
 * base/inbox: order, sleeping and closing in one thread; then several threads against one owner
 * that sleeps in the real poller. Under ThreadSanitizer (tools/checks/tsan) the second half proves
 * that what was written before a put is seen after the take, and a wake-up that is lost hangs it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/inbox.h"
#include "check.h"
#include "failmalloc.h"
#include "net/poll.h"

enum { PRODUCERS = 4, ITEMS = 20000, ROUNDS = 20 };

static int number_of(void *item) {
    return *(int *)item;
}

static void test_order(void) {
    cam_inbox inbox;
    int items[10];
    cam_inbox_init(&inbox);
    CHECK(cam_inbox_take(&inbox) == NULL, "empty");
    for (int i = 0; i < 10; i++) {
        items[i] = i;
        CHECK(cam_inbox_put(&inbox, &items[i]) == 0, "put %d while awake", i);
    }
    CHECK(cam_inbox_sleep(&inbox) == 0, "no sleep past items");
    cam_inbox_node *list = cam_inbox_take(&inbox);
    for (int i = 0; i < 10; i++) {
        CHECK(list != NULL && number_of(cam_inbox_next(&list)) == i, "item %d", i);
    }
    CHECK(list == NULL && cam_inbox_take(&inbox) == NULL, "taken");
}

static void test_sleep(void) {
    cam_inbox inbox;
    int item = 5;
    cam_inbox_init(&inbox);
    CHECK(cam_inbox_sleep(&inbox) == 1, "nothing there");
    CHECK(cam_inbox_sleep(&inbox) == 1, "asleep already");
    CHECK(cam_inbox_put(&inbox, &item) == 1, "the first wakes");
    CHECK(cam_inbox_put(&inbox, &item) == 0, "the second need not");
    CHECK(cam_inbox_sleep(&inbox) == 0, "items");
    cam_inbox_node *list = cam_inbox_take(&inbox);
    while (list != NULL) {
        CHECK(cam_inbox_next(&list) == &item, "item");
    }
    CHECK(cam_inbox_sleep(&inbox) == 1, "again");
    CHECK(cam_inbox_take(&inbox) == NULL, "woken by something else");
    CHECK(cam_inbox_put(&inbox, &item) == 0, "the owner is awake");
    list = cam_inbox_close(&inbox);
    CHECK(list != NULL && cam_inbox_next(&list) == &item && list == NULL, "left at the close");
}

static void test_close(void) {
    cam_inbox inbox;
    int item;
    cam_inbox_init(&inbox);
    CHECK(cam_inbox_sleep(&inbox) == 1, "asleep");
    CHECK(cam_inbox_close(&inbox) == NULL, "empty");
    CHECK(cam_inbox_put(&inbox, &item) == -EPIPE, "closed");
    CHECK(cam_inbox_take(&inbox) == NULL && cam_inbox_sleep(&inbox) == 0, "stays so");
    CHECK(cam_inbox_close(&inbox) == NULL, "twice");
}

static void test_no_memory(void) {
    cam_inbox inbox;
    int item;
    cam_inbox_init(&inbox);
    failmalloc_arm(1);
    CHECK(cam_inbox_put(&inbox, &item) == 0, "the first");
    CHECK(cam_inbox_put(&inbox, &item) == -ENOMEM, "refused");
    CHECK(failmalloc_disarm() == 1, "reached");
    cam_inbox_node *list = cam_inbox_close(&inbox);
    CHECK(list != NULL && cam_inbox_next(&list) == &item && list == NULL, "one is there");
    CHECK(failmalloc_held() == 0, "%ld nodes leaked", failmalloc_held());
}

/* ---- several threads ---- */

typedef struct Shared {
    cam_inbox inbox;
    cam_poll poll;
} Shared;

typedef struct Item {
    int producer;
    int number;
} Item;

typedef struct Producer {
    Shared *shared;
    Item *items;
    int id;
    int accepted;
} Producer;

/* Puts until all are in or the inbox is closed. */
static void *produce(void *argument) {
    Producer *producer = argument;
    Shared *shared = producer->shared;
    for (int i = 0; i < ITEMS; i++) {
        producer->items[i] = (Item){producer->id, i}; /* not atomic: the put publishes it */
        int status = cam_inbox_put(&shared->inbox, &producer->items[i]);
        if (status < 0) {
            break;
        }
        producer->accepted++;
        if (status == 1) {
            (void)cam_poll_wake(&shared->poll);
        }
        if (i % 97 == producer->id) {
            struct timespec pause = {0, 20000}; /* lets the owner fall asleep */
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* Takes a list out of the owner's hands, checking that each producer's items are in order. */
static int consume(cam_inbox_node *list, int *next) {
    int count = 0;
    while (list != NULL) {
        Item *item = cam_inbox_next(&list);
        CHECK(item->number == next[item->producer], "producer %d: %d instead of %d", item->producer,
              item->number, next[item->producer]);
        next[item->producer] = item->number + 1;
        count++;
    }
    return count;
}

/* Runs all producers; the owner takes until it has `enough` and then closes the inbox. Returns how
 * many items came out. */
static int run_producers(Producer *producers, Shared *shared, int enough, int *sleeps) {
    pthread_t threads[PRODUCERS];
    int next[PRODUCERS] = {0};
    int taken = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0, "thread");
    }
    while (taken < enough) {
        if (cam_inbox_sleep(&shared->inbox)) {
            cam_poll_event event;
            (*sleeps)++;
            CHECK(cam_poll_wait(&shared->poll, -1, &event, 1) == 0, "woken");
        }
        taken += consume(cam_inbox_take(&shared->inbox), next);
    }
    taken += consume(cam_inbox_close(&shared->inbox), next);
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    return taken;
}

static void test_threads(int enough) {
    Shared shared;
    Producer producers[PRODUCERS];
    int sleeps = 0;
    cam_inbox_init(&shared.inbox);
    CHECK(cam_poll_init(&shared.poll) == 0, "poller");
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (Producer){&shared, calloc(ITEMS, sizeof(Item)), i, 0};
        if (producers[i].items == NULL) {
            abort();
        }
    }
    int taken = run_producers(producers, &shared, enough, &sleeps);
    int accepted = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        accepted += producers[i].accepted;
        free(producers[i].items);
    }
    CHECK(taken == accepted, "%d taken, %d accepted", taken, accepted);
    CHECK(enough < PRODUCERS * ITEMS || sleeps > 0, "the owner never slept");
    cam_poll_fini(&shared.poll);
}

int main(void) {
    static const cam_allocator plain = {malloc, realloc, free};
    failmalloc_install();
    test_order();
    test_sleep();
    test_close();
    test_no_memory();
    CHECK(failmalloc_held() == 0, "%ld nodes leaked", failmalloc_held());
    cam_alloc_use(&plain); /* the counting one is for one thread */
    test_threads(PRODUCERS * ITEMS);
    for (int round = 1; round <= ROUNDS; round++) {
        test_threads(PRODUCERS * ITEMS / 4 / round); /* closed while they are at it */
    }
    return check_result();
}
