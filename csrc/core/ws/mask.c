/* SPDX-License-Identifier: MIT */
#include "ws/mask.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define HAVE_X86 1
#include <immintrin.h>
#elif defined(__ARM_NEON)
#define HAVE_NEON 1
#include <arm_neon.h>
#endif

/* The key as it applies from data[0] on, over and over. All steps are multiples of four bytes, so
 * that it stays the same throughout. */
static uint64_t pattern_of(const uint8_t key[4], uint64_t offset) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = key[(offset + i) & 3];
    }
    uint64_t pattern;
    memcpy(&pattern, bytes, sizeof(pattern));
    return pattern;
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

#ifdef HAVE_X86

__attribute__((target("sse2"))) static void mask_sse2(char *data, size_t len, const uint8_t key[4],
                                                      uint64_t offset) {
    uint64_t pattern = pattern_of(key, offset);
    __m128i wide = _mm_set1_epi64x((long long)pattern);
    while (len >= 64) {
        __m128i *at = (__m128i *)data;
        _mm_storeu_si128(at, _mm_xor_si128(_mm_loadu_si128(at), wide));
        _mm_storeu_si128(at + 1, _mm_xor_si128(_mm_loadu_si128(at + 1), wide));
        _mm_storeu_si128(at + 2, _mm_xor_si128(_mm_loadu_si128(at + 2), wide));
        _mm_storeu_si128(at + 3, _mm_xor_si128(_mm_loadu_si128(at + 3), wide));
        data += 64;
        len -= 64;
    }
    mask_run(data, len, pattern);
}

__attribute__((target("avx2"))) static void mask_avx2(char *data, size_t len, const uint8_t key[4],
                                                      uint64_t offset) {
    uint64_t pattern = pattern_of(key, offset);
    __m256i wide = _mm256_set1_epi64x((long long)pattern);
    while (len >= 128) {
        __m256i *at = (__m256i *)data;
        _mm256_storeu_si256(at, _mm256_xor_si256(_mm256_loadu_si256(at), wide));
        _mm256_storeu_si256(at + 1, _mm256_xor_si256(_mm256_loadu_si256(at + 1), wide));
        _mm256_storeu_si256(at + 2, _mm256_xor_si256(_mm256_loadu_si256(at + 2), wide));
        _mm256_storeu_si256(at + 3, _mm256_xor_si256(_mm256_loadu_si256(at + 3), wide));
        data += 128;
        len -= 128;
    }
    mask_run(data, len, pattern);
}

static int has_sse2(void) {
    return __builtin_cpu_supports("sse2") != 0;
}

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") != 0;
}

const cam__ws_mask_way cam__ws_mask_ways[] = {
    {"words", mask_words, always},
    {"sse2", mask_sse2, has_sse2},
    {"avx2", mask_avx2, has_avx2},
};

/* An index instead of a condition: what the machine has is no branch. */
#define WIDEST (has_sse2() + has_avx2())

#elif defined(HAVE_NEON)

static void mask_neon(char *data, size_t len, const uint8_t key[4], uint64_t offset) {
    uint64_t pattern = pattern_of(key, offset);
    uint8x16_t wide = vreinterpretq_u8_u64(vdupq_n_u64(pattern));
    while (len >= 64) {
        uint8_t *at = (uint8_t *)data;
        vst1q_u8(at, veorq_u8(vld1q_u8(at), wide));
        vst1q_u8(at + 16, veorq_u8(vld1q_u8(at + 16), wide));
        vst1q_u8(at + 32, veorq_u8(vld1q_u8(at + 32), wide));
        vst1q_u8(at + 48, veorq_u8(vld1q_u8(at + 48), wide));
        data += 64;
        len -= 64;
    }
    mask_run(data, len, pattern);
}

const cam__ws_mask_way cam__ws_mask_ways[] = {
    {"words", mask_words, always},
    {"neon", mask_neon, always},
};
#define WIDEST 1

#else

const cam__ws_mask_way cam__ws_mask_ways[] = {
    {"words", mask_words, always},
};
#define WIDEST 0

#endif

const size_t cam__ws_mask_way_count = sizeof(cam__ws_mask_ways) / sizeof(cam__ws_mask_ways[0]);

/* Below this many bytes words are as fast as vectors, and there is nothing to look up. */
#define SHORT 64

void cam_ws_mask(char *data, size_t len, const uint8_t key[4], uint64_t offset) {
    if (len < SHORT) {
        mask_words(data, len, key, offset);
        return;
    }
    cam__ws_mask_ways[WIDEST].mask(data, len, key, offset);
}
