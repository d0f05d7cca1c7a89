/* SPDX-License-Identifier: MIT */
#include "http/h1_methods.h"

#include <string.h>

static const cam_slice texts[CAM_H1_METHOD_COUNT] = {{"", 0},
#define CAM_H1_METHOD_ROW(identifier, text) {text, sizeof(text) - 1},
                                                     CAM_H1_METHODS(CAM_H1_METHOD_ROW)
#undef CAM_H1_METHOD_ROW
};

cam_h1_method cam_h1_method_find(const char *text, size_t len) {
    for (unsigned id = 1; id < CAM_H1_METHOD_COUNT; id++) {
        if (texts[id].len == len && memcmp(texts[id].ptr, text, len) == 0) {
            return (cam_h1_method)id;
        }
    }
    return CAM_H1_METHOD_UNKNOWN;
}

bool cam_h1_method_begins(const char *text, size_t len) {
    for (unsigned id = 1; id < CAM_H1_METHOD_COUNT; id++) {
        if (texts[id].len >= len && memcmp(texts[id].ptr, text, len) == 0) {
            return true;
        }
    }
    return false;
}

cam_slice cam_h1_method_text(unsigned method) {
    return texts[method < CAM_H1_METHOD_COUNT ? method : CAM_H1_METHOD_UNKNOWN];
}
