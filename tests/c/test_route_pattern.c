/* SPDX-License-Identifier: MIT */
/* Patterns of routes: what they match, what they find, and which are refused. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failmalloc.h"
#include "route/pattern.h"

typedef struct row {
    const char *pattern;
    const char *path;
    const char *values; /* separated by '|'; NULL when it does not match */
} row;

static const row rows[] = {
    {"/", "/", ""},
    {"/", "", NULL},
    {"/", "//", NULL},
    {"/a", "/a", ""},
    {"/a", "/a/", NULL},
    {"/a", "/ab", NULL},
    {"/a.b", "/a.b", ""},
    {"/a.b", "/axb", NULL},
    {"/{x}", "/1", "1"},
    {"/{x}", "/", NULL},
    {"/{x}", "/a/", NULL},
    {"/{x}/", "/a/", "a"},
    {"/v{x}/y", "/v2/y", "2"},
    {"/v{x}/y", "/v/y", NULL},
    {"/{x}/{y}", "/a/b", "a|b"},
    {"/{x}/{y}", "/a/b/c", NULL},
    {"/{x:int}", "/0123", "0123"},
    {"/{x:int}", "/-1", NULL},
    {"/{x:int}", "/1a", NULL},
    {"/{x:int}/z", "/12/z", "12"},
    {"/{x:float}", "/1", "1"},
    {"/{x:float}", "/1.25", "1.25"},
    {"/{x:float}", "/1.", NULL},
    {"/{x:float}", "/.5", NULL},
    {"/{x:float}", "/1.2.3", NULL},
    {"/{x:uuid}", "/0123456789abcdefABCDEF0123456789", "0123456789abcdefABCDEF0123456789"},
    {"/{x:uuid}", "/01234567-89ab-cdef-ABCD-EF0123456789", "01234567-89ab-cdef-ABCD-EF0123456789"},
    {"/{x:uuid}", "/0123456789ab-cdefABCDEF0123456789", "0123456789ab-cdefABCDEF0123456789"},
    {"/{x:uuid}", "/012345678-9abcdefABCDEF0123456789", NULL},
    {"/{x:uuid}", "/0123456789abcdefABCDEF012345678", NULL},
    {"/{x:uuid}", "/0123456789abcdefABCDEF01234567890", NULL},
    {"/{x:path}", "/", ""},
    {"/{x:path}", "/a/b//c", "a/b//c"},
    {"/f/{x:path}", "/f", NULL},
    {"/{a}/f/{x:path}", "/\xc3\xa9/f/", "\xc3\xa9|"},
    {"/{x:str}", "/\xe2\x82\xac", "\xe2\x82\xac"},
};

static const char *const refused[] = {
    "/{x",
    "/x}",
    "/{x}}",
    "/{{x}",
    "/{}",
    "/{1x}",
    "/{x:hex}",
    "/{x}.{y}",
    "/{x}y",
    "/{x:path}/",
    "/{x:path}y",
    "/{x-y}",
    "/{x}\n",
    "/{x}{y}",
    "/{x:int}{y}/z",
    "/{x:path}/{y}",
    "/{:int}",
    "/{x:}",
    "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}",
};

/* The text in an allocation of just its size: what reads beyond it is found by the sanitizers. */
static char *exact(const char *text, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, text, len);
    return copy;
}

static void check_row(const row *row) {
    cam_route_pattern pattern;
    size_t pattern_len = strlen(row->pattern), path_len = strlen(row->path);
    char *text = exact(row->pattern, pattern_len), *path = exact(row->path, path_len);
    CHECK(cam_route_pattern_init(&pattern, text, pattern_len) == CAM_ROUTE_OK, "%s", row->pattern);
    free(text); /* the pattern has its own copy */
    cam_slice values[CAM_ROUTE_PARAMETERS];
    bool matches = cam_route_pattern_match(&pattern, path, path_len, values);
    CHECK(matches == (row->values != NULL), "%s of %s", row->path, row->pattern);
    char found[256] = "";
    for (uint32_t i = 0; matches && i < pattern.count; i++) {
        strcat(found, i > 0 ? "|" : "");
        strncat(found, values[i].ptr, values[i].len);
    }
    CHECK(!matches || row->values == NULL || strcmp(found, row->values) == 0, "%s of %s: %s",
          row->path, row->pattern, found);
    cam_route_pattern_free(&pattern);
    free(path);
}

int main(void) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_row(&rows[i]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cam_route_pattern pattern;
        size_t len = strlen(refused[i]);
        char *text = exact(refused[i], len);
        CHECK(cam_route_pattern_init(&pattern, text, len) == CAM_ROUTE_UNKNOWN, "%s", refused[i]);
        free(text);
    }
    failmalloc_install();
    failmalloc_arm(0);
    cam_route_pattern pattern;
    CHECK(cam_route_pattern_init(&pattern, "/", 1) == CAM_ROUTE_NO_MEMORY, "without memory");
    failmalloc_disarm();
    CHECK(failmalloc_held() == 0, "%ld blocks are held", failmalloc_held());
    return check_result();
}
