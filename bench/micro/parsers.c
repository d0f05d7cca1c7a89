/* SPDX-License-Identifier: MIT */
/*
 * Parses one head many times, with our parser or with picohttpparser, for callgrind to count.
 *
 *   parsers camshaft|memo|picohttpparser small|browser COUNT
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heads.h"
#include "http/h1.h"
#include "picohttpparser.h"

#define HEADERS 64

static int with_ours(const char *text, size_t len, const cam_h1_memo *memo) {
    static cam_h1_header headers[HEADERS];
    cam_h1_request request = {.headers = headers, .header_capacity = HEADERS};
    cam_h1_scan scan = {0};
    return cam_h1_parse_request(&request, text, len, &scan, &cam_h1_default_limits, memo);
}

static int with_pico(const char *text, size_t len) {
    static struct phr_header headers[HEADERS];
    const char *method;
    const char *path;
    size_t method_len;
    size_t path_len;
    size_t count = HEADERS;
    int version;
    return phr_parse_request(text, len, &method, &method_len, &path, &path_len, &version, headers,
                             &count, 0);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        return 2;
    }
    bool pico = strcmp(argv[1], "picohttpparser") == 0;
    const char *text = strcmp(argv[2], "small") == 0 ? small : browser;
    size_t len = strlen(text);
    cam_h1_header headers[HEADERS];
    cam_h1_request request = {.headers = headers, .header_capacity = HEADERS};
    cam_h1_scan scan = {0};
    cam_h1_parse_request(&request, text, len, &scan, &cam_h1_default_limits, NULL);
    cam_h1_memo memo = {request.header_block, request.fields};
    const cam_h1_memo *kept = strcmp(argv[1], "memo") == 0 ? &memo : NULL;
    for (int i = atoi(argv[3]); i > 0; i--) {
        int result = pico ? with_pico(text, len) : with_ours(text, len, kept);
        if (result != (int)len) {
            fprintf(stderr, "%s: %d for %zu\n", argv[1], result, len);
            return 1;
        }
    }
    return 0;
}
