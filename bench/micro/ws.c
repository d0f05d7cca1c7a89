/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds of CPU for one WebSocket frame of a client: head, mask, and for text UTF-8.
 *
 * Prints the least and the median of many short rounds, as h1.c does; `bench_ws N` does each row N
 * times and prints nothing, for callgrind to count: `bench_ws N ROW`, one row (binary-64).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ws/frame.h"
#include "ws/mask.h"
#include "ws/utf8.h"

#define ROUNDS 101

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

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

/* Decodes a frame in place, and masks its payload again for the next time. */
static void decode(cam_ws_decoder *decoder, char *frame, size_t size, bool text) {
    size_t used;
    cam_ws_piece piece;
    int result = cam_ws_decode(decoder, frame, size, &used, &piece);
    if (result != CAM_WS_DATA || used != size || !piece.ends ||
        (text && !cam_utf8_valid(piece.payload.ptr, piece.payload.len))) {
        fprintf(stderr, "bench_ws: %d, %zu of %zu bytes\n", result, used, size);
        exit(1);
    }
    cam_ws_mask(frame + size - piece.payload.len, piece.payload.len, key, 0);
}

static void measure(const char *title, const char *unit, size_t len, bool text, long count) {
    char *frame = malloc(CAM_WS_MAX_HEAD + len);
    if (frame == NULL) {
        exit(1);
    }
    size_t head =
        cam_ws_write_head(frame, CAM_WS_FIN | (text ? CAM_WS_TEXT : CAM_WS_BINARY), len, key);
    size_t character = strlen(unit);
    for (size_t i = 0; i < len; i++) {
        frame[head + i] = i < len - len % character ? unit[i % character] : '.';
    }
    cam_ws_mask(frame + head, len, key, 0);
    cam_ws_decoder decoder;
    cam_ws_decoder_init(&decoder, 1 << 20, 0);
    double rounds[ROUNDS];
    long frames = (long)(20000000 / (len + 1000));
    for (int round = 0; round < (count > 0 ? 1 : ROUNDS); round++) {
        double start = cpu_seconds();
        for (long i = 0; i < (count > 0 ? count : frames); i++) {
            decode(&decoder, frame, head + len, text);
        }
        rounds[round] = (cpu_seconds() - start) / (double)frames * 1e9;
    }
    if (count == 0) {
        qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
        printf("%-8s %6zu bytes  least %8.1f ns  median %8.1f ns  %6.2f GB/s\n", title, len,
               rounds[0], rounds[ROUNDS / 2], (double)len / rounds[0]);
    }
    free(frame);
}

int main(int argc, char **argv) {
    static const size_t lengths[] = {64, 1024, 65536};
    long count = argc > 1 ? atol(argv[1]) : 0;
    const char *only = argc > 2 ? argv[2] : "";
    for (size_t i = 0; i < 3; i++) {
        char name[32];
#define ROW(title, unit, text)                                                                     \
    snprintf(name, sizeof(name), "%s-%zu", title, lengths[i]);                                     \
    if (*only == '\0' || strcmp(only, name) == 0) {                                                \
        measure(title, unit, lengths[i], text, count);                                             \
    }
        ROW("binary", "\x01", false)
        ROW("ascii", "text ", true)
        ROW("french", "na\xc3\xafvet\xc3\xa9 ", true)
        ROW("chinese", "\xe6\x96\x87\xe5\xad\x97", true)
#undef ROW
    }
    return 0;
}
