/* SPDX-License-Identifier: MIT */
#include "http/h1_names.h"

#include "http/chars.h"

static const cam_slice texts[CAM_H1_NAME_COUNT] = {{"", 0},
#define CAM_H1_NAME_ROW(identifier, text) {text, sizeof(text) - 1},
                                                   CAM_H1_NAMES(CAM_H1_NAME_ROW)
#undef CAM_H1_NAME_ROW
};

/* The first name of each length; 0 where there is none. The others of that length follow it. */
static const uint8_t first_of_length[] = {
    [2] = CAM_H1_NAME_TE,
    [3] = CAM_H1_NAME_DNT,
    [4] = CAM_H1_NAME_HOST,
    [5] = CAM_H1_NAME_RANGE,
    [6] = CAM_H1_NAME_COOKIE,
    [7] = CAM_H1_NAME_REFERER,
    [8] = CAM_H1_NAME_IF_MATCH,
    [9] = CAM_H1_NAME_FORWARDED,
    [10] = CAM_H1_NAME_CONNECTION,
    [11] = CAM_H1_NAME_TRACEPARENT,
    [12] = CAM_H1_NAME_CONTENT_TYPE,
    [13] = CAM_H1_NAME_CACHE_CONTROL,
    [14] = CAM_H1_NAME_CONTENT_LENGTH,
    [15] = CAM_H1_NAME_ACCEPT_ENCODING,
    [16] = CAM_H1_NAME_CONTENT_ENCODING,
    [17] = CAM_H1_NAME_TRANSFER_ENCODING,
    [18] = CAM_H1_NAME_SEC_CH_UA_PLATFORM,
    [19] = CAM_H1_NAME_CONTENT_DISPOSITION,
    [21] = CAM_H1_NAME_SEC_WEBSOCKET_VERSION,
    [22] = CAM_H1_NAME_SEC_WEBSOCKET_PROTOCOL,
    [24] = CAM_H1_NAME_SEC_WEBSOCKET_EXTENSIONS,
    [25] = CAM_H1_NAME_UPGRADE_INSECURE_REQUESTS,
    [29] = CAM_H1_NAME_ACCESS_CONTROL_REQUEST_METHOD,
    [30] = CAM_H1_NAME_ACCESS_CONTROL_REQUEST_HEADERS,
};

uint16_t cam_h1_name_find(const char *name, size_t len) {
    if (len >= sizeof(first_of_length)) {
        return CAM_H1_NAME_UNKNOWN;
    }
    unsigned id = first_of_length[len];
    if (id == CAM_H1_NAME_UNKNOWN) {
        return CAM_H1_NAME_UNKNOWN;
    }
    for (; id < CAM_H1_NAME_COUNT && texts[id].len == len; id++) {
        if (cam_char_equal(name, texts[id].ptr, len)) {
            return (uint16_t)id;
        }
    }
    return CAM_H1_NAME_UNKNOWN;
}

cam_slice cam_h1_name_text(unsigned id) {
    return texts[id < CAM_H1_NAME_COUNT ? id : CAM_H1_NAME_UNKNOWN];
}
