/* SPDX-License-Identifier: MIT */
/*
 * What can be wrong with an HTTP/1.1 request: one negative code for each reason.
 *
 * Shared by the head parser (h1.h) and the chunked decoder (chunked.h). After any of them the
 * place where the next request begins is unknown, so the connection must be closed once the
 * answer is written (RFC 9112 section 6.3).
 */
#ifndef CAM_HTTP_H1_ERROR_H
#define CAM_HTTP_H1_ERROR_H

/* X(name, status, text): the order gives the codes, -1 downwards. */
#define CAM_H1_ERRORS(X)                                                                           \
    X(BARE_CR, 400, "a carriage return is not followed by a line feed")                            \
    X(BARE_LF, 400, "a line ends in a line feed without a carriage return")                        \
    X(CONTROL, 400, "the head holds a control character")                                          \
    X(EMPTY_LINES, 400, "too many empty lines before the request line")                            \
    X(REQUEST_LINE, 400, "the request line is not 'method target HTTP/1.1'")                       \
    X(METHOD, 400, "the method is not a token")                                                    \
    X(TARGET, 400, "the request target is malformed, or not one this method may have")             \
    X(VERSION, 400, "the HTTP version is malformed")                                               \
    X(VERSION_UNSUPPORTED, 505, "the major HTTP version is not 1")                                 \
    X(METHOD_LENGTH, 501, "the method is longer than any")                                         \
    X(TARGET_LENGTH, 414, "the request line is too long")                                          \
    X(FIELD_LENGTH, 431, "a header line is too long")                                              \
    X(FIELD_COUNT, 431, "there are too many header lines")                                         \
    X(HEAD_LENGTH, 431, "the head of the request is too long")                                     \
    X(FIELD_FOLDED, 400, "a header line begins with white space (line folding is obsolete)")       \
    X(FIELD_NAME, 400, "a header line is not a token followed at once by a colon")                 \
    X(HOST_MISSING, 400, "an HTTP/1.1 request has no Host header")                                 \
    X(HOST_REPEATED, 400, "there is more than one Host header")                                    \
    X(HOST, 400, "the Host header is not a host with an optional port")                            \
    X(CONTENT_LENGTH, 400, "Content-Length is not one run of digits")                              \
    X(CONTENT_LENGTH_REPEATED, 400, "there is more than one Content-Length header")                \
    X(BODY_LENGTH, 413, "the body is too long")                                                    \
    X(TRANSFER_ENCODING, 400,                                                                      \
      "Transfer-Encoding is malformed, or does not end in 'chunked', once")                        \
    X(TRANSFER_CODING, 501, "only the transfer coding 'chunked' is supported")                     \
    X(TRANSFER_AND_LENGTH, 400, "both Transfer-Encoding and Content-Length are given")             \
    X(TRANSFER_VERSION, 400, "Transfer-Encoding is not part of HTTP/1.0")                          \
    X(CHUNK_SIZE, 400, "a chunk size is not a run of hexadecimal digits")                          \
    X(CHUNK_EXTENSION, 400, "a chunk extension is malformed")                                      \
    X(CHUNK_EXTENSION_LENGTH, 400, "chunk extensions, or zeros before chunk sizes, are too long")  \
    X(CHUNK_LINE, 400, "a chunk size does not end in a carriage return and a line feed")           \
    X(CHUNK_DATA, 400, "the data of a chunk do not end where its size says")                       \
    X(TRAILER, 400, "the trailer section is malformed")                                            \
    X(TRAILER_FIELD, 400, "the trailer section holds a field that frames or routes a request")     \
    X(TRAILER_LENGTH, 431, "the trailer section is too long")                                      \
    X(METHOD_UNKNOWN, 501, "the method is not a known one")                                        \
    X(STATUS_LINE, 400, "the status line does not begin with 'HTTP/'")                             \
    X(STATUS, 400, "the status is not three digits, from 100 on, and a space")                     \
    X(AFTER_CLOSE, 400, "there are data after the last message of the connection")

enum {
#define CAM_H1_ORDINAL(name, status, text) CAM_H1_ORDINAL_##name,
    CAM_H1_ERRORS(CAM_H1_ORDINAL)
#undef CAM_H1_ORDINAL
        CAM_H1_ERROR_COUNT
};

/* CAM_H1_E_BARE_CR == -1, CAM_H1_E_BARE_LF == -2 and so on. */
typedef enum cam_h1_error {
#define CAM_H1_CODE(name, status, text) CAM_H1_E_##name = -1 - CAM_H1_ORDINAL_##name,
    CAM_H1_ERRORS(CAM_H1_CODE)
#undef CAM_H1_CODE
} cam_h1_error;

/* The status to answer with: 400, 413, 414, 431, 501 or 505 (400 for any unknown code). */
int cam_h1_error_status(int error);

/* One line of English without a full stop; a constant. */
const char *cam_h1_error_text(int error);

#endif
