/* SPDX-License-Identifier: MIT */
#include "asgi/timing.h"

#include "compat.h"
#include "asgi/cycle.h"
#include "asgi/send.h"
#include "asgi/websocket.h"

static const int64_t SECOND = 1000000000;

/* How long a peer that we have nothing more to say to may be silent, and how long it may go on
 * sending, before the connection is dropped. */
static const int64_t LINGER_SILENCE = 2 * SECOND;
static const int64_t LINGER_LIMIT = 30 * SECOND;

/* How long a connection is idle before it sheds what it keeps for the next request. */
static const int64_t SHED_AFTER = 1 * SECOND;

/* How long the loop has to read what has arrived on a connection that is about to be closed. */
static const int64_t UNREAD_RESPITE = INT64_C(100000000);

/* How much later than planned a sweep of a server that ends may come before the time is given back:
 * what the turn of a busy loop takes. */
static const int64_t USUAL_LAG = INT64_C(20000000);

/* How long the head of an answer waits for the first of the body, at least. */
static const int64_t HELD_LIMIT = INT64_C(250000000);

/* The most credit under a least rate without a time-out. */
static const int64_t CREDIT_LIMIT = 60 * SECOND;

/* How long a peer that does not read is left alone between two looks at how far it has come. */
static const int64_t LOOK_INTERVAL = 5 * SECOND;

/* Between pause_writing and resume_writing the transport has sent at least so much (its high-water
 * mark less its low-water mark). */
