/* SPDX-License-Identifier: MIT */
/*
 * The least that a C test needs: count checks, say which failed, go on.
 *
 * A test is a program of its own: it calls CHECK and returns check_result() from main.
 */
#ifndef CAM_TESTS_CHECK_H
#define CAM_TESTS_CHECK_H

#include <stdio.h>

static unsigned long check_count;
static unsigned long check_failures;

/* Only the first failures are printed: one bug in a table test may fail thousands. */
#define CHECK_SHOWN 20

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(condition) && ++check_failures <= CHECK_SHOWN) {                                     \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

/* The exit status: 0 when something was checked and nothing failed. */
static inline int check_result(void) {
    printf("%lu checks, %lu failed\n", check_count, check_failures);
    return check_failures > 0 || check_count == 0;
}

#endif
