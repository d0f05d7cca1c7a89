/* SPDX-License-Identifier: MIT */
/* The lists of a handshake: tokens, extensions with parameters, words; each line in an allocation
 * of just its size, and each of its beginnings as well. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ws/list.h"

typedef void describe_function(char *out, cam_slice line);

static void add(char *out, const char *format, cam_slice text) {
    sprintf(out + strlen(out), format, (int)text.len, text.len > 0 ? text.ptr : "");
}

static void describe_tokens(char *out, cam_slice line) {
    cam_slice token;
    int result;
    while ((result = cam_ws_list_token(&line, &token)) == CAM_WS_LIST_ITEM) {
        add(out, "<%.*s>", token);
    }
    strcat(out, result < 0 ? "!" : "");
}

static void describe_extensions(char *out, cam_slice line) {
    cam_slice name;
    cam_slice params;
    cam_ws_param param;
    int result;
    while ((result = cam_ws_list_extension(&line, &name, &params)) == CAM_WS_LIST_ITEM) {
        add(out, "<%.*s", name);
        while (cam_ws_list_param(&params, &param) == CAM_WS_LIST_ITEM) {
            add(out, " %.*s", param.name);
            if (param.has_value) {
                add(out, "=%.*s", param.value);
            }
        }
        CHECK(params.len == 0, "parameters that are left: %s", out);
        strcat(out, ">");
    }
    strcat(out, result < 0 ? "!" : "");
}

static void describe(char *out, size_t size, const char *line, size_t len,
                     describe_function *function) {
    char *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, line, len);
    memset(out, 0, size);
    function(out, (cam_slice){copy, len});
    free(copy);
}

static const struct row {
    const char *line;
    const char *expected;
} tokens[] = {
    {"", ""},
    {" ", ""},
    {",", ""},
    {" , ,\t,", ""},
    {"chat", "<chat>"},
    {"chat, superchat", "<chat><superchat>"},
    {"chat,superchat", "<chat><superchat>"},
    {" \tchat\t ,, , b ,", "<chat><b>"},
    {"v10.stomp,soap+xml,a|b~c", "<v10.stomp><soap+xml><a|b~c>"},
    {"!#$%&'*+-.^_`|~09azAZ", "<!#$%&'*+-.^_`|~09azAZ>"},
    {"a b", "!"},
    {"a, b c", "<a>!"},
    {"a;b", "!"},
    {"a=b", "!"},
    {"\"a\"", "!"},
    {"(a)", "!"},
    {"a\x01", "!"},
    {"a\x7f", "!"},
    {"\x80\xff", "!"},
    {"a, \xc3\xa9", "<a>!"},
    {"a/b", "!"},
    {"a\\b", "!"},
    {"a:b", "!"},
    {"[a]", "!"},
    {"{a}", "!"},
    {"a@b", "!"},
    {"a<b>", "!"},
    {"a?", "!"},
};

static const struct row extensions[] = {
    {"", ""},
    {",,", ""},
    {"foo", "<foo>"},
    {"foo, bar; baz=2", "<foo><bar baz=2>"},
    {"foo; bar; baz = 2 ,x;y=\"z\"", "<foo bar baz=2><x y=z>"},
    {"foo;bar", "<foo bar>"},
    {"foo ;\tbar\t;\tc=\"1\\0\" ", "<foo bar c=1\\0>"},
    {"foo; a=\"\\b\\c\"", "<foo a=\\b\\c>"},
    {"permessage-deflate; client_max_window_bits, permessage-deflate",
     "<permessage-deflate client_max_window_bits><permessage-deflate>"},
    {"foo;", "!"},
    {"foo;;bar", "!"},
    {"foo; =2", "!"},
    {"foo; a=", "!"},
    {"foo; a=,", "!"},
    {"foo; a=b c", "!"},
    {"foo; a=\"", "!"},
    {"foo; a=\"b", "!"},
    {"foo; a=\"\"", "!"},
    {"foo; a=\"b\\", "!"},
    {"foo; a=\"b\\\"", "!"},
    {"foo; a=\"b c\"", "!"},
    {"foo; a=\"b,c\"", "!"},
    {"foo; a=\"b\\ c\"", "!"},
    {"foo; a=\"b\"c", "!"},
    {"foo bar", "!"},
    {"foo=bar", "!"},
    {"foo, ;a", "<foo>!"},
    {"foo, \xff", "<foo>!"},
    {"foo; a=\xff", "!"},
    {"\"foo\"", "!"},
};

static void test_rows(const struct row *rows, size_t count, describe_function *function) {
    char out[500];
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].line);
        describe(out, sizeof(out), rows[i].line, len, function);
        CHECK(strcmp(out, rows[i].expected) == 0, "'%s' gives %s", rows[i].line, out);
        for (size_t part = 0; part < len; part++) { /* for the sanitizers */
            describe(out, sizeof(out), rows[i].line, part, function);
        }
    }
}

/* Every byte is one of a token or not (RFC 9110 section 5.6.2). */
static void test_token_bytes(void) {
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = {'a', (char)byte, 'b'};
        cam_slice line = {text, 3};
        cam_slice token;
        bool is_token = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                        (byte >= 'A' && byte <= 'Z') ||
                        (byte > 0 && byte < 128 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
        int result = cam_ws_list_token(&line, &token);
        CHECK((result == CAM_WS_LIST_ITEM && token.len == 3) == is_token, "%02x: %d, %zu", byte,
              result, token.len);
    }
}

static void test_words(void) {
    static const struct {
        const char *line;
        bool has;
    } rows[] = {
        {"websocket", true},
        {"WebSocket", true},
        {"WEBSOCKET", true},
        {" websocket\t", true},
        {"h2c, websocket", true},
        {"websocket , h2c", true},
        {",, websocket ,,", true},
        {"HTTP/2.0, SHTTP/1.3 ,websocket", true},
        {"", false},
        {",", false},
        {"  ", false},
        {"h2c", false},
        {"websockets", false},
        {"websocke", false},
        {"websocket/1", false},
        {"web socket", false},
        {"websockat", false},
        {"\x57"
         "ebsocke\x54",
         true},
        {"[ebsocket", false},
        {"@ebsocket", false},
        {"7ebsocket", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cam_slice line = {rows[i].line, strlen(rows[i].line)};
        CHECK(cam_ws_list_has(line, "websocket") == rows[i].has, "'%s'", rows[i].line);
    }
}

int main(void) {
    test_rows(tokens, sizeof(tokens) / sizeof(tokens[0]), describe_tokens);
    test_rows(extensions, sizeof(extensions) / sizeof(extensions[0]), describe_extensions);
    test_token_bytes();
    test_words();
    return check_result();
}
