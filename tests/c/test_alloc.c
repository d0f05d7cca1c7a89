/* SPDX-License-Identifier: MIT */
/* base/alloc: the replaceable allocator. */
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "failmalloc.h"

int main(void) {
    failmalloc_install();
    char *block = cam_alloc(0);
    CHECK(block != NULL, "an empty block is a block");
    block = cam_realloc(block, 100);
    CHECK(block != NULL && failmalloc_held() == 1, "%ld held", failmalloc_held());
    cam_free(block);
    cam_free(NULL);
    CHECK(failmalloc_held() == 0, "%ld held", failmalloc_held());

    static const char zeros[64];
    char *zeroed = cam_alloc_zeroed(8, 8);
    CHECK(zeroed != NULL && memcmp(zeroed, zeros, 64) == 0, "zeroed");
    cam_free(zeroed);
    CHECK(cam_alloc_zeroed(SIZE_MAX / 2, 3) == NULL, "the product overflows");

    failmalloc_arm(1);
    char *first = cam_alloc(10);
    CHECK(first != NULL, "the first succeeds");
    CHECK(cam_realloc(first, 20) == NULL, "the second fails");
    CHECK(cam_alloc_zeroed(1, 1) == NULL, "and so does the third");
    CHECK(failmalloc_disarm(), "it says so");
    cam_free(first);
    CHECK(failmalloc_held() == 0, "%ld held", failmalloc_held());
    return check_result();
}
