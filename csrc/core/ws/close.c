/* SPDX-License-Identifier: MIT */
#include "ws/close.h"

#include <string.h>

#include "ws/utf8.h"

bool cam_ws_close_code_may_be_sent(unsigned code) {
    if (code < 3000) {
        /* 1004 means nothing, 1005, 1006 and 1015 are never sent (section 7.4.1); what is not
         * registered yet up to 2999 is kept for later versions (section 7.4.2). */
        return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
    }
    return code <= 4999;
}

int cam_ws_close_read(cam_ws_close *close, const char *payload, size_t len) {
    *close = (cam_ws_close){.code = CAM_WS_CLOSE_NO_STATUS, .reason = {NULL, 0}};
    if (len == 0) {
        return 0;
    }
    if (len == 1) {
        return CAM_WS_E_CLOSE_LENGTH;
    }
    unsigned code = (unsigned)(uint8_t)payload[0] << 8 | (uint8_t)payload[1];
    if (!cam_ws_close_code_may_be_sent(code)) {
        return CAM_WS_E_CLOSE_CODE;
    }
    if (!cam_utf8_valid(payload + 2, len - 2)) {
        return CAM_WS_E_CLOSE_REASON;
    }
    close->code = (uint16_t)code;
    close->reason = (cam_slice){payload + 2, len - 2};
    return 0;
}

size_t cam_ws_close_write(char payload[CAM_WS_MAX_CONTROL], unsigned code, cam_slice reason) {
    if (code == CAM_WS_CLOSE_NO_STATUS) {
        return 0;
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    size_t len = reason.len;
    if (len > CAM_WS_MAX_REASON) {
        /* The last byte that still fits, and back to where its character begins. */
        len = CAM_WS_MAX_REASON;
        while (len > 0 && ((uint8_t)reason.ptr[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    if (len > 0) {
        memcpy(payload + 2, reason.ptr, len);
    }
    return len + 2;
}
