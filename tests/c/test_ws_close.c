/* SPDX-License-Identifier: MIT */
/* Close payloads: every code, every length, reasons that are and are not UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/close.h"
#include "ws/utf8.h"

static int read_copy(cam_ws_close *close, const char *payload, size_t len) {
    static char *copy;
    free(copy);
    copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, payload, len);
    return cam_ws_close_read(close, copy, len);
}

static void test_codes(void) {
    for (unsigned code = 0; code < 65536; code++) {
        char payload[2] = {(char)(code >> 8), (char)code};
        cam_ws_close close;
        int result = read_copy(&close, payload, 2);
        /* RFC 6455 section 7.4 and what IANA has registered since: 1012, 1013, 1014. */
        bool good = code == 1000 || code == 1001 || code == 1002 || code == 1003 || code == 1007 ||
                    code == 1008 || code == 1009 || code == 1010 || code == 1011 || code == 1012 ||
                    code == 1013 || code == 1014 || (code >= 3000 && code < 5000);
        CHECK(result == (good ? 0 : CAM_WS_E_CLOSE_CODE), "%u: %d", code, result);
        CHECK(close.code == (good ? code : CAM_WS_CLOSE_NO_STATUS) && close.reason.len == 0,
              "%u: %u", code, close.code);
    }
}

static void test_payloads(void) {
    cam_ws_close close;
    CHECK(read_copy(&close, "", 0) == 0 && close.code == 1005 && close.reason.len == 0, "empty");
    CHECK(read_copy(&close, "\x03", 1) == CAM_WS_E_CLOSE_LENGTH && close.code == 1005, "one byte");
    CHECK(read_copy(&close, "\x03\xe8z\xc3\xa9", 5) == 0 && close.code == 1000 &&
              close.reason.len == 3 && memcmp(close.reason.ptr, "z\xc3\xa9", 3) == 0,
          "a reason");
    CHECK(read_copy(&close, "\x03\xe8z\xc3", 4) == CAM_WS_E_CLOSE_REASON && close.code == 1005 &&
              close.reason.len == 0,
          "half a character");
    CHECK(read_copy(&close, "\x03\xe8\xff", 3) == CAM_WS_E_CLOSE_REASON, "no UTF-8");
    CHECK(read_copy(&close, "\x00\x00\xff", 3) == CAM_WS_E_CLOSE_CODE, "the code comes first");
}

static void test_writing(void) {
    char payload[CAM_WS_MAX_CONTROL];
    char text[300];
    CHECK(cam_ws_close_write(payload, CAM_WS_CLOSE_NO_STATUS, (cam_slice){"no", 2}) == 0, "none");
    CHECK(cam_ws_close_write(payload, 1000, (cam_slice){NULL, 0}) == 2 &&
              memcmp(payload, "\x03\xe8", 2) == 0,
          "a code alone");
    CHECK(cam_ws_close_write(payload, 4999, (cam_slice){"bye", 3}) == 5 && memcmp(payload,
                                                                                  "\x13\x87"
                                                                                  "bye",
                                                                                  5) == 0,
          "a reason");
    /* Characters of one to four bytes, cut at every phase. */
    static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        size_t character = strlen(characters[c]);
        for (size_t before = 0; before < 130; before++) {
            memset(text, 'b', before);
            size_t len = before;
            while (len < 200) {
                memcpy(text + len, characters[c], character);
                len += character;
            }
            for (size_t given = before; given <= len; given += character) {
                size_t wrote = cam_ws_close_write(payload, 1001, (cam_slice){text, given});
                size_t kept = wrote - 2;
                CHECK(wrote >= 2 && wrote <= CAM_WS_MAX_CONTROL &&
                          memcmp(payload + 2, text, kept) == 0,
                      "%zu of %zu", wrote, given);
                CHECK(cam_utf8_valid(payload + 2, kept), "%zu of %zu is cut", kept, given);
                CHECK(kept == given ||
                          (given > CAM_WS_MAX_REASON && kept + character > CAM_WS_MAX_REASON),
                      "%zu of %zu is too little", kept, given);
                cam_ws_close close;
                CHECK(cam_ws_close_read(&close, payload, wrote) == 0 && close.code == 1001 &&
                          close.reason.len == kept,
                      "read again");
            }
        }
    }
    /* What is no UTF-8 is cut somewhere. */
    memset(text, 0x80, sizeof(text));
    CHECK(cam_ws_close_write(payload, 1000, (cam_slice){text, sizeof(text)}) == 2, "no UTF-8");
}

int main(void) {
    test_codes();
    test_payloads();
    test_writing();
    return check_result();
}
