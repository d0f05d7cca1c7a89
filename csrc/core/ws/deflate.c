/* SPDX-License-Identifier: MIT */
#include "ws/deflate.h"

#include <string.h>

#include "ws/list.h"

const cam_ws_deflate cam_ws_deflate_default = {
    .server_max_window_bits = 15,
    .client_max_window_bits = 15,
};

/* The parameters of an offer (RFC 7692 section 7.1). */
enum parameter {
    SERVER_NO_CONTEXT_TAKEOVER,
    CLIENT_NO_CONTEXT_TAKEOVER,
    SERVER_MAX_WINDOW_BITS,
    CLIENT_MAX_WINDOW_BITS,
    PARAMETERS,
};

static const char *const names[PARAMETERS] = {
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
};

static bool equal(cam_slice text, const char *word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* A decimal number from 8 to 15 without leading zeros (section 7.1.2), maybe as quoted pairs; 0 for
 * anything else. */
static unsigned read_bits(cam_slice value) {
    unsigned bits = 0;
    unsigned digits = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\\') {
            continue;
        }
        unsigned digit = (unsigned)((unsigned char)value.ptr[i] - '0');
        if (digit > 9 || ++digits > 2 || (digits == 1 && digit == 0)) {
            return 0;
        }
        bits = 10 * bits + digit;
    }
    return bits >= 8 && bits <= 15 ? bits : 0;
}

/* Reads one offer: whether it can be accepted, and what is then agreed upon. */
static bool accept_offer(cam_ws_deflate *agreed, const cam_ws_deflate *wanted, cam_slice params) {
    bool seen[PARAMETERS] = {false};
    unsigned server_bits = 15;
    unsigned client_bits = 15;
    cam_ws_param param;
    while (cam_ws_list_param(&params, &param) == CAM_WS_LIST_ITEM) {
        int i = 0;
        while (i < PARAMETERS && !equal(param.name, names[i])) {
            i++;
        }
        if (i == PARAMETERS || seen[i]) {
            return false;
        }
        seen[i] = true;
        if (i == SERVER_MAX_WINDOW_BITS) {
            /* Its value is compulsory; 8 is beyond zlib. */
            server_bits = read_bits(param.value);
            if (server_bits < 9) {
                return false;
            }
        } else if (i == CLIENT_MAX_WINDOW_BITS) {
            if (param.has_value) { /* without one it only says that a limit would be heeded */
                client_bits = read_bits(param.value);
                if (client_bits == 0) {
                    return false;
                }
            }
        } else if (param.has_value) {
            return false;
        }
    }
    if (server_bits > wanted->server_max_window_bits) {
        server_bits = wanted->server_max_window_bits;
    }
    /* A limit for the client can only be given to one that says it knows of it. */
    if (seen[CLIENT_MAX_WINDOW_BITS] && client_bits > wanted->client_max_window_bits) {
        client_bits = wanted->client_max_window_bits;
    }
    *agreed = (cam_ws_deflate){
        .server_no_context_takeover =
            wanted->server_no_context_takeover || seen[SERVER_NO_CONTEXT_TAKEOVER],
        .client_no_context_takeover =
            wanted->client_no_context_takeover || seen[CLIENT_NO_CONTEXT_TAKEOVER],
        .server_max_window_bits = (uint8_t)server_bits,
        .client_max_window_bits = (uint8_t)client_bits,
        /* Section 7.1.2.1: an offer with the parameter is accepted by saying it. */
        .says_server_bits = seen[SERVER_MAX_WINDOW_BITS] || server_bits < 15,
        .says_client_bits = client_bits < 15,
    };
    return true;
}

int cam_ws_deflate_choose(cam_ws_deflate *agreed, const cam_ws_deflate *wanted, cam_slice line,
                          unsigned *items) {
    int found = CAM_WS_DEFLATE_NONE;
    cam_slice name;
    cam_slice params;
    int result;
    while ((result = cam_ws_list_extension(&line, &name, &params)) == CAM_WS_LIST_ITEM) {
        ++*items;
        if (found == CAM_WS_DEFLATE_NONE && equal(name, "permessage-deflate") &&
            accept_offer(agreed, wanted, params)) {
            found = CAM_WS_DEFLATE_AGREED;
        }
    }
    return result < 0 ? CAM_WS_DEFLATE_MALFORMED : found;
}

/* Appends to a response, which has room for everything. */
static char *add(char *at, const char *text) {
    while (*text != '\0') {
        *at++ = *text++;
    }
    return at;
}

static char *add_bits(char *at, const char *name, unsigned bits) {
    at = add(add(add(at, "; "), name), "=");
    if (bits >= 10) {
        *at++ = '1';
        bits -= 10;
    }
    *at++ = (char)('0' + bits);
    return at;
}

size_t cam_ws_deflate_write(char response[CAM_WS_DEFLATE_RESPONSE], const cam_ws_deflate *agreed) {
    char *at = add(response, "permessage-deflate");
    if (agreed->server_no_context_takeover) {
        at = add(at, "; server_no_context_takeover");
    }
    if (agreed->client_no_context_takeover) {
        at = add(at, "; client_no_context_takeover");
    }
    if (agreed->says_server_bits) {
        at = add_bits(at, names[SERVER_MAX_WINDOW_BITS], agreed->server_max_window_bits);
    }
    if (agreed->says_client_bits) {
        at = add_bits(at, names[CLIENT_MAX_WINDOW_BITS], agreed->client_max_window_bits);
    }
    return (size_t)(at - response);
}
