/* SPDX-License-Identifier: MIT */
/* A header line, and what the ones that frame a message mean (RFC 9112 sections 5 and 6). */
#include "http/authority.h"
#include "http/chars.h"
#include "http/h1_private.h"
#include "http/scan.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* The slice without white space at its ends (OWS, RFC 9110 section 5.6.3: SP and HTAB alone). */
static cam_slice trim(cam_slice slice) {
    const char *start = slice.ptr;
    const char *end = start + slice.len;
    while (start < end && is_space(*start)) {
        start++;
    }
    while (start < end && is_space(end[-1])) {
        end--;
    }
    return (cam_slice){start, (size_t)(end - start)};
}

static bool equals(cam_slice slice, const char *lower, size_t len) {
    return slice.len == len && cam_char_equal(slice.ptr, lower, len);
}
#define EQUALS(slice, literal) equals(slice, literal, sizeof(literal) - 1)

/* Takes the first element off a comma-separated list, trimmed. False when none is left; a list
 * of n commas has n + 1 elements, empty ones included. */
static bool next_element(cam_slice *list, cam_slice *element) {
    if (list->ptr == NULL) {
        return false;
    }
    size_t end = 0;
    while (end < list->len && list->ptr[end] != ',') {
        end++;
    }
    *element = trim((cam_slice){list->ptr, end});
    if (end == list->len) {
        list->ptr = NULL;
    } else {
        list->ptr += end + 1;
        list->len -= end + 1;
    }
    return true;
}

/* The first of two lines of the same name is noted by `once`, any other by `again`. */
static void note(cam_h1_fields *fields, uint32_t once, uint32_t again) {
    fields->seen |= fields->seen & once ? again : once;
}

/* A registered name with at most a short port, as nearly every Host is: no need to look closer. */
static bool is_plain_host(cam_slice value) {
    size_t name = cam_char_span(value.ptr, value.len, CAM_CHAR_REGNAME);
    size_t rest = value.len - name;
    return rest == 0 || (name > 0 && rest < 6 && value.ptr[name] == ':' &&
                         cam_char_span(value.ptr + name + 1, rest - 1, CAM_CHAR_DIGIT) == rest - 1);
}

static int read_host(cam_h1_fields *fields, cam_slice value, const char *block) {
    note(fields, CAM__SEEN_HOST, CAM__SEEN_HOST_AGAIN);
    fields->host_offset = (uint32_t)(value.ptr - block);
    fields->host_len = (uint32_t)value.len;
    cam_authority authority;
    if (!is_plain_host(value) && !cam_authority_parse(&authority, value.ptr, value.len)) {
        return CAM_H1_E_HOST;
    }
    return 0;
}

/* Digits and nothing else: no sign, no list of equal numbers, which RFC 9110 section 8.6 calls
 * invalid and lets us refuse or mend; another parser on the way may do the other. */
static int read_content_length(cam_h1_fields *fields, cam_slice value) {
    note(fields, CAM__SEEN_LENGTH, CAM__SEEN_LENGTH_AGAIN);
    if (value.len == 0 || cam_char_span(value.ptr, value.len, CAM_CHAR_DIGIT) != value.len) {
        return CAM_H1_E_CONTENT_LENGTH;
    }
    int64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        int digit = value.ptr[i] - '0';
        if (length > (INT64_MAX - digit) / 10) {
            return CAM_H1_E_BODY_LENGTH;
        }
        length = length * 10 + digit;
    }
    fields->content_length = length;
    return 0;
}

/* Takes `len` bytes off the front of a slice, and the white space behind them. */
static void advance(cam_slice *text, size_t len) {
    text->ptr += len;
    text->len -= len;
    while (text->len > 0 && is_space(text->ptr[0])) {
        text->ptr++;
        text->len--;
    }
}

static size_t token_length(cam_slice text) {
    return cam_char_span(text.ptr, text.len, CAM_CHAR_TOKEN);
}

/* The length of the quoted string that text begins with (RFC 9110 section 5.6.4), 0 if none. */
static size_t quoted_length(cam_slice text) {
    if (text.len == 0 || text.ptr[0] != '"') {
        return 0;
    }
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '"') {
            return i + 1;
        }
        if (text.ptr[i] == '\\') {
            i++; /* no control character is left in a line, so any byte may be quoted */
        }
    }
    return 0;
}

/* Takes *( OWS ";" OWS token BWS "=" BWS ( token / quoted-string ) ) off the front of a list (RFC
 * 9110 section 10.1.4). How many, or -1 when one is malformed. */
