/* SPDX-License-Identifier: MIT */
/*
 * What can be wrong with what a WebSocket peer sends: one negative code for each reason.
 *
 * Shared by the frame decoder (frame.h), the close payload (close.h) and whoever inflates and joins
 * messages. After any of them the connection is failed (RFC 6455 section 7.1.7): a close frame with
 * the code and the text of the reason, then the end. What is wrong with the handshake has codes of
 * its own (handshake.h), since it is answered with an HTTP status.
 */
#ifndef CAM_WS_ERROR_H
#define CAM_WS_ERROR_H

/* X(name, close code, text): the order gives the codes, -1 downwards. A text is the reason of a
 * close frame as well, so it has at most 123 bytes. */
#define CAM_WS_ERRORS(X)                                                                           \
    X(RSV, 1002, "a reserved bit is set without an extension that gives it a meaning")             \
    X(OPCODE, 1002, "the opcode is a reserved one")                                                \
    X(CONTROL_FRAGMENTED, 1002, "a control frame is fragmented")                                   \
    X(CONTROL_LENGTH, 1002, "a control frame is longer than 125 bytes")                            \
    X(CONTINUATION, 1002, "a continuation frame has no message to continue")                       \
    X(INTERRUPTED, 1002, "a new message begins within a fragmented one")                           \
    X(NOT_MASKED, 1002, "a frame from a client is not masked")                                     \
    X(MASKED, 1002, "a frame from a server is masked")                                             \
    X(LENGTH_RANGE, 1002, "the length of a frame has its highest bit set")                         \
    X(LENGTH_FORM, 1002, "the length of a frame does not have its shortest form")                  \
    X(MESSAGE_LENGTH, 1009, "the message is too long")                                             \
    X(UTF8, 1007, "the text is not UTF-8")                                                         \
    X(INFLATE, 1007, "the compressed data cannot be inflated")                                     \
    X(CLOSE_LENGTH, 1002, "the payload of a close frame has one byte")                             \
    X(CLOSE_CODE, 1002, "the code of a close frame is not one that may be sent")                   \
    X(CLOSE_REASON, 1007, "the reason of a close frame is not UTF-8")

enum {
#define CAM_WS_ORDINAL(name, code, text) CAM_WS_ORDINAL_##name,
    CAM_WS_ERRORS(CAM_WS_ORDINAL)
#undef CAM_WS_ORDINAL
        CAM_WS_ERROR_COUNT
};

/* CAM_WS_E_RSV == -1, CAM_WS_E_OPCODE == -2 and so on. */
typedef enum cam_ws_error {
#define CAM_WS_CODE(name, code, text) CAM_WS_E_##name = -1 - CAM_WS_ORDINAL_##name,
    CAM_WS_ERRORS(CAM_WS_CODE)
#undef CAM_WS_CODE
} cam_ws_error;

/* The code to close with: 1002, 1007 or 1009 (1002 for any unknown error). */
int cam_ws_error_code(int error);

/* One line of English without a full stop; a constant. */
const char *cam_ws_error_text(int error);

#endif
