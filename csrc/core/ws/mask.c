/* SPDX-License-Identifier: MIT */
#include "ws/mask.h"

#include <string.h>

/* The key as it applies from data[0] on, over and over. All steps are multiples of four bytes, so
 * that it stays the same throughout. */
static uint64_t pattern_of(const uint8_t key[4], uint64_t offset) {
    uint32_t word;
    unsigned turn = 8 * (unsigned)(offset & 3);
    memcpy(&word, key, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = word >> turn | word << (-turn & 31);
#else
    word = word << turn | word >> (-turn & 31);
#endif
    return (uint64_t)word << 32 | word;
}

/* Eight bytes at a time, by whatever the compiler makes of it. Also the rest of the wider ways. */
static void mask_run(char *data, size_t len, uint64_t pattern) {
    uint64_t word;
    while (len >= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        word ^= pattern;
        memcpy(data, &word, sizeof(word));
        data += sizeof(word);
        len -= sizeof(word);
    }
    const char *bytes = (const char *)&pattern;
    for (size_t i = 0; i < len; i++) {
        data[i] = (char)(data[i] ^ bytes[i]);
    }
}

static void mask_words(char *data, size_t len, const uint8_t key[4], uint64_t offset) {
    mask_run(data, len, pattern_of(key, offset));
}

static int always(void) {
    return 1;
}

/* Vectors by the compiler's own types, which become SSE2, AVX2 or NEON as the function may use it;
 * anywhere in memory. */
typedef uint64_t vector16 __attribute__((vector_size(16), aligned(1), may_alias));

/* On x86-64 this is SSE2 and on AArch64 NEON: both always have it. */
static void mask_16(char *data, size_t len, const uint8_t key[4], uint64_t offset) {
    uint64_t pattern = pattern_of(key, offset);
    while (len >= 64) {
        vector16 *at = (vector16 *)data;
        at[0] ^= pattern;
        at[1] ^= pattern;
        at[2] ^= pattern;
        at[3] ^= pattern;
        data += 64;
        len -= 64;
    }
    while (len >= 16) {
        *(vector16 *)data ^= pattern;
        data += 16;
        len -= 16;
    }
    mask_run(data, len, pattern);
}

#if defined(__x86_64__)

typedef uint64_t vector32 __attribute__((vector_size(32), aligned(1), may_alias));

__attribute__((target("avx2"))) static void mask_avx2(char *data, size_t len, const uint8_t key[4],
                                                      uint64_t offset) {
    uint64_t pattern = pattern_of(key, offset);
    while (len >= 128) {
        vector32 *at = (vector32 *)data;
        at[0] ^= pattern;
        at[1] ^= pattern;
        at[2] ^= pattern;
        at[3] ^= pattern;
        data += 128;
        len -= 128;
    }
    mask_run(data, len, pattern);
}

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") != 0;
}

const cam__ws_mask_way cam__ws_mask_ways[] = {
    {"words", mask_words, always},
    {"16 bytes", mask_16, always},
    {"avx2", mask_avx2, has_avx2},
};

/* An index instead of a condition: what the machine has is no branch. */
#define WIDEST (1 + has_avx2())

#else

const cam__ws_mask_way cam__ws_mask_ways[] = {
    {"words", mask_words, always},
    {"16 bytes", mask_16, always},
};
#define WIDEST 1

#endif

const size_t cam__ws_mask_way_count = sizeof(cam__ws_mask_ways) / sizeof(cam__ws_mask_ways[0]);

/* Below this many bytes wider vectors gain nothing, and there is nothing to look up. */
#define SHORT 256

void cam_ws_mask(char *data, size_t len, const uint8_t key[4], uint64_t offset) {
    if (len < SHORT) {
        mask_16(data, len, key, offset);
        return;
    }
    cam__ws_mask_ways[WIDEST].mask(data, len, key, offset);
}
