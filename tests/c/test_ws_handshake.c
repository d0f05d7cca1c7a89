/* SPDX-License-Identifier: MIT */
/* Handshakes: header lines in, verdict out. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

/* Adds lines written as "K: value\n", by the first letter of what is after "Sec-WebSocket-", or U.
 */
static void add_lines(cam_ws_handshake *handshake, const char *lines) {
    while (*lines != '\0') {
        static const char letters[] = "UKVPE";
        size_t len = strcspn(lines, "\n");
        cam_ws_field field = (cam_ws_field)(strchr(letters, lines[0]) - letters);
        cam_ws_handshake_add(handshake, field, (cam_slice){lines + 3, len - 3});
        lines += len + 1;
    }
}

static const struct {
    const char *lines;
    int expected;
} rows[] = {
    {"U: websocket\nV: 13\nK: " KEY "\n", 0},
    {"U: h2c, WebSocket\nV: 13\nK: " KEY "\nP: chat, superchat\nE: foo; bar=1\n", 0},
    /* Four bits of the last digit are of no byte. */
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZR==\n", 0},
    {"V: 13\nK: ++++////AAAAaaaa0000zw==\n", 0},
    {"K: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION_MISSING},
    {"V: 12\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: 8\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: 013\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: 13, 8\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: \nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: 13\nV: 13\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_VERSION},
    {"V: 7\n", CAM_WS_HANDSHAKE_E_VERSION}, /* before the key that it may not have */
    {"V: 13\n", CAM_WS_HANDSHAKE_E_KEY_MISSING},
    {"V: 13\nK: " KEY "\nK: " KEY "\n", CAM_WS_HANDSHAKE_E_KEY_REPEATED},
    {"V: 13\nK: \n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZQ=\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZQ===\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZVo=\n", CAM_WS_HANDSHAKE_E_KEY}, /* 17 bytes */
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZVpa\n", CAM_WS_HANDSHAKE_E_KEY}, /* 18 bytes */
    {"V: 13\nK: dGhlIHNhbXBsZSBub25j=Q==\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBsZSBub25jZ-==\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBs_SBub25jZQ==\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: dGhlIHNhbXBs~SBub25jZQ==\n", CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
     "\xff\xff==\n",
     CAM_WS_HANDSHAKE_E_KEY},
    {"V: 13\nK: " KEY "\nP: \xff\n", CAM_WS_HANDSHAKE_E_PROTOCOL},
    {"V: 13\nK: " KEY "\nP: a\nP: b c\nP: d\n", CAM_WS_HANDSHAKE_E_PROTOCOL},
    {"V: 13\nK: " KEY "\nP: \n", CAM_WS_HANDSHAKE_E_PROTOCOL},
    {"V: 13\nK: " KEY "\nP: ,\nP:  ,\n", CAM_WS_HANDSHAKE_E_PROTOCOL},
    {"V: 13\nK: " KEY "\nP: ,\nP: a\n", 0},
    {"V: 13\nK: " KEY "\nE: foo;\n", CAM_WS_HANDSHAKE_E_EXTENSIONS},
    {"V: 13\nK: " KEY "\nE: \n", CAM_WS_HANDSHAKE_E_EXTENSIONS},
    {"V: 13\nK: " KEY "\nE: ,\nE: foo\n", 0},
    {"V: 13\nK: " KEY "\nE: foo\nE: =\nE: bar\n", CAM_WS_HANDSHAKE_E_EXTENSIONS},
    {"V: 13\nK: " KEY "\nP: (\nE: (\n", CAM_WS_HANDSHAKE_E_PROTOCOL},
};

static void test_rows(void) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int deflate = 0; deflate < 2; deflate++) {
            cam_ws_handshake handshake;
            cam_ws_handshake_init(&handshake, deflate ? &cam_ws_deflate_default : NULL);
            add_lines(&handshake, rows[i].lines);
            int result = cam_ws_handshake_check(&handshake);
            CHECK(result == rows[i].expected, "%s: %d", rows[i].lines, result);
            CHECK(handshake.is_websocket == (rows[i].lines[0] == 'U'), "%s", rows[i].lines);
        }
    }
}

static void test_extensions(void) {
    static const char lines[] =
        "E: permessage-deflate; foo\nE: bar, permessage-deflate; server_max_window_bits=10\n"
        "E: permessage-deflate\n";
    cam_ws_handshake handshake;
    cam_ws_handshake_init(&handshake, &cam_ws_deflate_default);
    add_lines(&handshake, lines);
    CHECK(handshake.deflated && handshake.deflate.server_max_window_bits == 10,
          "the first good one");
    cam_ws_handshake_init(&handshake, NULL);
    add_lines(&handshake, lines);
    CHECK(!handshake.deflated, "none wanted");
    cam_ws_handshake_init(&handshake, &cam_ws_deflate_default);
    add_lines(&handshake, "E: permessage-deflate; foo\n");
    CHECK(!handshake.deflated, "none agreed");
    cam_ws_handshake_init(&handshake, &cam_ws_deflate_default);
    add_lines(&handshake, "U: h2c\nU: websocket\nU: tls\n");
    CHECK(handshake.is_websocket, "in the second line");
    cam_ws_handshake_init(&handshake, &cam_ws_deflate_default);
    add_lines(&handshake, "U: h2c\n");
    CHECK(!handshake.is_websocket, "not named");
}

static void check_accept(const char *key, const char *expected) {
    char text[CAM_WS_ACCEPT + 1] = {0};
    cam_ws_accept(text, (cam_slice){key, strlen(key)});
    CHECK(strcmp(text, expected) == 0, "%s: %s", key, text);
}

static void test_errors(void) {
    for (int error = -CAM_WS_HANDSHAKE_ERROR_COUNT - 2; error < 2; error++) {
        bool known = error < 0 && error >= -CAM_WS_HANDSHAKE_ERROR_COUNT;
        bool version =
            error == CAM_WS_HANDSHAKE_E_VERSION || error == CAM_WS_HANDSHAKE_E_VERSION_MISSING;
        CHECK(cam_ws_handshake_status(error) == (version ? 426 : 400), "%d", error);
        CHECK(known != (strcmp(cam_ws_handshake_text(error),
                               "the WebSocket handshake is malformed") == 0),
              "%d", error);
    }
}

int main(void) {
    test_rows();
    test_extensions();
    check_accept(KEY, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 section 1.3 */
    check_accept("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="); /* Python's hashlib */
    test_errors();
    return check_result();
}
