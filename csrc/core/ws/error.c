/* SPDX-License-Identifier: MIT */
#include "ws/error.h"

#include <stdbool.h>

static const struct {
    short code;
    const char *text;
} errors[CAM_WS_ERROR_COUNT] = {
#define CAM_WS_ROW(name, code, text) {code, text},
    CAM_WS_ERRORS(CAM_WS_ROW)
#undef CAM_WS_ROW
};

static bool is_known(int error) {
    return error < 0 && error >= -CAM_WS_ERROR_COUNT;
}

int cam_ws_error_code(int error) {
    return is_known(error) ? errors[-1 - error].code : 1002;
}

const char *cam_ws_error_text(int error) {
    return is_known(error) ? errors[-1 - error].text : "the frame is malformed";
}
