/* SPDX-License-Identifier: MIT */
/* base/heap: order, ties, filtering, and every allocation failed in turn. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/heap.h"
#include "check.h"
#include "failmalloc.h"

enum { ITEMS = 1000 };

typedef struct Item {
    int64_t when;
    int arrival;
    int dead;
} Item;

static Item items[ITEMS];

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static int fill(cam_heap *heap, int64_t spread) {
    uint32_t seed = 7;
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (Item){next_random(&seed) % spread, i, 0};
        int status = cam_heap_push(heap, items[i].when, &items[i]);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static int alive(void *item, void *context) {
    (*(int *)context)++;
    return !((Item *)item)->dead;
}

static void check_leaves_in_order(cam_heap *heap, size_t expected, const char *what) {
    size_t count = 0;
    const Item *last = NULL;
    while (cam_heap_peek(heap) != NULL) {
        const cam_heap_entry *top = cam_heap_peek(heap);
        CHECK(top->when == ((Item *)top->item)->when, "%s: entry %zu", what, count);
        const Item *item = cam_heap_pop(heap);
        if (last != NULL) {
            CHECK(last->when < item->when ||
                      (last->when == item->when && last->arrival < item->arrival),
                  "%s: entry %zu out of order", what, count);
        }
        last = item;
        count++;
    }
    CHECK(count == expected, "%s: %zu items", what, count);
}

static void test_order(int64_t spread) {
    cam_heap heap;
    cam_heap_init(&heap);
    CHECK(cam_heap_peek(&heap) == NULL, "empty");
    CHECK(fill(&heap, spread) == 0, "fill");
    check_leaves_in_order(&heap, ITEMS, "all");
    cam_heap_fini(&heap);
}

static void test_filter(void) {
    for (int step = 1; step <= 5; step++) {
        cam_heap heap;
        cam_heap_init(&heap);
        CHECK(fill(&heap, 50) == 0, "fill");
        size_t dead = 0;
        for (int i = 0; i < ITEMS; i += step) {
            items[i].dead = 1;
            dead++;
        }
        int asked = 0;
        CHECK(cam_heap_filter(&heap, alive, &asked) == dead, "step %d", step);
        CHECK(asked == ITEMS, "asked %d times", asked);
        check_leaves_in_order(&heap, ITEMS - dead, "filtered");
        cam_heap_fini(&heap);
    }
}

static void test_no_memory(void) {
    for (long failing = 0;; failing++) {
        cam_heap heap;
        cam_heap_init(&heap);
        failmalloc_arm(failing);
        int status = fill(&heap, 1000);
        int reached = failmalloc_disarm();
        if (!reached) {
            CHECK(status == 0, "nothing failed, status %d", status);
            CHECK(failing > 2, "only %ld allocations were tried", failing);
            cam_heap_fini(&heap);
            break;
        }
        CHECK(status == -ENOMEM, "allocation %ld: status %d", failing, status);
        check_leaves_in_order(&heap, heap.count, "after a failure");
        cam_heap_fini(&heap);
    }
    CHECK(failmalloc_held() == 0, "%ld blocks leaked", failmalloc_held());
}

int main(void) {
    failmalloc_install();
    test_order(INT64_C(1) << 23);
    test_order(3);
    test_filter();
    test_no_memory();
    return check_result();
}
