/* SPDX-License-Identifier: MIT */
#include "http/h1_names.h"

#include <stdbool.h>
#include <string.h>

static const cam_slice texts[CAM_H1_NAME_COUNT + 1] = {{"", 0},
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
    [9] = CAM_H1_NAME_SEC_CH_UA,
    [10] = CAM_H1_NAME_CONNECTION,
    [11] = CAM_H1_NAME_TRACEPARENT,
    [12] = CAM_H1_NAME_CONTENT_TYPE,
    [13] = CAM_H1_NAME_CACHE_CONTROL,
    [14] = CAM_H1_NAME_CONTENT_LENGTH,
    [15] = CAM_H1_NAME_ACCEPT_ENCODING,
    [16] = CAM_H1_NAME_SEC_CH_UA_MOBILE,
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

/* Eight or four bytes in lower case: of bytes that a name may hold, none becomes a letter or '-' by
 * this bit but the letters themselves and '-'. */
static inline uint64_t load_eight(const char *text) {
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    return word | 0x2020202020202020U;
}

static inline uint32_t load_four(const char *text) {
    uint32_t word;
    memcpy(&word, text, sizeof(word));
    return word | 0x20202020U;
}

/* All of a name of two to seven bytes in one number, to be compared with one of the same length. */
static inline uint64_t short_name(const char *name, size_t len) {
    if (len >= 4) {
        return load_four(name) | (uint64_t)load_four(name + len - 4) << 32;
    }
    return (uint64_t)(name[0] | 0x20) | (uint64_t)(name[1] | 0x20) << 8 |
           (uint64_t)(name[len - 1] | 0x20) << 16;
}

/* Whether what is behind the first eight bytes is `lower` in any case. */
static inline bool is_rest(const char *name, const char *lower, size_t len) {
    for (size_t at = 8; at + 8 < len; at += 8) {
        if (load_eight(name + at) != load_eight(lower + at)) {
            return false;
        }
    }
    return load_eight(name + len - 8) == load_eight(lower + len - 8);
}

uint16_t cam_h1_name_find(const char *name, size_t len) {
    unsigned id = len < sizeof(first_of_length) ? first_of_length[len] : CAM_H1_NAME_UNKNOWN;
    if (id == CAM_H1_NAME_UNKNOWN) {
        return CAM_H1_NAME_UNKNOWN;
    }
    /* The row behind the last has no length. */
    if (len >= 8) {
        uint64_t first = load_eight(name);
        while (texts[id].len == len &&
               (load_eight(texts[id].ptr) != first || !is_rest(name, texts[id].ptr, len))) {
            id++;
        }
    } else {
        uint64_t all = short_name(name, len);
        while (texts[id].len == len && short_name(texts[id].ptr, len) != all) {
            id++;
        }
    }
    return texts[id].len == len ? (uint16_t)id : CAM_H1_NAME_UNKNOWN;
}

cam_slice cam_h1_name_text(unsigned id) {
    return texts[id < CAM_H1_NAME_COUNT ? id : CAM_H1_NAME_UNKNOWN];
}
