/* SPDX-License-Identifier: MIT */
#include "net/unsent.h"

enum {
    LEAST = 96 * 1024,
    LARGEST_STEP = 5, /* 1.5 MiB */
    /* Microseconds between the kernel's having enough and our coming back: of a loop that is
     * prompt, and of a peer that is slow, for which more would be too much. */
    PROMPT = 2000,
    SLOW = 50000,
    PROMPT_TIMES = 8, /* before the limit is halved */
};

static uint32_t microseconds(int64_t now) {
    return (uint32_t)((uint64_t)now / 1000);
}

static uint32_t waited(const cam_unsent *unsent, int64_t now) {
    return microseconds(now) - unsent->since;
}

void cam_unsent_begin(cam_unsent *unsent) {
    *unsent = (cam_unsent){.step = 1};
}

int cam_unsent_limit(const cam_unsent *unsent) {
    return LEAST << (unsent->step - 1);
}

void cam_unsent_full(cam_unsent *unsent, int64_t now) {
    unsent->since = microseconds(now);
}

bool cam_unsent_was_late(const cam_unsent *unsent, int64_t now) {
    uint32_t time = waited(unsent, now);
    return time > PROMPT && time <= SLOW;
}

static bool change(cam_unsent *unsent, int step) {
    unsent->prompt = 0;
    if (step < 1 || step > LARGEST_STEP || step == unsent->step) {
        return false;
    }
    unsent->step = (uint8_t)step;
    return true;
}

bool cam_unsent_room(cam_unsent *unsent, int64_t now, bool dry) {
    if (waited(unsent, now) > SLOW) {
        return change(unsent, 1);
    }
    if (cam_unsent_was_late(unsent, now)) {
        return dry && change(unsent, unsent->step + 1);
    }
    return ++unsent->prompt == PROMPT_TIMES && change(unsent, unsent->step - 1);
}
