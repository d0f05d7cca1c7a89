/* SPDX-License-Identifier: MIT */
#include "ws/handshake.h"

#include <string.h>

#include "ws/sha1.h"

static const struct {
    short status;
    const char *text;
} errors[CAM_WS_HANDSHAKE_ERROR_COUNT] = {
#define CAM_WS_HANDSHAKE_ROW(name, status, text) {status, text},
    CAM_WS_HANDSHAKE_ERRORS(CAM_WS_HANDSHAKE_ROW)
#undef CAM_WS_HANDSHAKE_ROW
};

static bool is_known(int error) {
    return error < 0 && error >= -CAM_WS_HANDSHAKE_ERROR_COUNT;
}

int cam_ws_handshake_status(int error) {
    return is_known(error) ? errors[-1 - error].status : 400;
}

const char *cam_ws_handshake_text(int error) {
    return is_known(error) ? errors[-1 - error].text : "the WebSocket handshake is malformed";
}

/* The base64 of 16 bytes (RFC 4648 section 4): 22 digits and the padding. The four bits that the
 * last digit has too many are not looked at (section 3.5 leaves that open): nothing depends on
 * them. */
#define KEY_LEN 24

static bool is_digit(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool is_key(cam_slice value) {
    if (value.len != KEY_LEN || memcmp(value.ptr + 22, "==", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (!is_digit(value.ptr[i])) {
            return false;
        }
    }
    return true;
}

void cam_ws_handshake_init(cam_ws_handshake *handshake, const cam_ws_deflate *deflate) {
    *handshake = (cam_ws_handshake){.wanted = deflate};
}

static void add_protocols(cam_ws_handshake *handshake, cam_slice line) {
    cam_slice token;
    int result;
    handshake->protocol_lines++;
    while ((result = cam_ws_list_token(&line, &token)) == CAM_WS_LIST_ITEM) {
        handshake->protocols++;
    }
    handshake->bad_protocols |= result < 0;
}

/* Also read when no extension is wanted: a list that is malformed is an error either way (section
 * 9.1). */
static void add_extensions(cam_ws_handshake *handshake, cam_slice line) {
    cam_ws_deflate agreed;
    const cam_ws_deflate *wanted = handshake->wanted;
    handshake->extension_lines++;
    int result = cam_ws_deflate_choose(&agreed, wanted != NULL ? wanted : &cam_ws_deflate_default,
                                       line, &handshake->extensions);
    if (result < 0) {
        handshake->bad_extensions = true;
    } else if (result == CAM_WS_DEFLATE_AGREED && wanted != NULL && !handshake->deflated) {
        handshake->deflated = true;
        handshake->deflate = agreed;
    }
}

void cam_ws_handshake_add(cam_ws_handshake *handshake, cam_ws_field field, cam_slice value) {
    switch (field) {
    case CAM_WS_FIELD_UPGRADE:
        handshake->is_websocket |= cam_ws_list_has(value, "websocket");
        break;
    case CAM_WS_FIELD_KEY:
        handshake->keys++;
        handshake->key = value;
        break;
    case CAM_WS_FIELD_VERSION:
        handshake->versions++;
        handshake->version = value;
        break;
    case CAM_WS_FIELD_PROTOCOL:
        add_protocols(handshake, value);
        break;
    default: /* CAM_WS_FIELD_EXTENSIONS */
        add_extensions(handshake, value);
        break;
    }
}

int cam_ws_handshake_check(const cam_ws_handshake *handshake) {
    /* The version first: what another version means by the rest is not known. */
    if (handshake->versions == 0) {
        return CAM_WS_HANDSHAKE_E_VERSION_MISSING;
    }
    /* Section 11.3.5: not more than once in a request; section 4.1: the value must be 13. */
    if (handshake->versions > 1 || handshake->version.len != 2 ||
        memcmp(handshake->version.ptr, "13", 2) != 0) {
        return CAM_WS_HANDSHAKE_E_VERSION;
    }
    if (handshake->keys == 0) {
        return CAM_WS_HANDSHAKE_E_KEY_MISSING;
    }
    if (handshake->keys > 1) {
        return CAM_WS_HANDSHAKE_E_KEY_REPEATED; /* section 11.3.1 */
    }
    if (!is_key(handshake->key)) {
        return CAM_WS_HANDSHAKE_E_KEY;
    }
    if (handshake->bad_protocols || (handshake->protocol_lines > 0 && handshake->protocols == 0)) {
        return CAM_WS_HANDSHAKE_E_PROTOCOL;
    }
    if (handshake->bad_extensions ||
        (handshake->extension_lines > 0 && handshake->extensions == 0)) {
        return CAM_WS_HANDSHAKE_E_EXTENSIONS;
    }
    return 0;
}

/* Three bytes as four digits of base64. */
static char *encode(char *out, uint32_t group) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int shift = 18; shift >= 0; shift -= 6) {
        *out++ = digits[group >> shift & 63];
    }
    return out;
}

void cam_ws_accept(char accept[CAM_WS_ACCEPT], cam_slice key) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_LEN + sizeof(guid) - 1];
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof(guid) - 1);
    uint8_t digest[CAM_SHA1_LEN + 1] = {0}; /* one more, to make it whole groups of three */
    cam_sha1(digest, text, sizeof(text));
    char *out = accept;
    for (size_t i = 0; i < sizeof(digest); i += 3) {
        out = encode(out, (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2]);
    }
    out[-1] = '=';
}
