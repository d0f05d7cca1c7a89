/* SPDX-License-Identifier: MIT */
/*
 * Looking for bytes in a head, sixteen at a time.
 *
 * In the compiler's own vectors, which are SSE2 on x86-64 and NEON on aarch64, both of them always
 * there: nothing is chosen at run time. No byte outside of what is given is read.
 */
#ifndef CAM_HTTP_SCAN_H
#define CAM_HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t cam_scan_block __attribute__((vector_size(16)));

static inline cam_scan_block cam_scan_load(const char *text) {
    cam_scan_block block;
    memcpy(&block, text, sizeof(block));
    return block;
}

/* One bit for each byte of a comparison's result, the first byte's the lowest. */
static inline uint32_t cam_scan_bits(cam_scan_block found) {
#ifdef __SSE2__
    typedef char bytes __attribute__((vector_size(16)));
    return (uint32_t)__builtin_ia32_pmovmskb128((bytes)found);
#else
    uint32_t bits = 0;
    uint64_t halves[2];
    memcpy(halves, &found, sizeof(halves));
    if ((halves[0] | halves[1]) != 0) {
        for (unsigned i = 0; i < 16; i++) {
            bits |= (uint32_t)(found[i] & 1) << i;
        }
    }
    return bits;
#endif
}

/* Control characters, HTAB with them. */
static inline uint32_t cam_scan_controls(cam_scan_block block) {
    return cam_scan_bits((cam_scan_block)(block <= 0x1f) | (cam_scan_block)(block == 0x7f));
}

/* What no request target holds: all but visible ASCII, and '#'. */
static inline uint32_t cam_scan_no_target(cam_scan_block block) {
    return cam_scan_bits((cam_scan_block)(block <= 0x20) | (cam_scan_block)(block >= 0x7f) |
                         (cam_scan_block)(block == '#'));
}

static inline uint32_t cam_scan_colons(cam_scan_block block) {
    return cam_scan_bits((cam_scan_block)(block == ':'));
}

/*
 * The place of the first byte in text[from .. to) that `find` gives a bit for, or to. The bytes
 * from text[0] on may be read: of an end shorter than a block those before it are looked at again.
 */
static inline size_t cam_scan(const char *text, size_t from, size_t to,
                              uint32_t (*find)(cam_scan_block)) {
    size_t at = from;
    for (; to - at >= 16; at += 16) {
        uint32_t bits = find(cam_scan_load(text + at));
        if (bits != 0) {
            return at + (size_t)__builtin_ctz(bits);
        }
    }
    if (at == to) {
        return to;
    }
    cam_scan_block block = {0};
    size_t before = 0; /* bytes of the block in front of `at` */
    if (to >= 16) {
        before = 16 - (to - at);
        block = cam_scan_load(text + to - 16);
    } else {
        memcpy(&block, text + at, to - at);
    }
    uint32_t bits = (find(block) >> before) & ((1U << (to - at)) - 1);
    return bits != 0 ? at + (size_t)__builtin_ctz(bits) : to;
}

/* The first control character but HTAB in text[from .. to), or to. Every line end is one. */
static inline size_t cam_scan_control(const char *text, size_t from, size_t to) {
    size_t at = cam_scan(text, from, to, cam_scan_controls);
    while (at < to && text[at] == '\t') {
        at = cam_scan(text, at + 1, to, cam_scan_controls);
    }
    return at;
}

#endif
