/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. */
#ifndef CAM_FUZZ_H
#define CAM_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer's entry; replay.c calls it as well. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* Like assert, in every build. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The bytes in an allocation of just their size, for the sanitizer to guard; to be freed. */
static inline char *fuzz_copy(const char *data, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    REQUIRE(copy != NULL);
    memcpy(copy, data, len);
    return copy;
}

#endif
