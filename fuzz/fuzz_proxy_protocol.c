/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol from anywhere.
 *
 * The first byte of an input chooses the cuts. Beyond what the sanitizers see, an input fails when
 * the outcome depends on the cuts, when more is taken than there is, or when a header that is
 * accepted is longer than its version allows.
 */
#include "fuzz.h"
#include "net/proxy_protocol.h"

typedef struct outcome {
    cam_proxy proxy;
    int status;
    size_t used;
} outcome;

static void feed(outcome *out, const char *input, size_t size, size_t step) {
    memset(out, 0, sizeof *out);
    out->status = CAM_PROXY_MORE;
    while (out->status == CAM_PROXY_MORE && out->used < size) {
        size_t len = size - out->used < step ? size - out->used : step;
        const char *piece = fuzz_guard(input + out->used, len);
        size_t used = len + 1;
        out->status = cam_proxy_feed(&out->proxy, piece, len, &used);
        REQUIRE(used <= len && (used > 0 || out->status == CAM_PROXY_DONE));
        REQUIRE(out->status != CAM_PROXY_MORE || used == len);
        out->used += used;
    }
}

static void check_end(const cam_proxy *proxy, const cam_proxy_end *end) {
    if (proxy->family == CAM_PROXY_IP) {
        REQUIRE(end->ip.size == 4 || end->ip.size == 16);
        REQUIRE(end->ip.size == proxy->source.ip.size);
    } else {
        REQUIRE(end->port == 0 && end->ip.size == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    if (size == 0) {
        return 0;
    }
    const char *bytes = (const char *)input + 1;
    outcome whole, cut;
    feed(&whole, bytes, size - 1, size);
    feed(&cut, bytes, size - 1, (size_t)input[0] % 64 + 1);
    REQUIRE(whole.status == cut.status);
    if (whole.status != CAM_PROXY_DONE) {
        REQUIRE(whole.status == CAM_PROXY_MORE || strlen(cam_proxy_error(whole.status)) > 0);
        return 0;
    }
    REQUIRE(whole.used == cut.used);
    REQUIRE(memcmp(&whole.proxy.source, &cut.proxy.source, sizeof whole.proxy.source) == 0);
    REQUIRE(memcmp(&whole.proxy.target, &cut.proxy.target, sizeof whole.proxy.target) == 0);
    if (whole.proxy.version == 1) {
        REQUIRE(whole.used <= CAM_PROXY_LINE && bytes[whole.used - 1] == '\n');
    } else {
        size_t length = (size_t)(uint8_t)bytes[14] << 8 | (uint8_t)bytes[15];
        REQUIRE(whole.used == CAM_PROXY_FIXED + length);
    }
    if (whole.proxy.family != CAM_PROXY_UNIX) {
        check_end(&whole.proxy, &whole.proxy.source);
        check_end(&whole.proxy, &whole.proxy.target);
    }
    return 0;
}
