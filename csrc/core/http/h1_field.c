/* SPDX-License-Identifier: MIT */
/* A header line, and what the ones that frame a message mean (RFC 9112 sections 5 and 6). */
#include "http/authority.h"
#include "http/chars.h"
#include "http/h1_private.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* The slice without white space at its ends (OWS, RFC 9110 section 5.6.3: SP and HTAB alone). */
static cam_slice trim(cam_slice slice) {
    while (slice.len > 0 && is_space(slice.ptr[0])) {
        slice.ptr++;
        slice.len--;
    }
    while (slice.len > 0 && is_space(slice.ptr[slice.len - 1])) {
        slice.len--;
    }
    return slice;
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

static int read_host(cam_h1_fields *fields, cam_slice value, const char *block) {
    note(fields, CAM__SEEN_HOST, CAM__SEEN_HOST_AGAIN);
    fields->host_offset = (uint32_t)(value.ptr - block);
    fields->host_len = (uint32_t)value.len;
    cam_authority authority;
    if (value.len > 0 && !cam_authority_parse(&authority, value.ptr, value.len)) {
        return CAM_H1_E_HOST;
    }
    return 0;
}

/* Digits and nothing else: no sign, no list of equal numbers, which section 6.3 of RFC 9112
 * would let us merge and another parser may not. */
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

/* Only the shape of the list is judged here; the order of codings counts over all the lines. */
static int read_transfer_encoding(cam_h1_fields *fields, cam_slice value) {
    fields->seen |= CAM__SEEN_TRANSFER;
    cam_slice coding;
    while (next_element(&value, &coding)) {
        /* "chunked" has no parameters, and no coding with some is known to us either. */
        if (coding.len == 0 ||
            cam_char_span(coding.ptr, coding.len, CAM_CHAR_TOKEN) != coding.len) {
            return CAM_H1_E_TRANSFER_ENCODING;
        }
        if (fields->seen & CAM__SEEN_CHUNKED) {
            fields->seen |= CAM__SEEN_AFTER_CHUNKED;
        }
        fields->seen |= EQUALS(coding, "chunked") ? CAM__SEEN_CHUNKED : CAM__SEEN_OTHER_CODING;
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

int cam__h1_read_field(cam_h1_header *header, cam_h1_fields *fields, const char *line, size_t len,
                       const char *block) {
    if (is_space(line[0])) {
        return CAM_H1_E_FIELD_FOLDED;
    }
    size_t name = cam_char_span(line, len, CAM_CHAR_TOKEN);
    if (name == 0 || name == len || line[name] != ':') {
        return CAM_H1_E_FIELD_NAME;
    }
    cam_slice value = trim((cam_slice){line + name + 1, len - name - 1});
    header->name = (cam_slice){line, name};
    header->value = value;
    header->name_id = cam_h1_name_find(line, name);
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
        if (EQUALS(value, "100-continue")) {
            fields->seen |= CAM__SEEN_EXPECT_CONTINUE;
        }
        return 0;
    default:
        return 0;
    }
}
