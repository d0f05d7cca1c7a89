/* SPDX-License-Identifier: MIT */
/* net/proxy_protocol: headers whole, byte by byte and cut at every place, with the same outcome. */
#include <string.h>

#include "check.h"
#include "net/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TAIL "GET / HTTP/1.1\r\n"

typedef struct row {
    const char *bytes;
    size_t size;
    int outcome;        /* CAM_PROXY_DONE or an error; CAM_PROXY_MORE: a good beginning */
    const char *source; /* of a complete header, as show() writes it */
    const char *target;
} row;

#define ROW(bytes, outcome, source, target) {bytes, sizeof(bytes) - 1, outcome, source, target}
#define X10 "xxxxxxxxxx"
#define ZEROS_100                                                                                  \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
    "\0\0\0"                                                                                       \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
    "\0\0\0"                                                                                       \
    "\0\0"
#define PATH(four) four ZEROS_100 "\0\0\0\0"
#define MANY_X X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define LINE(text) "PROXY " text "\r\n"

static const row rows[] = {
    /* version 1, section 2.1 */
    ROW(LINE("TCP4 255.255.255.255 1.2.3.4 65535 0"), CAM_PROXY_DONE, "255.255.255.255:65535",
        "1.2.3.4:0"),
    ROW(LINE("TCP6 ::1 2001:db8::1 1 443"), CAM_PROXY_DONE, "[1]:1", "[1]:443"),
    ROW(LINE("TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:ffff 65535 65535"), CAM_PROXY_DONE,
        "[255]:65535", "[255]:65535"),
    ROW(LINE("UNKNOWN"), CAM_PROXY_DONE, "", ""),
    ROW(LINE("UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535"), CAM_PROXY_DONE, "", ""),
    ROW(LINE("UNKNOWN " MANY_X), CAM_PROXY_E_LINE, "", ""),
    ROW("PROXY UNKNOWN " X10 X10 X10 X10 X10 X10 X10 X10 X10 "x\r\n", CAM_PROXY_DONE, "", ""),
    ROW("PROXY UNKNOWN " X10 X10 X10 X10 X10 X10 X10 X10 X10 "xx\r\n", CAM_PROXY_E_LINE, "", ""),
    ROW("PROXY UNKNOWN " X10 X10 X10 X10 X10 X10 X10 X10 X10 "x\r", CAM_PROXY_MORE, "", ""),
    ROW("", CAM_PROXY_MORE, "", ""),
    ROW("PROXY", CAM_PROXY_MORE, "", ""),
    ROW("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", CAM_PROXY_MORE, "", ""),
    ROW("GET / HTTP/1.1\r\n", CAM_PROXY_E_MISSING, "", ""),
    ROW("PROXZ", CAM_PROXY_E_MISSING, "", ""),
    ROW("PROXY\t", CAM_PROXY_E_MISSING, "", ""),
    ROW("proxy ", CAM_PROXY_E_MISSING, "", ""),
    ROW("\x16\3\1", CAM_PROXY_E_MISSING, "", ""),
    ROW(LINE(""), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE(" TCP4 1.2.3.4 5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP5 1.2.3.4 5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("tcp4 1.2.3.4 5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("UDP4 1.2.3.4 5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("UNKNOWNS"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 1.2.3.4"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1 2 "), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1 2 3"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 1.2.3.4  5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4\t1.2.3.4 5.6.7.8 1 2"), CAM_PROXY_E_LINE, "", ""),
    ROW(LINE("TCP4 ::1 5.6.7.8 1 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP6 ::1 5.6.7.8 1 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 localhost 1 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.04 5.6.7.8 1 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 65536 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1 99999"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1 000002"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 01 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 -1 2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW(LINE("TCP4 1.2.3.4 5.6.7.8 1 +2"), CAM_PROXY_E_ADDRESS, "", ""),
    ROW("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", CAM_PROXY_E_LINE, "", ""),
    ROW("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx", CAM_PROXY_E_LINE, "", ""),
    ROW("PROXY TCP4 1.2.3.4\0", CAM_PROXY_E_LINE, "", ""),
    /* version 2, section 2.2 */
    ROW(SIGNATURE "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\0\x50", CAM_PROXY_DONE,
        "1.2.3.4:4660", "5.6.7.8:80"),
    ROW(SIGNATURE "\x21\x11\0\x13\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\0\x50\x04\0\x04PROX",
        CAM_PROXY_DONE, "1.2.3.4:4660", "5.6.7.8:80"),
    ROW(SIGNATURE
        "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
        "\0\x01\xff\xff",
        CAM_PROXY_DONE, "[1]:1", "[2]:65535"),
    ROW(SIGNATURE "\x21\x31\0\xd8" PATH("/run") PATH("/tmp"), CAM_PROXY_DONE, "/run", "/tmp"),
    ROW(SIGNATURE "\x20\0\0\0", CAM_PROXY_DONE, "", ""),
    ROW(SIGNATURE "\x20\x11\0\x03xyz", CAM_PROXY_DONE, "", ""),
    ROW(SIGNATURE "\x21\0\0\0", CAM_PROXY_DONE, "", ""),
    ROW(SIGNATURE "\x21\0\0\x02xy", CAM_PROXY_DONE, "", ""),
    ROW(SIGNATURE "\x21\x12\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\0\x50", CAM_PROXY_DONE,
        "", ""),
    ROW(SIGNATURE "\x21\x10\0\0", CAM_PROXY_DONE, "", ""),
    ROW(SIGNATURE "\x21\x11\x01\0\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\0\x50", CAM_PROXY_MORE,
        "", ""),
    ROW(SIGNATURE "\x21\x11\0\x0c\x01\x02", CAM_PROXY_MORE, "", ""),
    ROW(SIGNATURE "\x21\x11\0", CAM_PROXY_MORE, "", ""),
    ROW("\r\n\r\n", CAM_PROXY_MORE, "", ""),
    ROW("\r\n\r\nGET", CAM_PROXY_E_MISSING, "", ""),
    ROW("\r\n\r\n\0\r\nQUIT\r", CAM_PROXY_E_MISSING, "", ""),
    ROW(SIGNATURE "\x11", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x22", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x2f", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x21\x41", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x21\x13", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x21\xf1", CAM_PROXY_E_VERSION, "", ""),
    ROW(SIGNATURE "\x21\x11\0\x0b", CAM_PROXY_E_LENGTH, "", ""),
    ROW(SIGNATURE "\x21\x21\0\x23", CAM_PROXY_E_LENGTH, "", ""),
    ROW(SIGNATURE "\x21\x31\0\xd7", CAM_PROXY_E_LENGTH, "", ""),
};

/* An end in a few letters: of IPv6 the last byte. */
static void show(char *text, size_t room, const cam_proxy *proxy, const cam_proxy_end *end) {
    const uint8_t *b = end->ip.bytes;
    text[0] = 0;
    if (proxy->family == CAM_PROXY_UNIX) {
        snprintf(text, room, "%.*s", CAM_PROXY_PATH, end->path);
    } else if (proxy->family == CAM_PROXY_IP && end->ip.size == 4) {
        snprintf(text, room, "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3], end->port);
    } else if (proxy->family == CAM_PROXY_IP) {
        snprintf(text, room, "[%u]:%u", b[15], end->port);
    }
}

/* Feeds the row and what follows it, cut at the given places (SIZE_MAX: at every one). */
static void feed(const row *r, size_t number, size_t cut) {
    char stream[512];
    size_t total = r->size;
    memcpy(stream, r->bytes, r->size);
    if (r->outcome == CAM_PROXY_DONE) {
        memcpy(stream + total, TAIL, sizeof TAIL - 1);
        total += sizeof TAIL - 1;
    }
    cam_proxy proxy = {0};
    int status = CAM_PROXY_MORE;
    size_t at = 0;
    while (status == CAM_PROXY_MORE && at < total) {
        size_t end = cut == SIZE_MAX ? at + 1 : at < cut && cut < total ? cut : total;
        size_t used = 0;
        status = cam_proxy_feed(&proxy, stream + at, end - at, &used);
        CHECK(used <= end - at, "row %zu, cut at %zu", number, cut);
        CHECK(status != CAM_PROXY_MORE || used == end - at, "row %zu, cut at %zu", number, cut);
        at += used;
    }
    CHECK(status == r->outcome, "row %zu, cut at %zu: %d", number, cut, status);
    if (status == CAM_PROXY_DONE) {
        char text[128];
        CHECK(at == r->size, "row %zu, cut at %zu: ends at %zu", number, cut, at);
        show(text, sizeof text, &proxy, &proxy.source);
        CHECK(strcmp(text, r->source) == 0, "row %zu: from %s", number, text);
        show(text, sizeof text, &proxy, &proxy.target);
        CHECK(strcmp(text, r->target) == 0, "row %zu: to %s", number, text);
    } else if (status < 0) {
        CHECK(strstr(cam_proxy_error(status), "PROXY header") != NULL, "row %zu", number);
    }
}

static void test_rows(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; cut <= rows[i].size + 1; cut++) {
            feed(&rows[i], i, cut);
        }
        feed(&rows[i], i, SIZE_MAX);
    }
}

/* As many fields as there can be, which are not kept. */
static void test_longest(void) {
    static const char head[] = SIGNATURE "\x21\x11\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08\0\1\0\2";
    static char fields[65535];
    cam_proxy proxy = {0};
    size_t used;
    CHECK(cam_proxy_feed(&proxy, head, sizeof head - 1, &used) == CAM_PROXY_MORE, "the head");
    size_t left = sizeof fields - 12;
    while (left > 1) {
        size_t size = left - 1 < 1000 ? left - 1 : 1000;
        CHECK(cam_proxy_feed(&proxy, fields, size, &used) == CAM_PROXY_MORE, "%zu left", left);
        CHECK(used == size, "%zu", used);
        left -= size;
    }
    CHECK(cam_proxy_feed(&proxy, fields, 3, &used) == CAM_PROXY_DONE && used == 1, "%zu", used);
    CHECK(proxy.source.port == 1 && proxy.target.port == 2, "the addresses");
}

int main(void) {
    test_rows();
    test_longest();
    CHECK(strcmp(cam_proxy_error(-99), "its PROXY header is wrong") == 0, "another error");
    return check_result();
}
