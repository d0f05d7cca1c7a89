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

#include "http/h1.h"

#define ROUNDS 101
#define HEADS 20000

static const char small[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

static const char browser[] =
    "GET /api/v1/games?limit=20&after=1234 HTTP/1.1\r\n"
    "Host: localhost:8000\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: none\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: session=0123456789abcdef0123\r\n\r\n";

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
