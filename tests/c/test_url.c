/* SPDX-License-Identifier: MIT */
/* URLs and their parts: each row in an allocation of just its size. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/url.h"

typedef struct row {
    const char *text;
    const char *parts; /* scheme|userinfo|host|port|path|query|fragment; NULL when refused */
} row;

static const row rows[] = {
    {"/", "||||/||"},
    {"*", "||||*||"},
    {"////", "||||////||"},
    {"/a/b?c=d&e[]=?f#g?/", "||||/a/b|c=d&e[]=?f|g?/"},
    {"/?#", "||||/||"},
    {"/%00<>\"", "||||/%00<>\"||"},
    {"http://h", "http||h||||"},
    {"http://h?q", "http||h|||q|"},
    {"http://h#f", "http||h||||f"},
    {"x+1.-://i:n%41@h:88/b?c#d", "x+1.-|i:n%41|h|88|/b|c|d"},
    {"http://@h/", "http||h||/||"},
    {"http://h:/", "http||h||/||"},
    {"http://a_b~c%41/", "http||a_b~c%41||/||"},
    {"http://[1:2::3:4]:67/", "http||1:2::3:4|67|/||"},
    {"", NULL},
    {" ", NULL},
    {"a", NULL},
    {"{a://h", NULL},
    {"1a://h", NULL},
    {":///1", NULL},
    {"a:", NULL},
    {"a:/b", NULL},
    {"a://", NULL},
    {"a:///b", NULL},
    {"a://u<@h", NULL},
    {"a://u@v@h", NULL},
    {"a://h<", NULL},
    {"a://h:65536", NULL},
    {"a://[1:2:3]/", NULL},
    {"a://[::1%25eth0]/", NULL},
    {"/a b", NULL},
    {"/a\x80", NULL},
    {"/a#b#c", NULL},
    {"/a#b c", NULL},
    {"http://h/a\x01", NULL},
};

static size_t put(char *to, size_t at, cam_slice part, const char *after) {
    memcpy(to + at, part.len > 0 ? part.ptr : "", part.len);
    strcpy(to + at + part.len, after);
    return at + part.len + strlen(after);
}

int main(void) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].text);
        char *text = malloc(len > 0 ? len : 1);
        if (text == NULL) {
            abort();
        }
        memcpy(text, rows[i].text, len);
        cam_url url;
        bool good = cam_url_parse(&url, text, len);
        CHECK(good == (rows[i].parts != NULL), "%s", rows[i].text);
        if (good && rows[i].parts != NULL) {
            char port[12] = "";
            if (url.port >= 0) {
                snprintf(port, sizeof(port), "%d", url.port);
            }
            char parts[256];
            size_t at = put(parts, 0, url.scheme, "|");
            at = put(parts, at, url.userinfo, "|");
            at = put(parts, at, url.host, "|");
            at = put(parts, at, (cam_slice){port, strlen(port)}, "|");
            at = put(parts, at, url.path, "|");
            at = put(parts, at, url.query, "|");
            put(parts, at, url.fragment, "");
            CHECK(strcmp(parts, rows[i].parts) == 0, "%s: %s", rows[i].text, parts);
        }
        free(text);
    }
    return check_result();
}
