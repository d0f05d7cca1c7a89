/* SPDX-License-Identifier: MIT */
/*
 * The cases of tests/cases/http1 against the core: whole, byte by byte, and cut in two at every
 * place, always with the same events (http1_wire.h), and those that the file says.
 *
 * The format of the files is told in tests/cases/http1/README.md. What a case does not say of a
 * request, its header lines, path, query and host, is what a plain reading of its bytes gives:
 * lines cut at CRLF, names at the first colon, nothing else understood.
 */
#include <dirent.h>

#include "check.h"
#include "http1_wire.h"

/* Inputs longer than this are cut at some places only: the time is quadratic in the length. */
#define LONG_INPUT 3000

typedef struct http1_case {
    char place[320]; /* FILE:LINE of its first line of bytes */
    wire_text input;
    wire_text expected;
    size_t at; /* where the next expected request begins in the input */
    size_t body_at;
    bool within; /* a request's lines have been read, but not its end */
    bool chunked;
    bool closes;
    size_t length;
    wire_text body;
    bool has_body_line;
    bool has_header_lines;
    bool has_limits;
    wire_text first_line;
    wire_text headers;
    cam_h1_limits limits;
    cam_chunked_limits chunked_limits;
} http1_case;

static unsigned long case_count;
static unsigned long section_missing;

static void die(const char *place, const char *problem) {
    fprintf(stderr, "%s: %s\n", place, problem);
    exit(1);
}

static int hex_digit(const char *place, char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    die(place, "\\x is followed by two hexadecimal digits in lower case");
    return 0;
}

/* Adds what an escaped text stands for. */
static void add_escaped(const char *place, wire_text *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\\') {
            wire_add(out, text + i, 1);
            continue;
        }
        if (++i == len) {
            die(place, "a backslash ends the line");
        }
        char c = text[i];
        const char *plain = "r\rn\nt\t0\0\\\\s ";
        bool found = false;
        for (size_t j = 0; j < 12 && !found; j += 2) {
            if (c == plain[j]) {
                wire_add(out, plain + j + 1, 1);
                found = true;
            }
        }
        if (found) {
            continue;
        }
        if (c == 'x' && i + 2 < len + 0) {
            char byte = (char)(hex_digit(place, text[i + 1]) << 4 | hex_digit(place, text[i + 2]));
            wire_add(out, &byte, 1);
            i += 2;
        } else if (c == '*') { /* \*COUNT(TEXT) */
            char *after;
            unsigned long count = strtoul(text + i + 1, &after, 10);
            const char *close =
                *after == '(' ? memchr(after, ')', len - (size_t)(after - text)) : NULL;
            if (close == NULL) {
                die(place, "\\* is followed by a number and a text in parentheses");
                return;
            }
            while (count-- > 0) {
                add_escaped(place, out, after + 1, (size_t)(close - after) - 1);
            }
            i = (size_t)(close - text);
        } else {
            die(place, "an unknown escape");
        }
    }
}

/* ---- a plain reading ---- */

