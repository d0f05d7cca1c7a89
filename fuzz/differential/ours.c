/* SPDX-License-Identifier: MIT */
/* Our parser as a shared library for ctypes: bytes of a connection in, http1_wire.h's text out. */
#include "http1_wire.h"

/* Reads the bytes as one connection; the text is good until the next call. */
__attribute__((visibility("default"))) const char *differential_read(const char *bytes, size_t len,
                                                                     size_t *text_len) {
    static wire self;
    wire_free(&self);
    wire_init(&self);
    wire_feed(&self, bytes, len);
    wire_finish(&self);
    *text_len = self.out.len;
    return self.out.ptr;
}