enum { RESUMED_BYTES = 48 * 1024 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t CamTiming_Shortest(const cam_server_options *options) {
    int64_t ping = options->ws_ping_interval > 0
                       ? least(options->ws_ping_interval, options->ws_ping_timeout)
                       : CAM_FOREVER;
    int64_t websocket = least(ping, options->ws_close_timeout);
    return least(least(least(options->keep_alive, options->head_timeout), websocket),
                 least(options->body_timeout, options->write_timeout));
}

/* ---- credit ---- */

/* The time that so many bytes take at a rate, which is not 0. */
static int64_t time_of(size_t size, size_t rate) {
    double time = (double)size * 1e9 / (double)rate;
    return time < (double)CREDIT_LIMIT ? (int64_t)time : CREDIT_LIMIT;
}

/* A body that comes while the answer goes out is a conversation, and has no least rate. */
static size_t body_rate(const HttpProtocolObject *self) {
    bool talking = self->cycle != NULL && CamCycle_HasBegun(self->cycle);
    return talking ? 0 : self->server->options.body_rate;
}

/* The most credit there can be. */
static int64_t most_of(int64_t timeout, size_t rate) {
    return rate ? least(timeout, CREDIT_LIMIT) : timeout;
}

static int64_t earn(int64_t deadline, int64_t now, size_t size, size_t rate, int64_t timeout) {
    int64_t full = now + most_of(timeout, rate);
    return rate ? least(deadline + time_of(size, rate), full) : full;
}

/* ---- what is waited for ---- */

static bool awaits_body(const HttpProtocolObject *self) {
    return self->phase != CAM_PHASE_HEAD && !self->reading_paused && !self->eof &&
           !self->cycle->awaits_100;
}

static cam_timing timing_of(const HttpProtocolObject *self) {
    if (self->writing_paused || self->timing == CAM_TIMING_WRITE) {
        return CAM_TIMING_WRITE; /* whatever else it does: until it has read */
    }
    if (self->phase == CAM_PHASE_CLOSED) {
        return self->timing == CAM_TIMING_LINGER ? CAM_TIMING_LINGER : CAM_TIMING_NONE;
    }
    if (self->websocket != NULL) {
        return self->websocket->deadline ? CAM_TIMING_WEBSOCKET : CAM_TIMING_NONE;
    }
    if (self->cycle != NULL) {
        if (awaits_body(self)) {
            return CAM_TIMING_BODY;
        }
        /* After the head there could be no "100 Continue" for an application that reads late. */
        bool held = self->cycle->answer == CAM_ANSWER_HELD && !self->cycle->awaits_100;
        return held ? CAM_TIMING_HELD : CAM_TIMING_NONE;
    }
    if (self->resume_planned) {
        return CAM_TIMING_NONE;
    }
    if (self->phase != CAM_PHASE_HEAD) {
        return CAM_TIMING_DRAIN;
    }
    if (self->input.len > 0) {
        return CAM_TIMING_HEAD;
    }
    return self->requests > 0 ? CAM_TIMING_IDLE : CAM_TIMING_NEW;
}

/* What is left of the credit of an answer when its peer has caught up. */
static void keep_credit(HttpProtocolObject *self, int64_t now) {
    const cam_server_options *options = &self->server->options;
    if (self->cycle != NULL && options->write_rate != 0) {
        int64_t full = now + most_of(options->write_timeout, options->write_rate);
        self->cycle->slowness = full - earn(self->deadline, now, RESUMED_BYTES, options->write_rate,
                                            options->write_timeout);
    }
}

/* How long a connection may be without a request, of which `usual` is the limit. */
static int64_t patience(const HttpServerObject *server, int64_t usual) {
    return server->shutting_down ? least(usual, server->linger) : usual;
}

/* When an idle connection is to be looked at: to shed, or to end. */
static int64_t idle_look(const HttpProtocolObject *self) {
    int64_t since = self->deadline - patience(self->server, self->server->options.keep_alive);
    return CamHttpProtocol_IsFat(self) ? least(since + SHED_AFTER, self->deadline) : self->deadline;
}

/* Has the sweep come by in time: a peer that does not read is asked after several times before its
 * time is over. */
static int file(HttpProtocolObject *self, int64_t now) {
    int64_t when = self->deadline;
    if (self->timing == CAM_TIMING_IDLE) {
        when = idle_look(self);
    } else if (self->timing == CAM_TIMING_WRITE) {
        int64_t quarter = self->server->options.write_timeout / 4;
        when = least(when, now + least(quarter, LOOK_INTERVAL));
    }
    return CamSweep_File(self->server, self, when);
}

int CamTiming_Set(HttpProtocolObject *self, cam_timing timing) {
    if (self->timing == timing) {
        return 0;
    }
    const cam_server_options *options = &self->server->options;
    int64_t now =
        timing == CAM_TIMING_NONE && self->timing != CAM_TIMING_WRITE ? 0 : CamServer_Now();
    if (self->timing == CAM_TIMING_WRITE) {
        keep_credit(self, now);
    }
    self->timing = timing;
    int64_t limit = options->keep_alive;
    switch (timing) {
    case CAM_TIMING_NONE:
        return 0;
    case CAM_TIMING_NEW:
        limit = patience(self->server, options->head_timeout);
        break;
    case CAM_TIMING_HEAD:
        limit = options->head_timeout;
        break;
    case CAM_TIMING_BODY:
        limit = most_of(options->body_timeout, body_rate(self));
        break;
    case CAM_TIMING_WRITE:
        limit = most_of(options->write_timeout, options->write_rate);
        limit -= self->cycle != NULL ? self->cycle->slowness : 0;
        self->unacknowledged = 0;
        break;
    case CAM_TIMING_WEBSOCKET:
        self->deadline = self->websocket->deadline;
        return file(self, now);
    case CAM_TIMING_LINGER:
        limit = LINGER_SILENCE;
        self->linger_end = now + LINGER_LIMIT;
        break;
    case CAM_TIMING_IDLE:
        limit = patience(self->server, limit);
        break;
    case CAM_TIMING_HELD:
        limit = HELD_LIMIT;
        break;
    case CAM_TIMING_DRAIN:
        break;
    }
    self->deadline = now + limit;
    if (timing == CAM_TIMING_IDLE && !self->warm && CamHttpProtocol_IsFat(self)) {
        CamHttpProtocol_Warm(self);
    }
    return file(self, now);
}

int CamTiming_Settle(HttpProtocolObject *self) {
    return self->transport.object == NULL ? 0 : CamTiming_Set(self, timing_of(self));
}

void CamTiming_Hasten(HttpProtocolObject *self, int64_t before, int64_t now) {
    const cam_server_options *options = &self->server->options;
    int64_t usual = CAM_FOREVER;
    if (self->timing == CAM_TIMING_IDLE) {
        usual = options->keep_alive;
    } else if (self->timing == CAM_TIMING_NEW) {
        usual = options->head_timeout;
    } else {
        return;
    }
    int64_t hastened = self->deadline + least(usual, self->server->linger) - least(usual, before);
    int64_t soonest = least(self->deadline, now + UNREAD_RESPITE);
    self->deadline = hastened > soonest ? hastened : soonest;
}

void CamTiming_GiveBack(HttpProtocolObject *self, int64_t late) {
    if (late > USUAL_LAG && (self->timing == CAM_TIMING_IDLE || self->timing == CAM_TIMING_NEW)) {
        self->deadline += late;
    }
}

void CamTiming_Received(HttpProtocolObject *self, size_t size) {
    if (self->timing == CAM_TIMING_BODY) {
        self->deadline = earn(self->deadline, CamServer_Now(), size, body_rate(self),
                              self->server->options.body_timeout);
    } else if (self->timing == CAM_TIMING_LINGER) {
        /* A peer that is still at it has not read our answer yet. */
        self->deadline = least(CamServer_Now() + LINGER_SILENCE, self->linger_end);
    }
}

/* ---- the end of patience ---- */

/* The peer does not read what it has asked for. It is reset: else the kernel would go on holding
 * what it has for as long as the peer likes. */
static int drop(HttpProtocolObject *self) {
    CamServer_Log(self->server, self->state->asgi.str_warning,
                  "Connection dropped: the client does not read its response.", NULL);
    return CamTransport_Reset(self->state, self->transport);
}

/* Looks how far the peer has come with reading. */
static int look_at_reader(HttpProtocolObject *self, int64_t now) {
    const cam_server_options *options = &self->server->options;
    Py_ssize_t held = CamTransport_Unacknowledged(self->state, self->transport);
    if (held < 0) {
        return -1;
    }
    if (held == 0 && !self->writing_paused) {
        self->timing = CAM_TIMING_NONE;
        return self->phase == CAM_PHASE_CLOSED ? CamTiming_Set(self, CAM_TIMING_LINGER)
                                               : CamTiming_Settle(self);
    }
    size_t before = self->unacknowledged;
    self->unacknowledged = (size_t)held;
    if (before > (size_t)held) {
        self->deadline = earn(self->deadline, now, before - (size_t)held, options->write_rate,
                              options->write_timeout);
    }
    return self->deadline <= now ? drop(self) : file(self, now);
}

static int end(HttpProtocolObject *self) {
    self->timing = CAM_TIMING_NONE;
    self->phase = CAM_PHASE_CLOSED;
    return CamHttpProtocol_Close(self);
}

static int expire(HttpProtocolObject *self, int64_t now) {
    cam_timing timing = (cam_timing)self->timing;
    switch (timing) {
    case CAM_TIMING_NEW:
    case CAM_TIMING_IDLE:
        if (CamTransport_HasUnread(self->state, self->transport)) {
            /* A request that has come while the loop was at something else: it is read next. */
            self->deadline = now + UNREAD_RESPITE;
            return file(self, now);
        }
        return end(self);
    case CAM_TIMING_HEAD:
        return CamHttpProtocol_Refuse(self, 408, "the head of the request took too long");
    case CAM_TIMING_BODY:
        return CamHttpProtocol_Refuse(self, 408, "the body of the request took too long");
    case CAM_TIMING_HELD: {
        CycleObject *cycle = (CycleObject *)Py_NewRef(self->cycle);
        self->timing = CAM_TIMING_NONE;
        int result = CamSend_Head(cycle);
        Py_DECREF(cycle);
        return result;
    }
    case CAM_TIMING_WEBSOCKET: {
        WebSocketObject *websocket = (WebSocketObject *)Py_NewRef(self->websocket);
        self->timing = CAM_TIMING_NONE;
        int result = CamWebSocket_Expire(websocket);
        Py_DECREF(websocket);
        return result;
    }
    case CAM_TIMING_LINGER: {
        int unsent = CamTransport_HasUnsent(self->state, self->transport);
        if (unsent != 0) {
            return unsent < 0 ? -1 : CamTiming_Set(self, CAM_TIMING_WRITE);
        }
        return CamTransport_Abort(self->state, self->transport);
    }
    default:
        return end(self);
    }
}

int64_t CamTiming_NextLook(const HttpProtocolObject *self) {
    if (self->timing == CAM_TIMING_IDLE) {
        return idle_look(self);
    }
    bool limited = self->timing != CAM_TIMING_NONE && self->timing != CAM_TIMING_WRITE;
    return limited ? self->deadline : 0;
}

int CamTiming_Look(HttpProtocolObject *self, int64_t now) {
    if (self->transport.object == NULL) {
        return 0;
    }
    cam_timing timing = timing_of(self);
    if (timing != (cam_timing)self->timing) {
        return CamTiming_Set(self, timing);
    }
    if (timing == CAM_TIMING_NONE) {
        /* Nothing is waited for but the application, or that what is closed ends: has the peer
         * stopped to read? */
        int unsent = CamTransport_HasUnsent(self->state, self->transport);
        return unsent > 0 ? CamTiming_Set(self, CAM_TIMING_WRITE) : unsent;
    }
    if (timing == CAM_TIMING_WRITE) {
        return look_at_reader(self, now);
    }
    if (self->deadline <= now) {
        return expire(self, now);
    }
    if (timing == CAM_TIMING_IDLE && idle_look(self) <= now) {
        CamHttpProtocol_Shed(self);
    }
    return file(self, now);
}
