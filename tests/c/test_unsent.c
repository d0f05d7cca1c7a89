/* SPDX-License-Identifier: MIT */
/* net/unsent: more for peers that wait for a busy loop, and less again. */
#include "check.h"
#include "net/unsent.h"

static const int64_t MILLISECOND = 1000000;
enum { KIB = 1024 };

/* The kernel has enough, and so many milliseconds later it has room. */
static bool wait(cam_unsent *unsent, int64_t *now, int64_t milliseconds, bool dry) {
    cam_unsent_full(unsent, *now);
    *now += milliseconds * MILLISECOND;
    return cam_unsent_room(unsent, *now, dry);
}

static void is(const cam_unsent *unsent, int limit) {
    CHECK(cam_unsent_limit(unsent) == limit, "%d, not %d", cam_unsent_limit(unsent), limit);
}

static void test_growth(void) {
    cam_unsent unsent = {0};
    cam_unsent_begin(&unsent);
    is(&unsent, 96 * KIB);
    int64_t now = 0;
    for (int limit = 192; limit <= 1536; limit *= 2) {
        CHECK(!wait(&unsent, &now, 5, false), "the peer had enough");
        CHECK(wait(&unsent, &now, 5, true), "to %d", limit);
        is(&unsent, limit * KIB);
    }
    CHECK(!wait(&unsent, &now, 5, true), "no more");
    is(&unsent, 1536 * KIB);
}

static void test_return(void) {
    cam_unsent unsent = {0};
    cam_unsent_begin(&unsent);
    int64_t now = (int64_t)1 << 62; /* whose microseconds do not fit 32 bits */
    for (int i = 0; i < 3; i++) {
        CHECK(wait(&unsent, &now, 50, true), "%d", i);
    }
    is(&unsent, 768 * KIB);
    for (int i = 1; i < 8; i++) {
        CHECK(!wait(&unsent, &now, 1, true), "prompt %d", i);
    }
    CHECK(wait(&unsent, &now, 2, true), "prompt often enough");
    is(&unsent, 384 * KIB);
    CHECK(wait(&unsent, &now, 51, true), "slow");
    is(&unsent, 96 * KIB);
    CHECK(!wait(&unsent, &now, 1000, true), "still slow");
    for (int i = 0; i < 20; i++) {
        CHECK(!wait(&unsent, &now, 0, true), "no less");
    }
    is(&unsent, 96 * KIB);
}

static void test_who_is_late(void) {
    cam_unsent unsent = {0};
    cam_unsent_begin(&unsent);
    cam_unsent_full(&unsent, 0);
    CHECK(!cam_unsent_was_late(&unsent, 2 * MILLISECOND), "prompt");
    CHECK(cam_unsent_was_late(&unsent, 3 * MILLISECOND), "late");
    CHECK(!cam_unsent_was_late(&unsent, 51 * MILLISECOND), "slow");
}

int main(void) {
    test_growth();
    test_return();
    test_who_is_late();
    return check_result();
}
