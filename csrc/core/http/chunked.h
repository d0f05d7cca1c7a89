/* SPDX-License-Identifier: MIT */
/*
 * A body in the chunked transfer coding (RFC 9112 section 7.1), decoded as it arrives.
 *
 * Incremental and in place: the data it hands out are slices of the caller's buffer. A decoder
 * is a few numbers, allocates nothing, runs no user code, and its outcome for given bytes does
 * not depend on how they were split over calls. Chunk extensions and trailer fields are checked
 * by their grammar, bounded, and dropped, which a recipient may always do: nothing that follows a
 * body may change what its head said (RFC 9110 section 6.5.1), and what frames or routes a request
 * is refused there.
 */
#ifndef CAM_HTTP_CHUNKED_H
#define CAM_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/h1_error.h"

/* What cam_chunked_decode found; an error is a negative CAM_H1_E_*. */
enum {
    CAM_CHUNKED_MORE = 0, /* all the bytes are used up and the body is not at its end */
    CAM_CHUNKED_DATA = 1, /* some data; call again with the bytes after *consumed */
    CAM_CHUNKED_DONE = 2, /* the body is complete; what follows *consumed is not of it */
    /* Only with CAM_CHUNKED_STEPS, or CAM_CHUNKED_TRAILERS for the size of the last chunk: */
    CAM_CHUNKED_SIZE = 3, /* the line with a chunk's size is complete; `remaining` is the size */
    CAM_CHUNKED_END = 4,  /* a chunk's data and the line end behind them are complete */
};

/*
 * Options of a decoder, all off by default. The lenient ones take what the grammar forbids, so that
 * two parsers on the way of a request may disagree where it ends: for clients that are known and
 * cannot be mended.
 */
enum {
    /* Tells each chunk apart, by CAM_CHUNKED_SIZE and CAM_CHUNKED_END. */
    CAM_CHUNKED_STEPS = 1 << 0,
    /* Leaves the trailer section to the caller: after a CAM_CHUNKED_SIZE with `remaining` 0 the
     * decoder is of no more use. */
    CAM_CHUNKED_TRAILERS = 1 << 1,
    CAM_CHUNKED_LENIENT_CR = 1 << 2,       /* LF for CRLF (RFC 9112 section 2.2) */
    CAM_CHUNKED_LENIENT_LF = 1 << 3,       /* CR for CRLF (section 2.2) */
    CAM_CHUNKED_LENIENT_DATA_END = 1 << 4, /* no CRLF behind a chunk's data (section 7.1) */
    CAM_CHUNKED_LENIENT_SIZE_END = 1 << 5, /* white space behind a chunk's size (section 7.1) */
};

/* Bounds for one body, in bytes; what passes them is answered with a 4xx as RFC 9112 section 7.1.1
 * asks: 400 for extensions, 431 for trailers, which are header lines to RFC 6585 section 5. */
typedef struct cam_chunked_limits {
    uint32_t max_extension_bytes; /* all chunk extensions together, and idle zeros before sizes */
    uint32_t max_trailer_bytes;   /* the trailer section, line ends included */
} cam_chunked_limits;

/* 4 KiB of extensions, 8 KiB of trailers. */
extern const cam_chunked_limits cam_chunked_default_limits;

typedef struct cam_chunked {
    uint64_t remaining; /* bytes of the present chunk, being read or still to come */
    uint32_t extension_room;
    uint32_t trailer_room;
    int16_t error; /* once wrong, always wrong */
    uint8_t state;
    uint8_t digits;   /* of the chunk size, so far, up to those that are free */
    uint8_t name;     /* which forbidden trailer the present one may be, */
    uint8_t name_len; /* and how much of its name is there */
    uint8_t options;  /* CAM_CHUNKED_STEPS and so on; set by the caller after cam_chunked_init */
} cam_chunked;

/* Makes a decoder ready for a new body. limits may be NULL for the default. */
void cam_chunked_init(cam_chunked *decoder, const cam_chunked_limits *limits);

/*
 * Takes the next bytes of the body.
 *
 * *consumed becomes the number of bytes used up; *data is set for CAM_CHUNKED_DATA (never empty)
 * and empty otherwise. A chunk that is not all there is handed out as far as it goes. After
 * CAM_CHUNKED_DONE or an error every further call returns the same and consumes nothing.
 */
int cam_chunked_decode(cam_chunked *decoder, const char *buf, size_t len, size_t *consumed,
                       cam_slice *data);

/*
 * The same for a whole buffer at once: moves all data in buf[0 .. len) together at its start, so
 * that a body of many tiny chunks costs one piece for each read and not one for each chunk.
 *
 * *consumed as above, *written the bytes of data now at buf. Returns CAM_CHUNKED_MORE,
 * CAM_CHUNKED_DONE or an error, and data may have been written with each of them. Bytes from
 * *written to *consumed are left in an unspecified state, those after *consumed untouched.
 */
int cam_chunked_gather(cam_chunked *decoder, char *buf, size_t len, size_t *consumed,
                       size_t *written);

#endif
