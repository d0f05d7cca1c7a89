/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds of CPU for one request head, parsed and by memo.
 *
 * Prints the least and the median of many short rounds: the machine is rarely ours alone, and
 * what disturbs a round only ever makes it longer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heads.h"
#include "http/h1.h"

#define ROUNDS 101
#define HEADS 20000

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *title, const char *text, size_t len, const cam_h1_memo *memo) {
    static cam_h1_header headers[64];
    double rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_seconds();
        for (int i = 0; i < HEADS; i++) {
            cam_h1_request request = {.headers = headers, .header_capacity = 64};
            cam_h1_scan scan = {0};
            int result =
                cam_h1_parse_request(&request, text, len, &scan, &cam_h1_default_limits, memo);
            if (result != (int)len || request.from_memo != (memo != NULL)) {
                fprintf(stderr, "%s: %s\n", title, cam_h1_error_text(result));
                exit(1);
            }
        }
        rounds[round] = (cpu_seconds() - start) / HEADS * 1e9;
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
    printf("%-10s %4zu bytes  least %6.1f ns  median %6.1f ns  %5.2f GB/s\n", title, len, rounds[0],
           rounds[ROUNDS / 2], (double)len / rounds[0]);
}

static void measure_both(const char *title, const char *text, size_t len) {
    static cam_h1_header headers[64];
    cam_h1_request request = {.headers = headers, .header_capacity = 64};
    cam_h1_scan scan = {0};
    cam_h1_parse_request(&request, text, len, &scan, &cam_h1_default_limits, NULL);
    cam_h1_memo memo = {request.header_block, request.fields};
    char *copy = malloc(memo.block.len);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, memo.block.ptr, memo.block.len);
    memo.block.ptr = copy;
    measure(title, text, len, NULL);
    measure("  by memo", text, len, &memo);
    free(copy);
}

int main(void) {
    measure_both("small", small, sizeof(small) - 1);
    measure_both("browser", browser, sizeof(browser) - 1);
    return 0;
}
