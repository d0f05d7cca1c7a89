/* SPDX-License-Identifier: MIT */
/* Masking: every way there is against the definition, at every alignment, length and phase. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/mask.h"

#define ROOM 64 /* before and after, to see that nothing else is touched */

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x80};

typedef void mask_function(char *data, size_t len, const uint8_t key[4], uint64_t offset);

/* data is what buf must become: the bytes i * 7, masked from at to at + len. */
static bool is_masked(const char *buf, size_t size, size_t at, size_t len, uint64_t offset) {
    for (size_t i = 0; i < size; i++) {
        uint8_t expected = (uint8_t)(i * 7);
        if (i >= at && i < at + len) {
            expected ^= key[(offset + i - at) % 4];
        }
        if ((uint8_t)buf[i] != expected) {
            return false;
        }
    }
    return true;
}

static void test_way(const char *name, mask_function *mask) {
    static char buf[ROOM + 1200 + ROOM];
    for (size_t len = 0; len < 1100; len += len < 300 ? 1 : 61) {
        for (size_t align = 0; align < 33; align += len < 300 ? 1 : 4) {
            for (uint64_t offset = 0; offset < 4; offset++) {
                for (size_t i = 0; i < sizeof(buf); i++) {
                    buf[i] = (char)(i * 7);
                }
                mask(buf + ROOM + align, len, key, offset + ((uint64_t)1 << 40));
                CHECK(is_masked(buf, sizeof(buf), ROOM + align, len, offset),
                      "%s: %zu bytes at %zu, offset %d", name, len, align, (int)offset);
            }
        }
    }
}

/* In an allocation of just its size, for the sanitizers. */
static void test_bounds(mask_function *mask) {
    for (size_t len = 0; len < 300; len++) {
        char *data = malloc(len > 0 ? len : 1);
        if (data == NULL) {
            abort();
        }
        memset(data, 0, len > 0 ? len : 1);
        mask(data, len, key, 0);
        mask(data, len, key, 0);
        for (size_t i = 0; i < len; i++) {
            CHECK(data[i] == 0, "masked twice, byte %zu of %zu", i, len);
        }
        free(data);
    }
}

int main(void) {
    size_t usable = 0;
    for (size_t i = 0; i < cam__ws_mask_way_count; i++) {
        const cam__ws_mask_way *way = &cam__ws_mask_ways[i];
        if (way->usable()) {
            test_way(way->name, way->mask);
            test_bounds(way->mask);
            usable++;
        } else {
            printf("not on this machine: %s\n", way->name);
        }
    }
    CHECK(usable > 0, "no way to mask");
    test_way("chosen", cam_ws_mask);
    test_bounds(cam_ws_mask);
    return check_result();
}