static int take_parameters(cam_slice *list) {
    int count = 0;
    for (; list->len > 0 && list->ptr[0] == ';'; count++) {
        advance(list, 1);
        size_t name = token_length(*list);
        advance(list, name);
        if (name == 0 || list->len == 0 || list->ptr[0] != '=') {
            return -1;
        }
        advance(list, 1);
        size_t value = token_length(*list);
        value = value > 0 ? value : quoted_length(*list);
        if (value == 0) {
            return -1;
        }
        advance(list, value);
    }
    return count;
}

/*
 * A list of transfer codings (RFC 9112 section 6.1). Only its shape is judged here; the order of
 * the codings counts over all the lines. Empty elements are passed over, as RFC 9110 section
 * 5.6.1.2 demands of every list.
 */
static int read_transfer_encoding(cam_h1_fields *fields, cam_slice list) {
    fields->seen |= CAM__SEEN_TRANSFER;
    while (list.len > 0) {
        if (list.ptr[0] == ',') {
            advance(&list, 1);
            continue;
        }
        cam_slice coding = {list.ptr, token_length(list)};
        advance(&list, coding.len);
        int parameters = take_parameters(&list);
        if (coding.len == 0 || parameters < 0 || (list.len > 0 && list.ptr[0] != ',')) {
            return CAM_H1_E_TRANSFER_ENCODING;
        }
        if (fields->seen & CAM__SEEN_CHUNKED) {
            fields->seen |= CAM__SEEN_AFTER_CHUNKED;
        }
        if (!EQUALS(coding, "chunked")) {
            fields->seen |= CAM__SEEN_OTHER_CODING;
        } else if (parameters > 0) {
            return CAM_H1_E_TRANSFER_ENCODING; /* it has none: RFC 9112 section 7.1 */
        } else {
            fields->seen |= CAM__SEEN_CHUNKED;
        }
    }
    return 0;
}

/* Options we do not know are for somebody else (RFC 9110 section 7.6.1). */
static void read_connection(cam_h1_fields *fields, cam_slice value) {
    cam_slice option;
    while (next_element(&value, &option)) {
        if (EQUALS(option, "close")) {
            fields->seen |= CAM__SEEN_CLOSE;
        } else if (EQUALS(option, "keep-alive")) {
            fields->seen |= CAM__SEEN_KEEP_ALIVE;
        } else if (EQUALS(option, "upgrade")) {
            fields->seen |= CAM__SEEN_CONNECTION_UPGRADE;
        }
    }
}

/* Expectations but this one are passed over (RFC 9110 section 10.1.1 says 417 MAY be sent). */
static void read_expect(cam_h1_fields *fields, cam_slice value) {
    cam_slice expectation;
    while (next_element(&value, &expectation)) {
        if (EQUALS(expectation, "100-continue")) {
            fields->seen |= CAM__SEEN_EXPECT_CONTINUE;
        }
    }
}

int cam__h1_read_field(cam_h1_header *header, cam_h1_fields *fields, const char *line, size_t len,
                       const char *block) {
    if (is_space(line[0])) {
        return CAM_H1_E_FIELD_FOLDED;
    }
    size_t start = (size_t)(line - block);
    size_t name = cam_scan(block, start, start + len, cam_scan_colons) - start;
    if (name == len) {
        return CAM_H1_E_FIELD_NAME;
    }
    header->name_id = cam_h1_name_find(line, name);
    /* A name that is known is a token. */
    if (header->name_id == CAM_H1_NAME_UNKNOWN &&
        (name == 0 || cam_char_span(line, name, CAM_CHAR_TOKEN) != name)) {
        return CAM_H1_E_FIELD_NAME;
    }
    cam_slice value = trim((cam_slice){line + name + 1, len - name - 1});
    header->name = (cam_slice){line, name};
    header->value = value;
    switch (header->name_id) {
    case CAM_H1_NAME_HOST:
        return read_host(fields, value, block);
    case CAM_H1_NAME_CONTENT_LENGTH:
        return read_content_length(fields, value);
    case CAM_H1_NAME_TRANSFER_ENCODING:
        return read_transfer_encoding(fields, value);
    case CAM_H1_NAME_CONNECTION:
        read_connection(fields, value);
        return 0;
    case CAM_H1_NAME_UPGRADE:
        fields->seen |= CAM__SEEN_UPGRADE;
        return 0;
    case CAM_H1_NAME_EXPECT:
        read_expect(fields, value);
        return 0;
    default:
        return 0;
    }
}
