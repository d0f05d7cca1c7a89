/* SPDX-License-Identifier: MIT */
#include "net/tls_record.h"

#include <string.h>

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The types are change_cipher_spec (20) to heartbeat (24); the version's first byte is 3. */
static bool is_header(const uint8_t *head, size_t body) {
    return head[0] >= 20 && head[0] <= 24 && head[1] == 3 && body <= CAM_TLS_RECORD_BODY;
}

void cam_tls_records_feed(cam_tls_records *records, const char *data, size_t size) {
    while (size > 0 && !records->foreign) {
        if (records->partial < CAM_TLS_HEADER) {
            size_t count = smaller(CAM_TLS_HEADER - records->partial, size);
            memcpy(records->head + records->partial, data, count);
            records->partial += count;
            data += count;
            size -= count;
            if (records->partial < CAM_TLS_HEADER) {
                return;
            }
            records->left = (size_t)records->head[3] << 8 | records->head[4];
            if (!is_header(records->head, records->left)) {
                records->foreign = true;
                records->partial = records->left = 0;
                return;
            }
        }
        size_t count = smaller(records->left, size);
        records->left -= count;
        records->partial += count;
        data += count;
        size -= count;
        if (records->left == 0) {
            records->partial = 0;
            records->whole++;
        }
    }
}
