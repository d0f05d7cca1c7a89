/* SPDX-License-Identifier: MIT */
/* Agreeing on permessage-deflate: what each offer gives under each of the server's wishes. */
#include <string.h>

#include "check.h"
#include "ws/deflate.h"

#define PMD "permessage-deflate"
#define S_NCT "; server_no_context_takeover"
#define C_NCT "; client_no_context_takeover"
#define S_BITS "; server_max_window_bits"
#define C_BITS "; client_max_window_bits"

static const cam_ws_deflate all = {false, false, 15, 15, false, false};
static const cam_ws_deflate small = {false, false, 12, 11, false, false};
static const cam_ws_deflate fresh = {true, true, 15, 15, false, false};

static const struct {
    const cam_ws_deflate *wanted;
    const char *offer;
    const char *response; /* NULL for none, "!" for a malformed line */
} rows[] = {
    {&all, "", NULL},
    {&all, "x-webkit-deflate-frame", NULL},
    {&all, PMD, PMD},
    {&all, "Permessage-Deflate", NULL},
    {&all, PMD S_NCT, PMD S_NCT},
    {&all, PMD C_NCT, PMD C_NCT},
    {&all, PMD C_NCT S_NCT, PMD S_NCT C_NCT},
    /* What browsers send. */
    {&all, PMD C_BITS, PMD},
    {&all, PMD C_BITS ", x-webkit-deflate-frame", PMD},
    /* Section 7.1.2.1. */
    {&all, PMD S_BITS "=15", PMD S_BITS "=15"},
    {&all, PMD S_BITS "=10", PMD S_BITS "=10"},
    {&all, PMD S_BITS "=9", PMD S_BITS "=9"},
    {&all, PMD S_BITS "=\"10\"", PMD S_BITS "=10"},
    {&all, PMD S_BITS "=\"1\\0\"", PMD S_BITS "=10"},
    {&all, PMD S_BITS "=8", NULL},
    {&all, PMD S_BITS "=7", NULL},
    {&all, PMD S_BITS "=16", NULL},
    {&all, PMD S_BITS "=0", NULL},
    {&all, PMD S_BITS "=010", NULL},
    {&all, PMD S_BITS "=09", NULL},
    {&all, PMD S_BITS "=100", NULL},
    {&all, PMD S_BITS "=1e", NULL},
    {&all, PMD S_BITS "=-9", NULL},
    {&all, PMD S_BITS "=+9", NULL},
    {&all, PMD S_BITS, NULL},
    {&all, PMD S_BITS "=", "!"},
    {&all, PMD S_BITS "=\"\"", "!"},
    /* Section 7.1.2.2. */
    {&all, PMD C_BITS "=15", PMD},
    {&all, PMD C_BITS "=10", PMD C_BITS "=10"},
    {&all, PMD C_BITS "=8", PMD C_BITS "=8"},
    {&all, PMD C_BITS "=7", NULL},
    {&all, PMD C_BITS "=16", NULL},
    {&all, PMD C_BITS "=08", NULL},
    {&all, PMD C_BITS "=x", NULL},
    /* Section 7.1: unknown, repeated, or with what is not of them. */
    {&all, PMD "; foo", NULL},
    {&all, PMD "; foo=1", NULL},
    {&all, PMD S_NCT "=1", NULL},
    {&all, PMD C_NCT "=true", NULL},
    {&all, PMD S_NCT S_NCT, NULL},
    {&all, PMD C_NCT C_NCT, NULL},
    {&all, PMD S_BITS "=10" S_BITS "=10", NULL},
    {&all, PMD C_BITS C_BITS "=10", NULL},
    {&all, PMD "; Server_No_Context_Takeover", NULL},
    /* Several offers: the first that can be accepted. */
    {&all, PMD S_BITS "=8, " PMD S_BITS "=9, " PMD, PMD S_BITS "=9"},
    {&all, PMD "; foo, bar, " PMD C_NCT, PMD C_NCT},
    {&all, PMD ", " PMD S_NCT, PMD},
    {&all, PMD "; foo, " PMD "; bar", NULL},
    {&all, PMD ", \"", "!"},
    {&all, "\xff", "!"},
    /* Smaller windows wanted. */
    {&small, PMD, PMD S_BITS "=12"},
    {&small, PMD C_BITS, PMD S_BITS "=12" C_BITS "=11"},
    {&small, PMD S_BITS "=15" C_BITS "=15", PMD S_BITS "=12" C_BITS "=11"},
    {&small, PMD S_BITS "=10" C_BITS "=9", PMD S_BITS "=10" C_BITS "=9"},
    {&fresh, PMD, PMD S_NCT C_NCT},
    {&fresh, PMD S_NCT C_BITS, PMD S_NCT C_NCT},
};

static void test_rows(void) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cam_ws_deflate agreed = {0};
        unsigned items = 0;
        char text[CAM_WS_DEFLATE_RESPONSE + 1] = "!";
        int result = cam_ws_deflate_choose(
            &agreed, rows[i].wanted, (cam_slice){rows[i].offer, strlen(rows[i].offer)}, &items);
        if (result == CAM_WS_DEFLATE_AGREED) {
            size_t len = cam_ws_deflate_write(text, &agreed);
            CHECK(len < sizeof(text), "%zu bytes", len);
            text[len] = '\0';
            CHECK(agreed.server_max_window_bits >= 9 && agreed.server_max_window_bits <= 15 &&
                      agreed.client_max_window_bits >= 8 && agreed.client_max_window_bits <= 15,
                  "%d, %d bits", agreed.server_max_window_bits, agreed.client_max_window_bits);
        }
        const char *expected = rows[i].response;
        CHECK(expected == NULL ? result == CAM_WS_DEFLATE_NONE : strcmp(text, expected) == 0,
              "%s: %d, %s", rows[i].offer, result, text);
    }
}

int main(void) {
    test_rows();
    /* The fields behind the words. */
    cam_ws_deflate agreed;
    unsigned items = 0;
    static const char offer[] = "a, " PMD S_NCT C_BITS "=10, b";
    CHECK(cam_ws_deflate_choose(&agreed, &small, (cam_slice){offer, sizeof(offer) - 1}, &items) ==
                  CAM_WS_DEFLATE_AGREED &&
              items == 3,
          "%u items", items);
    CHECK(agreed.server_no_context_takeover && !agreed.client_no_context_takeover &&
              agreed.server_max_window_bits == 12 && agreed.client_max_window_bits == 10,
          "%d, %d", agreed.server_max_window_bits, agreed.client_max_window_bits);
    /* A client that does not know of client_max_window_bits may use all of them. */
    CHECK(cam_ws_deflate_choose(&agreed, &small, (cam_slice){PMD, strlen(PMD)}, &items) == 1 &&
              agreed.client_max_window_bits == 15,
          "%d", agreed.client_max_window_bits);
    /* The longest response there is fits. */
    char text[CAM_WS_DEFLATE_RESPONSE];
    agreed = (cam_ws_deflate){true, true, 15, 15, true, true};
    CHECK(cam_ws_deflate_write(text, &agreed) == strlen(PMD S_NCT C_NCT S_BITS C_BITS "=15=15"),
          "the longest");
    CHECK(cam_ws_deflate_default.server_max_window_bits == 15, "the default");
    return check_result();
}
