/* SPDX-License-Identifier: MIT */
/*
 * The header lines of a WebSocket handshake from anywhere.
 *
 * An input is lines, each with a first byte that says which field it is; the very first byte says
 * what extension is wanted. Beyond what the sanitizers see, an input fails when a list that is read
 * holds what is no token, when what is agreed upon was not offered or not wanted, when its response
 * would be refused as an offer.
 */
#include "fuzz.h"
#include "ws/handshake.h"

static void require_token(cam_slice token) {
    REQUIRE(token.len > 0);
    for (size_t i = 0; i < token.len; i++) {
        REQUIRE(token.ptr[i] > ' ' && token.ptr[i] < 127 &&
                strchr("()<>@,;:\\\"/[]?={}", token.ptr[i]) == NULL);
    }
}

/* The tokens of a line; -1 when it is malformed. */
static int count_tokens(cam_slice line) {
    int count = 0;
    int result;
    cam_slice token;
    while ((result = cam_ws_list_token(&line, &token)) == CAM_WS_LIST_ITEM) {
        require_token(token);
        count++;
    }
    return result < 0 ? -1 : count;
}

static int count_extensions(cam_slice line) {
    int count = 0;
    int result;
    cam_slice name, params;
    while ((result = cam_ws_list_extension(&line, &name, &params)) == CAM_WS_LIST_ITEM) {
        cam_ws_param param;
        require_token(name);
        while ((result = cam_ws_list_param(&params, &param)) == CAM_WS_LIST_ITEM) {
            require_token(param.name);
            REQUIRE(param.has_value == (param.value.len > 0));
        }
        REQUIRE(result == CAM_WS_LIST_END && params.len == 0);
        count++;
    }
    return result < 0 ? -1 : count;
}

/* An agreement is within what was wanted, and its response can be read as an offer that gives the
 * same again, but for a server that deflates with 8 bits. */
static void check_agreed(const cam_ws_deflate *agreed, const cam_ws_deflate *wanted) {
    REQUIRE(agreed->server_max_window_bits >= 9 &&
            agreed->server_max_window_bits <= wanted->server_max_window_bits);
    REQUIRE(agreed->client_max_window_bits >= 8 && agreed->client_max_window_bits <= 15);
    REQUIRE(agreed->server_no_context_takeover || !wanted->server_no_context_takeover);
    REQUIRE(agreed->client_no_context_takeover || !wanted->client_no_context_takeover);
    char response[CAM_WS_DEFLATE_RESPONSE];
    size_t len = cam_ws_deflate_write(response, agreed);
    REQUIRE(len <= sizeof(response));
    cam_ws_deflate again;
    unsigned items = 0;
    REQUIRE(cam_ws_deflate_choose(&again, wanted, (cam_slice){response, len}, &items) ==
                CAM_WS_DEFLATE_AGREED &&
            items == 1);
    REQUIRE(again.server_max_window_bits == agreed->server_max_window_bits &&
            again.client_max_window_bits == agreed->client_max_window_bits &&
            again.server_no_context_takeover == agreed->server_no_context_takeover &&
            again.client_no_context_takeover == agreed->client_no_context_takeover);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static const cam_ws_deflate wishes[] = {
        {.server_max_window_bits = 15, .client_max_window_bits = 15},
        {.server_max_window_bits = 12, .client_max_window_bits = 12},
        {true, true, 9, 8, false, false},
    };
    if (size == 0) {
        return 0;
    }
    const cam_ws_deflate *wanted = input[0] % 4 < 3 ? &wishes[input[0] % 4] : NULL;
    cam_ws_handshake handshake;
    cam_ws_handshake_init(&handshake, wanted);
    const char *end = (const char *)input + size;
    for (const char *line = (const char *)input + 1; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        line_end = line_end != NULL ? line_end : end;
        cam_ws_field field = (cam_ws_field)((uint8_t)*line % 5);
        const char *text = line < line_end ? line + 1 : line;
        size_t len = (size_t)(line_end - text);
        cam_slice value = {fuzz_guard(text, len), len};
        int tokens = count_tokens(value);
        int extensions = count_extensions(value);
        REQUIRE(tokens < 0 || tokens == extensions); /* a list of tokens is one of extensions */
        cam_ws_list_has(value, "websocket");
        cam_ws_handshake_add(&handshake, field, (cam_slice){text, len});
        line = line_end < end ? line_end + 1 : end;
    }
    int result = cam_ws_handshake_check(&handshake);
    REQUIRE(cam_ws_handshake_status(result) == 400 || cam_ws_handshake_status(result) == 426);
    if (result == 0) {
        char accept[CAM_WS_ACCEPT];
        cam_ws_accept(accept, handshake.key);
        REQUIRE(count_tokens((cam_slice){accept, CAM_WS_ACCEPT}) != 0 && accept[27] == '=');
    }
    REQUIRE(!handshake.deflated || wanted != NULL);
    if (handshake.deflated) {
        check_agreed(&handshake.deflate, wanted);
    }
    return 0;
}
