/* SPDX-License-Identifier: MIT */
#include "http/h1_error.h"

#include <stddef.h>

static const struct {
    short status;
    const char *text;
} errors[CAM_H1_ERROR_COUNT] = {
#define CAM_H1_ROW(name, status, text) {status, text},
    CAM_H1_ERRORS(CAM_H1_ROW)
#undef CAM_H1_ROW
};

static int is_known(int error) {
    return error < 0 && error >= -CAM_H1_ERROR_COUNT;
}

int cam_h1_error_status(int error) {
    return is_known(error) ? errors[-1 - error].status : 400;
}

const char *cam_h1_error_text(int error) {
    return is_known(error) ? errors[-1 - error].text : "the request is malformed";
}
