/* SPDX-License-Identifier: MIT */
/* SHA-1: the examples of RFC 3174 section 7.3, and a digest of each length around the block's. */
#include <string.h>

#include "check.h"
#include "ws/sha1.h"

static void check_digest(const void *data, size_t len, const char *expected) {
    uint8_t digest[CAM_SHA1_LEN];
    char text[2 * CAM_SHA1_LEN + 1];
    cam_sha1(digest, data, len);
    for (int i = 0; i < CAM_SHA1_LEN; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    CHECK(strcmp(text, expected) == 0, "%zu bytes: %s", len, text);
}

int main(void) {
    check_digest("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    static char million[1000000];
    memset(million, 'a', sizeof(million));
    check_digest(million, sizeof(million), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    /* The digest of all digests of the first 200 lengths of 'a' (Python's hashlib). */
    uint8_t digests[200][CAM_SHA1_LEN];
    for (size_t len = 0; len < 200; len++) {
        cam_sha1(digests[len], million, len);
    }
    check_digest(digests, sizeof(digests), "8a18f04bac7c86cfcffa6a93e5cb21ae0159deac");
    return check_result();
}
