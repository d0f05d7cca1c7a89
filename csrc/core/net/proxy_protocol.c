/* SPDX-License-Identifier: MIT */
#include "net/proxy_protocol.h"

#include <string.h>

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n"; /* section 2.2 */
static const char prefix[] = "PROXY ";                  /* section 2.1 */

enum { SIGNATURE = sizeof signature - 1, PREFIX = sizeof prefix - 1 };

/* ---- version 1 ---- */

/* Takes the next word off a line whose words are parted by one space each. */
static bool next_word(const char **text, const char *end, const char **word, size_t *len) {
    if (*text == end || **text != ' ') {
        return false;
    }
    *word = ++*text;
    while (*text < end && **text != ' ') {
        ++*text;
    }
    *len = (size_t)(*text - *word);
    return *len > 0;
}

/* A decimal number without leading zeros. */
static bool read_port(uint16_t *port, const char *text, size_t len) {
    if (len > 5 || (len > 1 && text[0] == '0')) {
        return false;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        sum = sum * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)sum;
    return sum <= UINT16_MAX;
}

/* The line, without its CRLF. */
static int read_line(cam_proxy *proxy, const char *text, size_t len) {
    const char *end = text + len;
    const char *word;
    size_t size;
    text += PREFIX - 1; /* at the space */
    if (!next_word(&text, end, &word, &size)) {
        return CAM_PROXY_E_LINE;
    }
    if (size == 7 && memcmp(word, "UNKNOWN", 7) == 0) {
        proxy->family = CAM_PROXY_NONE; /* whatever follows is to be ignored */
        return CAM_PROXY_DONE;
    }
    if (size != 4 || memcmp(word, "TCP", 3) != 0 || (word[3] != '4' && word[3] != '6')) {
        return CAM_PROXY_E_LINE;
    }
    uint8_t bytes = word[3] == '4' ? 4 : 16;
    cam_proxy_end *const ends[] = {&proxy->source, &proxy->target};
    for (int i = 0; i < 2; i++) {
        if (!next_word(&text, end, &word, &size)) {
            return CAM_PROXY_E_LINE;
        }
        if (!cam_ip_parse(&ends[i]->ip, word, size) || ends[i]->ip.size != bytes) {
            return CAM_PROXY_E_ADDRESS;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (!next_word(&text, end, &word, &size)) {
            return CAM_PROXY_E_LINE;
        }
        if (!read_port(&ends[i]->port, word, size)) {
            return CAM_PROXY_E_ADDRESS;
        }
    }
    proxy->family = CAM_PROXY_IP;
    return text == end ? CAM_PROXY_DONE : CAM_PROXY_E_LINE;
}

/* One more byte of a line. */
static int feed_line(cam_proxy *proxy, char byte) {
    size_t at = proxy->used;
    proxy->head[proxy->used++] = byte;
    if (at < PREFIX) {
        return byte == prefix[at] ? CAM_PROXY_MORE : CAM_PROXY_E_MISSING;
    }
    if (proxy->head[at - 1] == '\r') {
        return byte == '\n' ? read_line(proxy, proxy->head, proxy->used - 2) : CAM_PROXY_E_LINE;
    }
    /* A CR has to be followed by its LF within the bound. */
    if (byte == '\n' || byte == 0 || proxy->used == CAM_PROXY_LINE ||
        (proxy->used == CAM_PROXY_LINE - 1 && byte != '\r')) {
        return CAM_PROXY_E_LINE;
    }
    return CAM_PROXY_MORE;
}

/* ---- version 2 ---- */

static uint16_t read_number(const char *bytes) {
    return (uint16_t)((uint8_t)bytes[0] << 8 | (uint8_t)bytes[1]);
}

/* How many bytes of addresses the family has; of those that are not used, none. */
static size_t address_size(const cam_proxy *proxy) {
    if ((proxy->head[12] & 0xF) == 0) {
        return 0; /* LOCAL */
    }
    switch (proxy->head[13]) {
    case 0x11:
        return 2 * 4 + 2 * 2;
    case 0x21:
        return 2 * 16 + 2 * 2;
    case 0x31:
        return 2 * CAM_PROXY_PATH;
    default:
        return 0; /* unspecified, or of datagrams: not what a stream can come from */
    }
}

static void read_ips(cam_proxy *proxy, uint8_t size) {
    const char *at = proxy->head + CAM_PROXY_FIXED;
    cam_proxy_end *const ends[] = {&proxy->source, &proxy->target};
    for (int i = 0; i < 2; i++) {
        ends[i]->ip.size = size;
        memcpy(ends[i]->ip.bytes, at + i * size, size);
        ends[i]->port = read_number(at + 2 * size + i * 2);
    }
    proxy->family = CAM_PROXY_IP;
}

/* All that is kept is there. */
static void read_addresses(cam_proxy *proxy) {
    const char *at = proxy->head + CAM_PROXY_FIXED;
    switch (address_size(proxy)) {
    case 12:
        read_ips(proxy, 4);
        break;
    case 36:
        read_ips(proxy, 16);
        break;
    case 2 * CAM_PROXY_PATH:
        memcpy(proxy->source.path, at, CAM_PROXY_PATH);
        memcpy(proxy->target.path, at + CAM_PROXY_PATH, CAM_PROXY_PATH);
        proxy->family = CAM_PROXY_UNIX;
        break;
    default:
        proxy->family = CAM_PROXY_NONE;
        break;
    }
}

/* One more byte of what is kept. */
static int feed_binary(cam_proxy *proxy, char byte) {
    size_t at = proxy->used;
    proxy->head[proxy->used++] = byte;
    if (at < SIGNATURE) {
        return byte == signature[at] ? CAM_PROXY_MORE : CAM_PROXY_E_MISSING;
    }
    switch (at) {
    case 12: /* version 2, LOCAL or PROXY */
        return byte == 0x20 || byte == 0x21 ? CAM_PROXY_MORE : CAM_PROXY_E_VERSION;
    case 13: /* family: unspecified, IPv4, IPv6, UNIX; protocol: unspecified, stream, datagram */
        return (uint8_t)byte >> 4 <= 3 && (byte & 0xF) <= 2 ? CAM_PROXY_MORE : CAM_PROXY_E_VERSION;
    case 15: {
        size_t length = read_number(proxy->head + 14);
        size_t wanted = address_size(proxy);
        if (length < wanted) {
            return CAM_PROXY_E_LENGTH;
        }
        proxy->skip = length - wanted;
        break;
    }
    default:
        break;
    }
    if (at < CAM_PROXY_FIXED - 1 || proxy->used < CAM_PROXY_FIXED + address_size(proxy)) {
        return CAM_PROXY_MORE;
    }
    read_addresses(proxy);
    return CAM_PROXY_DONE;
}

/* ---- either ---- */

int cam_proxy_feed(cam_proxy *proxy, const char *data, size_t size, size_t *used) {
    bool kept = proxy->version == 2 && proxy->used >= CAM_PROXY_FIXED &&
                proxy->used == CAM_PROXY_FIXED + address_size(proxy);
    size_t at = 0;
    while (!kept) {
        if (at == size) {
            *used = at;
            return CAM_PROXY_MORE;
        }
        char byte = data[at++];
        if (proxy->used == 0) {
            proxy->version = byte == signature[0] ? 2 : 1;
        }
        int status = proxy->version == 2 ? feed_binary(proxy, byte) : feed_line(proxy, byte);
        if (status != CAM_PROXY_MORE && (status < 0 || proxy->version == 1)) {
            *used = at;
            return status;
        }
        kept = status == CAM_PROXY_DONE;
    }
    size_t skipped = size - at < proxy->skip ? size - at : proxy->skip;
    proxy->skip -= skipped;
    *used = at + skipped;
    return proxy->skip > 0 ? CAM_PROXY_MORE : CAM_PROXY_DONE;
}

const char *cam_proxy_error(int error) {
    switch (error) {
    case CAM_PROXY_E_MISSING:
        return "it does not begin with a PROXY header";
    case CAM_PROXY_E_LINE:
        return "the line of its PROXY header is malformed";
    case CAM_PROXY_E_ADDRESS:
        return "its PROXY header has a wrong address or port";
    case CAM_PROXY_E_VERSION:
        return "its PROXY header is of an unknown version, command or family";
    case CAM_PROXY_E_LENGTH:
        return "its PROXY header is shorter than its addresses";
    default:
        return "its PROXY header is wrong";
    }
}
