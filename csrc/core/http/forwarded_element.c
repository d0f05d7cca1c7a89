/* SPDX-License-Identifier: MIT */
#include "http/forwarded_element.h"

#include <stdbool.h>
#include <string.h>

#include "http/authority.h"
#include "http/chars.h"

/* ---- values ---- */

/* obfnode and obfport: "_" 1*( ALPHA / DIGIT / "." / "_" / "-" ), RFC 7239 sections 6.2, 6.3. */
static bool is_obfuscated(cam_slice text) {
    if (text.len < 2 || text.ptr[0] != '_') {
        return false;
    }
    for (size_t i = 1; i < text.len; i++) {
        char c = text.ptr[i];
        char letter = (char)(c | 0x20);
        if (!cam_char_is(c, CAM_CHAR_DIGIT) && (letter < 'a' || letter > 'z') && c != '.' &&
            c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

/* node-port: what follows the colon. */
static bool read_port(cam_slice text, uint32_t *port) {
    enum { MOST_DIGITS = 5, MOST = 65535 };
    if (is_obfuscated(text)) {
        return true;
    }
    if (text.len == 0 || text.len > MOST_DIGITS ||
        cam_char_span(text.ptr, text.len, CAM_CHAR_DIGIT) != text.len) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        *port = *port * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return *port <= MOST;
}

/* node: nodename [ ":" node-port ], section 6. */
static bool read_node(cam_slice text, cam_forwarded_element *element) {
    static const char unknown[] = "unknown";
    char end = text.len > 0 && text.ptr[0] == '[' ? ']' : ':';
    const char *found = text.len > 0 ? memchr(text.ptr, end, text.len) : NULL;
    size_t len = found != NULL ? (size_t)(found - text.ptr) : text.len;
    size_t rest = len;
    cam_slice name = {text.ptr, len};
    if (end == ']') {
        name.ptr++;
        name.len--;
        if (found == NULL || !cam_authority_is_ipv6(name.ptr, name.len)) {
            return false;
        }
        rest++;
    } else if (!cam_authority_is_ipv4(name.ptr, name.len) && !is_obfuscated(name) &&
               (name.len != sizeof unknown - 1 || !cam_char_equal(name.ptr, unknown, name.len))) {
        return false;
    }
    element->node = name;
    if (rest == text.len) {
        return true;
    }
    return text.ptr[rest] == ':' &&
           read_port((cam_slice){text.ptr + rest + 1, text.len - rest - 1}, &element->port);
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), RFC 3986 section 3.1. */
static bool is_scheme(cam_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        char letter = (char)(c | 0x20);
        bool inside = cam_char_is(c, CAM_CHAR_DIGIT) || c == '+' || c == '-' || c == '.';
        if ((letter < 'a' || letter > 'z') && (i == 0 || !inside)) {
            return false;
        }
    }
    return text.len > 0;
}

/* ---- pairs ---- */

static void skip(cam_slice *text, size_t len) {
    text->ptr += len;
    text->len -= len;
}

static void skip_space(cam_slice *text) {
    while (text->len > 0 && (*text->ptr == ' ' || *text->ptr == '\t')) {
        skip(text, 1);
    }
}

static bool take(cam_slice *text, char c) {
    if (text->len == 0 || *text->ptr != c) {
        return false;
    }
    skip(text, 1);
    return true;
}

static bool take_token(cam_slice *text, cam_slice *token) {
    *token = (cam_slice){text->ptr, cam_char_span(text->ptr, text->len, CAM_CHAR_TOKEN)};
    skip(text, token->len);
    return token->len > 0;
}

/* quoted-string (RFC 9110 section 5.6.4), its first quote taken already; *escaped says whether it
 * has quoted pairs, which stay as they are. */
static bool take_quoted(cam_slice *text, cam_slice *content, bool *escaped) {
    content->ptr = text->ptr;
    for (;;) {
        skip(text, cam_char_span(text->ptr, text->len, CAM_CHAR_QUOTED));
        if (take(text, '\\')) {
            *escaped = true;
            if (text->len == 0 || !cam_char_is(*text->ptr, CAM_CHAR_FIELD)) {
                return false;
            }
            skip(text, 1);
        } else {
            content->len = (size_t)(text->ptr - content->ptr);
            return take(text, '"');
        }
    }
}

/* The content with its quoted pairs replaced, in the room; false when that is too small. */
static bool unescape(cam_slice *content, char *room) {
    size_t len = 0;
    for (size_t i = 0; i < content->len; i++) {
        i += content->ptr[i] == '\\';
        if (len == CAM_FORWARDED_ROOM) {
            return false;
        }
        room[len++] = content->ptr[i];
    }
    *content = (cam_slice){room, len};
    return true;
}

enum { FOR, PROTO, BY, HOST, KNOWN };

/* Which of those it is, in any case. */
static unsigned which(cam_slice name) {
    static const char *const names[KNOWN] = {"for", "proto", "by", "host"};
    unsigned i = 0;
    while (i < KNOWN &&
           (strlen(names[i]) != name.len || !cam_char_equal(name.ptr, names[i], name.len))) {
        i++;
    }
    return i;
}

/* forwarded-pair = token "=" value, section 4. *seen has a bit for each that came before. */
static bool take_pair(cam_slice *rest, cam_forwarded_element *element, unsigned *seen) {
    cam_slice name;
    cam_slice value;
    bool escaped = false;
    if (!take_token(rest, &name) || !take(rest, '=') ||
        !(take(rest, '"') ? take_quoted(rest, &value, &escaped) : take_token(rest, &value))) {
        return false;
    }
    unsigned known = which(name);
    if (known < KNOWN && *seen & 1U << known) {
        return false;
    }
    *seen |= 1U << known;
    if (known > PROTO) {
        return true;
    }
    if (escaped && !unescape(&value, element->room[known])) {
        return false;
    }
    if (known == FOR) {
        return read_node(value, element);
    }
    element->scheme = value;
    return is_scheme(value);
}

int cam_forwarded_next(cam_slice *rest, cam_forwarded_element *element) {
    element->node = element->scheme = (cam_slice){"", 0};
    element->port = 0;
    unsigned seen = 0;
    for (;;) {
        skip_space(rest);
        /* Pairs and elements may be left out: section 4, RFC 9110 section 5.6.1. */
        if (rest->len > 0 && *rest->ptr != ';' && *rest->ptr != ',' &&
            !take_pair(rest, element, &seen)) {
            return CAM_FORWARDED_MALFORMED;
        }
        skip_space(rest);
        if (take(rest, ';')) {
            continue;
        }
        bool more = take(rest, ',');
        if (!more && rest->len > 0) {
            return CAM_FORWARDED_MALFORMED;
        }
        if (seen != 0) {
            return CAM_FORWARDED_ELEMENT;
        }
        if (!more) {
            return CAM_FORWARDED_END;
        }
    }
}