static const char *find(const char *text, size_t len, const char *what) {
    return memmem(text, len, what, strlen(what));
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Skips empty lines, then adds the header lines of the head at case->at; the place behind it. */
static size_t read_head(http1_case *this, cam_slice *host) {
    const char *bytes = this->input.ptr;
    size_t len = this->input.len;
    while (len - this->at > 2 && memcmp(bytes + this->at, "\r\n", 2) == 0) {
        this->at += 2;
    }
    const char *end = find(bytes + this->at, len - this->at, "\r\n\r\n");
    if (end == NULL) {
        die(this->place, "a request is expected where there is no whole head");
        return 0;
    }
    const char *line = find(bytes + this->at, len - this->at, "\r\n") + 2;
    while (line < end + 2) {
        const char *next = find(line, (size_t)(end + 2 - line), "\r\n");
        const char *colon = memchr(line, ':', (size_t)(next - line));
        if (colon == NULL) {
            die(this->place, "a request is expected where a line has no colon");
            return 0;
        }
        const char *value = colon + 1;
        const char *value_end = next;
        while (value < value_end && is_blank(*value)) {
            value++;
        }
        while (value < value_end && is_blank(value_end[-1])) {
            value_end--;
        }
        wire_print(&this->headers, " ");
        wire_add(&this->headers, line, (size_t)(colon - line));
        wire_print(&this->headers, ": ");
        wire_add(&this->headers, value, (size_t)(value_end - value));
        wire_print(&this->headers, "\n");
        if (colon - line == 4 && strncasecmp(line, "host", 4) == 0) {
            *host = (cam_slice){value, (size_t)(value_end - value)};
        }
        line = next + 2;
    }
    return (size_t)(end + 4 - bytes);
}

/* The place behind a chunked body that is well formed, or the end of the input. */
static size_t skip_chunked(const http1_case *this, size_t at) {
    const char *bytes = this->input.ptr;
    size_t len = this->input.len;
    for (;;) {
        size_t size = at < len ? (size_t)strtoull(bytes + at, NULL, 16) : 0;
        const char *line_end = at < len ? find(bytes + at, len - at, "\r\n") : NULL;
        if (line_end == NULL) {
            return len;
        }
        at = (size_t)(line_end + 2 - bytes);
        if (size == 0) {
            break;
        }
        at += size + 2;
    }
    for (;;) { /* trailer lines, and the empty one */
        const char *line_end = at < len ? find(bytes + at, len - at, "\r\n") : NULL;
        if (line_end == NULL) {
            return len;
        }
        size_t line = at;
        at = (size_t)(line_end + 2 - bytes);
        if (line_end == bytes + line) {
            return at;
        }
    }
}

/* ---- what is expected ---- */

/* Writes the request that is being read to the expected events; `whole` if its body ends. */
static void end_request(http1_case *this, bool whole) {
    if (!this->within) {
        return;
    }
    wire_add(&this->expected, this->first_line.ptr, this->first_line.len);
    wire_add(&this->expected, this->headers.ptr, this->headers.len);
    bool announced = this->chunked || this->length > 0;
    if (announced && (whole || this->body.len > 0)) {
        wire_print(&this->expected, "body %zu:", this->body.len);
        wire_add(&this->expected, this->body.ptr, this->body.len);
        wire_print(&this->expected, "\n");
    } else if (!announced && this->has_body_line) {
        die(this->place, "a body is expected of a request that has none");
    }
    if (whole) {
        wire_print(&this->expected, "end\n%s", this->closes ? "closed\n" : "");
        this->at = this->chunked ? skip_chunked(this, this->body_at) : this->body_at + this->length;
    }
    this->within = false;
}

static void add_slice(wire_text *out, const char *title, cam_slice value) {
    wire_print(out, " %s", title);
    wire_add(out, value.ptr, value.len);
}

/* "METHOD TARGET HTTP/1.m keep-alive|close [ATTRIBUTE...]" */
static void begin_request(http1_case *this, char *line) {
    end_request(this, true);
    char *words[16];
    size_t count = 0;
    for (char *word = strtok(line, " "); word != NULL && count < 16; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    if (count < 4) {
        die(this->place, "< METHOD TARGET HTTP/1.1 keep-alive|close");
        return;
    }
    wire_text target = {0};
    add_escaped(this->place, &target, words[1], strlen(words[1]));
    this->within = true;
    this->headers.len = this->body.len = this->first_line.len = 0;
    this->has_body_line = this->has_header_lines = this->chunked = false;
    this->length = 0;
    this->closes = strcmp(words[3], "close") == 0;
    if (!this->closes && strcmp(words[3], "keep-alive") != 0) {
        die(this->place, "a connection is keep-alive or close");
    }
    cam_slice host = {NULL, 0};
    this->body_at = read_head(this, &host);
    const char *mark = memchr(target.ptr, '?', target.len);
    cam_slice path = {target.ptr, mark ? (size_t)(mark - target.ptr) : target.len};
    cam_slice query = {"", 0};
    if (mark != NULL) {
        query = (cam_slice){mark + 1, target.len - path.len - 1};
    }
    const char *framing = "none";
    const char *flags[2] = {"", ""};
    for (size_t i = 4; i < count; i++) {
        if (strncmp(words[i], "path=", 5) == 0) {
            path = (cam_slice){words[i] + 5, strlen(words[i] + 5)};
        } else if (strncmp(words[i], "query=", 6) == 0) {
            query = (cam_slice){words[i] + 6, strlen(words[i] + 6)};
        } else if (strncmp(words[i], "host=", 5) == 0) {
            host = (cam_slice){words[i] + 5, strlen(words[i] + 5)};
        } else if (strncmp(words[i], "length=", 7) == 0) {
            framing = words[i];
            this->length = strtoull(words[i] + 7, NULL, 10);
        } else if (strcmp(words[i], "chunked") == 0) {
            framing = words[i];
            this->chunked = true;
        } else if (strcmp(words[i], "expect") == 0) {
            flags[0] = " expect";
        } else if (strcmp(words[i], "upgrade") == 0) {
            flags[1] = " upgrade";
        } else {
            die(this->place, "an unknown attribute of a request");
        }
    }
    wire_text *out = &this->first_line;
    wire_print(out, "request %s", words[0]);
    add_slice(out, "", (cam_slice){target.ptr, target.len});
    wire_print(out, " %s", words[2]);
    add_slice(out, "path=", path);
    add_slice(out, "query=", query);
    add_slice(out, "host=", host);
    wire_print(out, " %s %s%s%s\n", words[3], framing, flags[0], flags[1]);
    free(target.ptr);
}

/* "% NAME=NUMBER..." */
static void set_limits(http1_case *this, char *line) {
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        if (equals == NULL) {
            die(this->place, "a limit is NAME=NUMBER");
            return;
        }
        *equals = '\0';
        unsigned long value = strtoul(equals + 1, NULL, 10);
        if (strcmp(word, "request-line") == 0) {
            this->limits.max_request_line = value;
        } else if (strcmp(word, "header-line") == 0) {
            this->limits.max_header_line = value;
        } else if (strcmp(word, "headers") == 0) {
            this->limits.max_headers = value;
        } else if (strcmp(word, "head") == 0) {
            this->limits.max_head_bytes = value;
        } else if (strcmp(word, "extensions") == 0) {
            this->chunked_limits.max_extension_bytes = (uint32_t)value;
        } else if (strcmp(word, "trailers") == 0) {
            this->chunked_limits.max_trailer_bytes = (uint32_t)value;
        } else {
            die(this->place, "an unknown limit");
        }
    }
}

/* ---- the replay ---- */

static void start(wire *self, const http1_case *this) {
    wire_init(self);
    self->limits = this->limits;
    self->chunked_limits = this->chunked_limits;
}

static void finish(wire *self, const http1_case *this, const char *how, size_t cut) {
    wire_finish(self);
    bool same =
        self->out.len == this->expected.len &&
        (self->out.len == 0 || memcmp(self->out.ptr, this->expected.ptr, self->out.len) == 0);
    CHECK(same, "%s, %s %zu, gave\n%.*sfor\n%.*s", this->place, how, cut,
          (int)(self->out.len < 2000 ? self->out.len : 2000), self->out.len ? self->out.ptr : "",
          (int)(this->expected.len < 2000 ? this->expected.len : 2000),
          this->expected.len ? this->expected.ptr : "");
    wire_free(self);
}

static void replay(const http1_case *this) {
    /* The header blocks of one case are the memo of the next, which must not change its events. */
    static wire_memo memo;
    const char *bytes = this->input.ptr;
    size_t len = this->input.len;
    wire self;
    start(&self, this);
    wire_feed(&self, bytes, len);
    finish(&self, this, "whole", 0);

    start(&self, this);
    self.by_decode = true;
    self.memo = this->has_limits ? NULL : &memo; /* a memo is for the limits it was made under */
    wire_feed(&self, bytes, len);
    finish(&self, this, "by memo", 0);

    size_t piece = len > LONG_INPUT ? 211 : 1;
    start(&self, this);
    for (size_t at = 0; at < len; at += piece) {
        wire_feed(&self, bytes + at, len - at < piece ? len - at : piece);
    }
    finish(&self, this, "in pieces of", piece);

    for (size_t cut = 1; cut<len; cut += len> LONG_INPUT ? len / 50 : 1) {
        start(&self, this);
        wire_feed(&self, bytes, cut);
        wire_feed(&self, bytes + cut, len - cut);
        finish(&self, this, "cut at", cut);
    }
}

static void end_case(http1_case *this) {
    if (this->input.len > 0) {
        end_request(this, true);
        replay(this);
        case_count++;
    }
    free(this->input.ptr);
    free(this->expected.ptr);
    free(this->body.ptr);
    free(this->first_line.ptr);
    free(this->headers.ptr);
    *this =
        (http1_case){.limits = cam_h1_default_limits, .chunked_limits = cam_chunked_default_limits};
}

/* One line of a file that belongs to a case. */
static void take_line(http1_case *this, char *line, size_t len) {
    char *text = line + (len >= 2 ? 2 : len);
    size_t text_len = len >= 2 ? len - 2 : 0;
    bool after = strstr(text, " after") != NULL || strcmp(text, "after") == 0;
    if (len < 1 || (len > 1 && line[1] != ' ')) {
        die(this->place, "a line begins with a mark and a space");
    }
    switch (line[0]) {
    case '>':
        add_escaped(this->place, &this->input, text, text_len);
        break;
    case '%':
        this->has_limits = true;
        set_limits(this, text);
        break;
    case '<':
        begin_request(this, text);
        break;
    case ':':
        if (!this->has_header_lines) {
            this->headers.len = 0;
            this->has_header_lines = true;
        }
        wire_print(&this->headers, " ");
        add_escaped(this->place, &this->headers, text, text_len);
        wire_print(&this->headers, "\n");
        break;
    case '+':
        this->has_body_line = true;
        add_escaped(this->place, &this->body, text, text_len);
        break;
    case '~':
    case '!': {
        bool partial = this->within && (this->chunked || this->length > 0) && !after;
        bool no_data = this->body.len == 0;
        end_request(this, !partial);
        if (line[0] == '~') {
            wire_print(&this->expected, "%smore\n", partial && no_data ? "body 0:\n" : "");
        } else {
            size_t words = after ? (size_t)(strstr(text, " after") - text) : text_len;
            wire_print(&this->expected, "error %.*s\n", (int)words, text);
        }
        break;
    }
    default:
        die(this->place, "an unknown mark");
    }
}

static void read_file(const char *directory, const char *name) {
    char path[4096];
    int path_len = snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (path_len < 0 || (size_t)path_len >= sizeof(path)) {
        abort();
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    unsigned number = 0;
    bool has_section = false;
    http1_case this = {.limits = cam_h1_default_limits,
                       .chunked_limits = cam_chunked_default_limits};
    while ((len = getline(&line, &room, file)) >= 0) {
        number++;
        if (len > 0 && line[len - 1] == '\n') {
            line[--len] = '\0';
        }
        if (this.input.len == 0) {
            snprintf(this.place, sizeof(this.place), "%.200s:%u", name, number);
        }
        if (len == 0) {
            end_case(&this);
        } else if (line[0] == '@') { /* "@ RFC SECTION | why" */
            end_case(&this);
            has_section = strchr(line, '|') != NULL;
        } else if (line[0] != '#') {
            section_missing += !has_section;
            take_line(&this, line, (size_t)len);
        }
    }
    end_case(&this);
    free(line);
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    DIR *directory = opendir(argv[1]);
    if (directory == NULL) {
        perror(argv[1]);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".txt") == 0) {
            read_file(argv[1], entry->d_name);
        }
    }
    closedir(directory);
    CHECK(case_count >= 600, "%lu cases", case_count);
    CHECK(section_missing == 0, "%lu lines without a section", section_missing);
    printf("%lu cases\n", case_count);
    return check_result();
}
