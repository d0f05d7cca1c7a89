/* SPDX-License-Identifier: MIT */
/* net/peers: addresses read, ranges of every length, and what is no address. */
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "failmalloc.h"
#include "net/peers.h"

static cam_ip ip_of(const char *text) {
    cam_ip ip;
    CHECK(cam_ip_parse(&ip, text, strlen(text)), "%s", text);
    return ip;
}

static bool contains(const cam_peers *peers, const char *text) {
    cam_ip ip = ip_of(text);
    return cam_peers_contain(peers, &ip);
}

static void add(cam_peers *peers, const char *text, unsigned bits) {
    cam_ip ip = ip_of(text);
    CHECK(cam_peers_add(peers, &ip, bits) == 0, "%s/%u", text, bits);
}

static void test_addresses(void) {
    cam_ip ip = ip_of("192.0.2.1");
    CHECK(ip.size == 4 && memcmp(ip.bytes, "\xc0\0\x02\x01", 4) == 0, "v4");
    ip = ip_of("2001:db8::1");
    CHECK(ip.size == 16 && ip.bytes[0] == 0x20 && ip.bytes[15] == 1, "v6");
    ip = ip_of("ABCD:ef01:2345:6789:abcd:ef01:192.168.100.200"); /* of the longest there are */
    CHECK(ip.size == 16, "v6 with v4");
}

static void test_what_is_no_address(void) {
    static const char *const rows[] = {
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4:80",
        "[::1]",
        "::1%eth0",
        ":::",
        "1:2:3:4:5",
        "::12345",
        "1.2.3.0x4",
        "1::2::3",
        "::1.2.3",
        "unix:",
        "ABCD:ef01:2345:6789:abcd:ef01:192.168.100.2000",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    cam_ip ip;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(!cam_ip_parse(&ip, rows[i], strlen(rows[i])), "'%s'", rows[i]);
    }
    CHECK(!cam_ip_parse(&ip, "1.2.3.4\0", 8), "a NUL");
    CHECK(cam_ip_parse(&ip, "1.2.3.45", 7) && ip.bytes[3] == 4, "no terminator is looked for");
}

static void test_single(void) {
    cam_peers peers = {0};
    CHECK(!contains(&peers, "127.0.0.1"), "the empty set");
    add(&peers, "127.0.0.1", 32);
    add(&peers, "::1", 128);
    CHECK(contains(&peers, "127.0.0.1") && contains(&peers, "::1"), "both");
    CHECK(!contains(&peers, "127.0.0.2") && !contains(&peers, "::2"), "others");
    CHECK(!contains(&peers, "::ffff:127.0.0.1"), "a mapped address is another one");
    CHECK(!contains(&peers, "::"), "nothing");
    cam_peers_free(&peers);
    CHECK(peers.count == 0 && !contains(&peers, "::1"), "freed");
}

/* The address whose bit number `bit` is turned round is in the network if the bit is behind it. */
static void test_every_length(void) {
    static const char *const bases[] = {"172.31.170.85", "2001:db8:aaaa:5555:ff00:ff:f0f0:f0f"};
    for (size_t i = 0; i < 2; i++) {
        cam_ip base = ip_of(bases[i]);
        unsigned most = base.size * 8U;
        for (unsigned bits = 0; bits <= most; bits++) {
            cam_peers peers = {0};
            CHECK(cam_peers_add(&peers, &base, bits) == 0, "%u", bits);
            CHECK(cam_peers_contain(&peers, &base), "itself, of %u", bits);
            for (unsigned bit = 0; bit < most; bit++) {
                cam_ip other = base;
                other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                CHECK(cam_peers_contain(&peers, &other) == (bit >= bits), "%u of %u", bit, bits);
            }
            cam_peers_free(&peers);
        }
        cam_peers peers = {0};
        CHECK(cam_peers_add(&peers, &base, most + 1) < 0 && peers.count == 0, "too long");
    }
}

static void test_no_memory(void) {
    cam_peers peers = {0};
    add(&peers, "10.0.0.0", 8);
    failmalloc_arm(0);
    cam_ip ip = ip_of("::1");
    CHECK(cam_peers_add(&peers, &ip, 128) < 0, "without memory");
    CHECK(failmalloc_disarm(), "it was refused");
    CHECK(contains(&peers, "10.1.2.3") && !contains(&peers, "::1"), "as it was");
    cam_peers_free(&peers);
    CHECK(failmalloc_held() == 0, "%ld held", failmalloc_held());
}

int main(void) {
    failmalloc_install();
    test_addresses();
    test_what_is_no_address();
    test_single();
    test_every_length();
    test_no_memory();
    return check_result();
}
