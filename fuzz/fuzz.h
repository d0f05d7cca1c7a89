/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. */
#ifndef CAM_FUZZ_H
#define CAM_FUZZ_H

#include <stdbool.h>
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

/*
 * Whether to try every way of cutting an input. replay.c does; a fuzzer has millions of inputs, and
 * sees more of them in the same time when each is cut at one place, which fuzz_cut chooses.
 */
extern bool fuzz_thorough;
#ifndef FUZZ_REPLAY
__attribute__((weak)) bool fuzz_thorough = false;
#endif

/* A number that any change of an input changes, to choose a cut by: below `bound`. */
static inline size_t fuzz_cut(const uint8_t *input, size_t size, size_t bound) {
    size_t mixed = size * 0x9e3779b1U + input[0] * 7919U + input[size / 2] * 104729U;
    return (mixed + input[size - 1] * 31U) % bound;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
void __asan_poison_memory_region(const volatile void *at, size_t size);
void __asan_unpoison_memory_region(const volatile void *at, size_t size);
#else
#define __asan_poison_memory_region(at, size) (void)(at)
#define __asan_unpoison_memory_region(at, size) (void)(at)
#endif

/*
 * The bytes where no byte after them may be read: as an allocation of just their size, without its
 * cost. Good until the next call.
 */
static inline char *fuzz_guard(const char *data, size_t len) {
    static char room[1 << 20];
    static size_t open = sizeof(room);
    REQUIRE(len <= sizeof(room));
    if (len > open) {
        __asan_unpoison_memory_region(room, len);
    } else {
        __asan_poison_memory_region(room + len, open - len);
    }
    open = len;
    memcpy(room, data, len);
    return room;
}

/* The bytes in an allocation of just their size, for the sanitizer to guard; to be freed. */
static inline char *fuzz_copy(const char *data, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    REQUIRE(copy != NULL);
    memcpy(copy, data, len);
    return copy;
}

#endif
