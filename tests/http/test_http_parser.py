# SPDX-License-Identifier: MIT
"""camshaft.http's parsers beyond httptools' own tests, which run in tests/peers."""

import array
import gc
import weakref

import pytest

import camshaft.http as http

try:
    import _testcapi
except ImportError:
    _testcapi = None

GET = b"GET /path?q HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Recorder:
    """A protocol that writes down what is called, whatever it is."""

    def __init__(self, request=True, **limits):
        self.calls = []
        kind = http.HttpRequestParser if request else http.HttpResponseParser
        self.parser = kind(self, **limits)

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name.removeprefix("on_"), *arguments))

    def feed(self, *pieces):
        """Feed the pieces; returns and forgets what was called."""
        for piece in pieces:
            self.parser.feed_data(piece)
        calls, self.calls = self.calls, []
        return calls


def test_calls_come_as_soon_as_their_bytes_are_there():
    recorder = Recorder()
    assert recorder.feed(b"\r\nGE") == [("message_begin",)]
    assert recorder.feed(b"T /pa") == [("url", b"/pa")]
    assert recorder.parser.get_method() == b"GET"
    assert recorder.feed(b"th HTTP") == [("url", b"th")]
    assert recorder.feed(b"/1.1\r\nHost: a\r\n") == []
    assert recorder.feed(b"X") == [("header", b"Host", b"a")]
    assert recorder.feed(b":y\r\n\r") == []
    assert recorder.feed(b"\n") == [
        ("header", b"X", b"y"),
        ("headers_complete",),
        ("message_complete",),
    ]


def test_bodies_come_in_pieces():
    recorder = Recorder()
    recorder.feed(GET + b"Content-Length: 6\r\n\r\n")
    assert recorder.feed(b"ab") == [("body", b"ab")]
    assert recorder.feed(b"cd", b"efGET") == [
        ("body", b"cd"),
        ("body", b"ef"),
        ("message_complete",),
        ("message_begin",),
    ]
    recorder = Recorder()
    recorder.feed(CHUNKED)
    assert recorder.feed(b"3\r\nab") == [("chunk_header",), ("body", b"ab")]
    assert recorder.feed(b"c\r\n") == [("body", b"c"), ("chunk_complete",)]
    assert recorder.feed(b"0\r\nX: y\r\n") == [("chunk_header",)]
    assert recorder.feed(b"\r\n") == [
        ("header", b"X", b"y"),
        ("chunk_complete",),
        ("message_complete",),
    ]


class Bodies:
    """A protocol that does not look at chunks."""

    def __init__(self):
        self.calls = []
        self.on_body = self.calls.append
        self.parser = http.HttpRequestParser(self)

    def on_header(self, name, value):
        self.calls.append((name, value))

    def on_message_complete(self):
        self.calls.append(None)


CHUNKS = b"3\r\nabc\r\n1;x\r\nd\r\n2\r\nef\r\n"
HEADERS = [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")]


def test_chunks_that_come_together_are_one_body():
    bodies = Bodies()
    bodies.parser.feed_data(CHUNKED + CHUNKS + b"0\r\nX: y\r\n\r\n" + GET + b"\r\n")
    assert bodies.calls == [*HEADERS, b"abcdef", (b"X", b"y"), None, (b"Host", b"a"), None]
    bodies = Bodies()
    bodies.parser.feed_data(CHUNKED + CHUNKS + b"4\r\ngh")
    bodies.parser.feed_data(bytearray(b"ij\r\n1\r\nk\r\n00"))
    bodies.parser.feed_data(b"1\r\nl\r\n0\r\n\r\n")
    assert bodies.calls == [*HEADERS, b"abcdefgh", b"ijk", b"l", None]


def test_chunks_cut_anywhere_are_the_same_body():
    data = CHUNKED + CHUNKS + b"0\r\n\r\n"
    for cut in range(len(data) + 1):
        bodies = Bodies()
        bodies.parser.feed_data(data[:cut])
        bodies.parser.feed_data(data[cut:])
        pieces = [call for call in bodies.calls if isinstance(call, bytes)]
        assert b"".join(pieces) == b"abcdef"
        assert bodies.calls[-1] is None


def test_chunks_before_an_error_are_told():
    bodies = Bodies()
    with pytest.raises(http.HttpParserError, match="chunk size"):
        bodies.parser.feed_data(CHUNKED + CHUNKS + b"x")
    assert bodies.calls == [*HEADERS, b"abcdef"]
    with pytest.raises(http.HttpParserError, match="chunk size"):
        bodies.parser.feed_data(b"0\r\n\r\n")


@pytest.mark.parametrize("name", ["on_chunk_header", "on_chunk_complete"])
def test_chunks_are_told_apart_to_who_looks_at_them(name):
    bodies = Bodies()
    setattr(bodies, name, lambda: bodies.calls.append("chunk"))
    bodies.parser.__init__(bodies)
    bodies.parser.feed_data(CHUNKED + CHUNKS + b"0\r\n\r\n")
    pieces = [call for call in bodies.calls if call != "chunk"]
    assert pieces == [*HEADERS, b"abc", b"d", b"ef", None]
    assert bodies.calls.count("chunk") == 4


def test_chunks_that_nobody_wants():
    class Ends:
        ended = 0

        def on_message_complete(self):
            self.ended += 1

    ends = Ends()
    http.HttpRequestParser(ends).feed_data((CHUNKED + CHUNKS + b"0\r\n\r\n") * 3)
    assert ends.ended == 3


def test_status_of_a_response():
    recorder = Recorder(request=False)
    assert recorder.parser.get_status_code() == 0
    assert recorder.parser.get_http_version() == "0.0"
    calls = recorder.feed(b"HTTP/1.0 404 Not", b" Found\r\nContent-Length: 0\r\n\r\n")
    assert calls == [
        ("message_begin",),
        ("status", b"Not"),
        ("status", b" Found"),
        ("header", b"Content-Length", b"0"),
        ("headers_complete",),
        ("message_complete",),
    ]
    assert recorder.parser.get_status_code() == 404
    assert recorder.parser.get_http_version() == "1.0"
    assert not recorder.parser.should_keep_alive()


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("b", data)]
)
def test_buffers(kind):
    assert len(Recorder().feed(kind(GET + b"\r\n"))) == 5


def test_what_is_no_buffer():
    parser = Recorder().parser
    with pytest.raises(TypeError, match="a bytes-like object is required, not 'str'"):
        parser.feed_data("GET")
    with pytest.raises(BufferError):
        parser.feed_data(memoryview(b"GET / HTTP")[::2])


@pytest.mark.parametrize("spelling", [b"Content-Type", b"content-type", b"CONTENT-type", b"X-Own"])
def test_header_names_are_as_sent(spelling):
    assert ("header", spelling, b"v") in Recorder().feed(GET + spelling + b": v\r\n\r\n")


def test_usual_header_names_are_shared():
    names = [
        call[1]
        for _ in range(2)
        for call in Recorder().feed(GET + b"accept: b\r\n\r\n")
        if call[0] == "header"
    ]
    assert names[0] is names[2] and names[1] is names[3]


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"SPAM / HTTP/1.1", http.HttpParserInvalidMethodError, "not a known one"),
        (b"G@T / HTTP/1.1", http.HttpParserInvalidMethodError, "not a token"),
        (b"GET /\x80 HTTP/1.1", http.HttpParserInvalidURLError, "target is malformed"),
        (b"GET /a\r\n", http.HttpParserInvalidURLError, "request line"),
        (b"GET / HTTP/2.0\r\n", http.HttpParserError, "version"),
        (b"GET / HTTP/1.1\r\n\r\n", http.HttpParserError, "no Host"),
        (GET + b"A : b\r\n", http.HttpParserError, "not a token"),
        (CHUNKED + b"x", http.HttpParserError, "chunk size"),
    ],
)
def test_errors_stay(data, error, text):
    recorder = Recorder()
    for _ in range(2):
        with pytest.raises(error, match=text) as raised:
            recorder.feed(data)
        assert type(raised.value) is error
    with pytest.raises(error, match=text):
        recorder.feed(b"")


def test_exceptions_are_what_httptools_has():
    for name in ("Callback", "InvalidStatus", "InvalidMethod", "InvalidURL"):
        assert issubclass(getattr(http, f"HttpParser{name}Error"), http.HttpParserError)
    assert http.HttpParserError.__bases__ == (Exception,)
    assert http.HttpParserUpgrade.__bases__ == (Exception,)
    for name in http.__all__:
        if name.startswith("HttpParser"):
            assert getattr(http, name).__module__ == "camshaft.http"


@pytest.mark.parametrize(
    "name",
    ["message_begin", "url", "header", "headers_complete", "chunk_header", "body",
     "chunk_complete", "message_complete"],
)  # fmt: skip
def test_a_callback_that_raises_ends_the_parser(name):
    class Failure(Exception):
        pass

    class Protocol:
        pass

    def fail(*arguments):
        raise failure

    failure = Failure()
    protocol = Protocol()
    setattr(protocol, f"on_{name}", fail)
    parser = http.HttpRequestParser(protocol)
    with pytest.raises(http.HttpParserCallbackError, match=f"`on_{name}` callback error") as raised:
        parser.feed_data(CHUNKED + b"1\r\na\r\n0\r\n\r\n")
    assert raised.value.__context__ is failure
    with pytest.raises(http.HttpParserCallbackError, match=f"`on_{name}` callback error") as raised:
        parser.feed_data(b"GET")
    assert raised.value.__context__ is None


def test_the_context_is_the_callbacks_own_also_inside_except():
    class Protocol:
        def on_message_begin(self):
            raise KeyError("inner")

    parser = http.HttpRequestParser(Protocol())
    try:
        raise ValueError("outer")
    except ValueError:
        with pytest.raises(http.HttpParserCallbackError) as raised:
            parser.feed_data(b"GET")
    assert isinstance(raised.value.__context__, KeyError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through(kind):
    class Protocol:
        def on_url(self, url):
            raise kind

    parser = http.HttpRequestParser(Protocol())
    with pytest.raises(kind):
        parser.feed_data(GET)
    with pytest.raises(http.HttpParserCallbackError):
        parser.feed_data(b"")


def test_a_callback_cannot_feed_or_initialize_its_parser():
    refused = []

    class Protocol:
        def on_url(self, url):
            for misuse in (lambda: parser.feed_data(b"x"), lambda: parser.__init__(self)):
                try:
                    misuse()
                except RuntimeError as error:
                    refused.append(str(error))

        def on_message_complete(self):
            refused.append("complete")

    parser = http.HttpRequestParser(Protocol())
    parser.feed_data(GET + b"\r\n")
    assert refused == [
        "feed_data() was called by a callback of itself",
        "a parser cannot be initialized while it is fed",
        "complete",
    ]


def test_a_callback_may_change_what_is_fed():
    """The bytes are taken as they are when their turn comes; nothing else happens."""
    data = bytearray(GET + b"X: y\r\n\r\n")
    calls = []

    class Protocol:
        def on_url(self, url):
            data[-8:] = b"Z: zzzzz"[:4] + b"\r\n\r\n"
            with pytest.raises(BufferError):
                data.clear()

        def on_header(self, name, value):
            calls.append((name, value))

    http.HttpRequestParser(Protocol()).feed_data(data)
    assert calls == [(b"Host", b"a"), (b"Z", b"z")]


def test_initializing_again_begins_anew():
    recorder = Recorder()
    recorder.feed(b"GET /a HTTP/1.1\r\nHo")
    recorder.parser.__init__(recorder)
    assert recorder.feed(GET + b"\r\n")[:2] == [("message_begin",), ("url", b"/path?q")]
    with pytest.raises(http.HttpParserError):
        recorder.feed(b"???")
    recorder.calls.clear()
    recorder.parser.__init__(recorder)
    assert recorder.feed(b"GET") == [("message_begin",)]


def test_subclasses():
    class Parser(http.HttpRequestParser):
        def __init__(self):
            super().__init__(self)
            self.urls = []

        def on_url(self, url):
            self.urls.append(url)

    parser = Parser()
    parser.feed_data(GET)
    assert parser.urls == [b"/path?q"]

    class Careless(http.HttpRequestParser):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Careless().feed_data(b"")


def test_a_protocol_and_its_parser_are_collected():
    class Protocol:
        def __init__(self):
            self.parser = http.HttpRequestParser(self)

        def on_header(self, name, value):
            pass

    protocol = Protocol()
    protocol.parser.feed_data(GET + b"X: y")
    reference = weakref.ref(protocol)
    del protocol
    gc.collect()
    assert reference() is None


def test_protocols_attributes_may_fail():
    class Protocol:
        @property
        def on_url(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        http.HttpRequestParser(Protocol())
    with pytest.raises(TypeError):
        http.HttpRequestParser()
    http.HttpRequestParser(protocol=None).feed_data(GET)


def test_upgrades():
    upgrade = GET + b"Upgrade: x\r\nConnection: upgrade\r\n"
    recorder = Recorder()
    with pytest.raises(http.HttpParserUpgrade) as raised:
        recorder.feed(b"\r\n", upgrade + b"\r\nrest")
    assert raised.value.args == (len(upgrade) + 2,)
    assert recorder.parser.should_upgrade()
    # The body is read first: it is HTTP's (RFC 9110 section 7.8).
    recorder = Recorder()
    with pytest.raises(http.HttpParserUpgrade) as raised:
        recorder.feed(upgrade + b"Content-Length: 2\r\n\r\nabrest")
    assert raised.value.args[0] == len(upgrade + b"Content-Length: 2\r\n\r\nab")
    assert ("body", b"ab") in recorder.calls
    # Whoever does not upgrade goes on with the next message.
    recorder.calls.clear()
    assert len(recorder.feed(GET + b"\r\n")) == 5
    assert not recorder.parser.should_upgrade()


LENIENCIES = {
    "lenient_headers": GET + b"A: b\x01\r\n c\r\n\r\n",
    "lenient_chunked_length": CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n",
    "lenient_keep_alive": GET + b"Connection: close\r\n\r\nGET / HTTP/1.1\r\n",
    "lenient_transfer_encoding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "lenient_version": b"GET / HTTP/4.2\r\nHost: a\r\n\r\n",
    "lenient_data_after_close": GET + b"Connection: close\r\n\r\nGET",
    "lenient_optional_lf_after_cr": b"GET / HTTP/1.1\rHost: a\r\r",
    "lenient_optional_cr_before_lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "lenient_optional_crlf_after_chunk": CHUNKED + b"1\r\na0\r\n\r\n",
    "lenient_spaces_after_chunk_size": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "lenient_host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", LENIENCIES)
def test_each_leniency_lets_its_own_pass(name):
    data = LENIENCIES[name]
    with pytest.raises(http.HttpParserError):
        Recorder().feed(data)
    recorder = Recorder()
    others = {other: True for other in LENIENCIES if other != name}
    if name == "lenient_data_after_close":
        del others["lenient_keep_alive"]
    elif name == "lenient_keep_alive":
        del others["lenient_data_after_close"]
    recorder.parser.set_dangerous_leniencies(**others, **{name: False})
    with pytest.raises(http.HttpParserError):
        recorder.feed(data + b"\n" if name.endswith("cr") else data)
    recorder = Recorder()
    recorder.parser.set_dangerous_leniencies(**{name: True})
    recorder.parser.set_dangerous_leniencies()
    recorder.feed(data, b"\n" if name.endswith("cr") else b"")


def test_leniencies_are_httptools_parameters_in_its_order():
    recorder = Recorder()
    recorder.parser.set_dangerous_leniencies(None, None, None, None, True)
    recorder.feed(LENIENCIES["lenient_version"])
    with pytest.raises(TypeError):
        recorder.parser.set_dangerous_leniencies(lenient_everything=True)

    class Odd:
        def __bool__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        recorder.parser.set_dangerous_leniencies(Odd())


@pytest.mark.parametrize("step", [1, 100_000])
def test_a_head_without_end_is_refused(step):
    """Within the default bounds of 16 KiB a line, 128 lines and 64 KiB, however it comes."""
    for endless in (b"GET /" + b"a" * 17_000, GET + b"A: " + b"a" * 17_000, GET + b"A: b\r\n" * 200,
                    GET + (b"A: " + b"b" * 8_000 + b"\r\n") * 9):  # fmt: skip
        recorder = Recorder()
        recorder.on_url = None
        with pytest.raises(http.HttpParserError, match=r"too (long|many)"):
            for at in range(0, len(endless), step):
                recorder.parser.feed_data(endless[at : at + step])


def test_bounds_are_the_callers():
    head = GET + b"A: 12345\r\nB: 1\r\n\r\n"
    for bound in ({"max_line": 19}, {"max_headers": 2}, {"max_head_bytes": len(head) - 1}):
        with pytest.raises(http.HttpParserError, match=r"too (long|many)"):
            Recorder(**bound).feed(head)
    good = Recorder(max_line=20, max_headers=3, max_head_bytes=len(head)).feed(head)
    assert good[-1] == ("message_complete",)
    for wrong in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match=f"max_line must be from 1 to [0-9]+, not {wrong}"):
            Recorder(max_line=wrong)
    with pytest.raises(TypeError):
        Recorder(max_line="1")


def test_trailers_that_would_change_the_head_are_not_told():
    recorder = Recorder()
    recorder.feed(CHUNKED)
    calls = recorder.feed(b"0\r\nCookie: a\r\nETag: b\r\n\r\n")
    assert ("header", b"ETag", b"b") in calls and len(calls) == 4
    for name in (b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Host: b"):
        with pytest.raises(http.HttpParserError, match="trailer"):
            Recorder().feed(CHUNKED + b"0\r\n" + name + b"\r\n\r\n")


@pytest.mark.parametrize("kind", ["HttpRequestParser", "HttpResponseParser"])
def test_signatures_and_documentation(kind):
    parser = getattr(http, kind)
    for name in dir(parser):
        if not name.startswith("_"):
            assert getattr(parser, name).__doc__, name
    assert parser.feed_data.__text_signature__ == "($self, data, /)"


def test_parse_url():
    url = http.parse_url(b"http://user:pw@[::1]:8000/a%20b?c=d#e")
    assert (url.schema, url.userinfo, url.host, url.port) == (b"http", b"user:pw", b"::1", 8000)
    assert (url.path, url.query, url.fragment) == (b"/a%20b", b"c=d", b"e")
    assert repr(http.parse_url(memoryview(b"/"))) == (
        "<URL schema: None, host: None, port: None, path: b'/', "
        "query: None, fragment: None, userinfo: None>"
    )
    with pytest.raises(http.HttpParserInvalidURLError, match="invalid url b'a b'"):
        http.parse_url(b"a b")
    with pytest.raises(http.HttpParserInvalidURLError, match="65536 bytes exceeds"):
        http.parse_url(b"/" + b"a" * 65535)
    assert http.parse_url(b"/" + b"a" * 65534).path is not None
    with pytest.raises(TypeError):
        http.URL()


def test_repeated_header_blocks_are_told_again():
    """A block that is remembered gives the same calls as one that is read."""
    recorder = Recorder()
    message = b"POST /%d HTTP/1.1\r\nHost: a\r\nX-Own: value\r\nContent-Length: 2\r\n\r\nab"
    first = recorder.feed(message % 1)
    again = recorder.feed(message % 2 + message % 3)
    assert again == [
        (name, b"/%d" % number) if name == "url" else (name, *rest)
        for number in (2, 3)
        for name, *rest in first
    ]
    assert again[2][2] is first[2][2]  # the objects, too
    # Not when it comes in pieces, differs at its end, or is cut off.
    for at in range(len(message) - 2):
        assert recorder.feed((message % 1)[:at], (message % 1)[at:])[-4:] == first[-4:]
    longer = recorder.feed(message.replace(b"\r\n\r\n", b"\r\nB: c\r\n\r\n") % 1)
    assert ("header", b"B", b"c") in longer
    assert recorder.feed(message % 1)[2:] == first[2:]


def test_header_blocks_that_never_repeat():
    recorder = Recorder()
    for number in range(20):
        for _ in range(2 if number == 10 else 1):
            calls = recorder.feed(GET + b"X: %d\r\n\r\n" % number)
            assert calls[2:4] == [("header", b"Host", b"a"), ("header", b"X", b"%d" % number)]


def test_repeated_blocks_mean_what_they_mean_now():
    recorder = Recorder()
    request = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    recorder.parser.set_dangerous_leniencies(lenient_host=True)
    recorder.feed(request, request)
    recorder.parser.set_dangerous_leniencies(lenient_host=False)
    with pytest.raises(http.HttpParserError, match="no Host"):
        recorder.feed(request)
    # The start line counts for the bound of the head, too.
    recorder = Recorder(max_head_bytes=40)
    recorder.feed(b"GET / HTTP/1.1\r\nHost: abcdefgh\r\n\r\n")
    with pytest.raises(http.HttpParserError, match="too long"):
        recorder.feed(b"GET /12345678 HTTP/1.1\r\nHost: abcdefgh\r\n\r\n")
    # HTTP/1.0 needs no Host, 1.1 does, with the same block.
    recorder = Recorder()
    recorder.feed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    with pytest.raises(http.HttpParserError, match="no Host"):
        recorder.feed(b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n")


def test_folded_values_of_repeated_blocks():
    """A header that goes on over lines is told whole however often its block comes."""
    recorder = Recorder()
    recorder.parser.set_dangerous_leniencies(lenient_headers=True)
    request = GET + b"X: one\r\n two\r\nY: three\r\n\r\n"
    first = recorder.feed(request)
    assert ("header", b"X", b"one two") in first
    for _ in range(3):
        assert recorder.feed(request) == first


def test_leniencies_change_all_at_once():
    class Truth:
        """One whose truth is asked for while other leniencies have been read."""

        def __init__(self, recorder):
            self.recorder = recorder

        def __bool__(self):
            self.recorder.feed(request)
            return False

    request = GET + b"X: a\x01b\r\n\r\n"
    recorder = Recorder()
    recorder.parser.set_dangerous_leniencies(lenient_headers=True)
    recorder.parser.set_dangerous_leniencies(lenient_headers=Truth(recorder))
    with pytest.raises(http.HttpParserError):
        recorder.feed(request)
    # Nor does one that fails change any.
    recorder = Recorder()
    with pytest.raises(http.HttpParserError):
        recorder.parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_host=Truth(Recorder())
        )
    with pytest.raises(http.HttpParserError):
        recorder.feed(GET + b"X: one\r\n two\r\n\r\n")


def test_a_refused_init_changes_nothing():
    class Protocol:
        def __init__(self):
            self.parser = http.HttpRequestParser(self)
            self.urls = []

        def on_message_begin(self):
            with pytest.raises(RuntimeError, match="while it is fed"):
                self.parser.__init__(object())

        def on_url(self, url):
            self.urls.append(url)

    protocol = Protocol()
    protocol.parser.feed_data(GET + b"\r\n")
    assert protocol.urls == [b"/path?q"]


@pytest.mark.skipif(
    _testcapi is None, reason="this Python has no _testcapi, which fails allocations"
)
def test_no_memory_is_final():
    """Bytes that could not be told are not passed over: the next would be taken for a message."""
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(body) + 600)
    failed = 0
    for start in range(100):
        recorder = Recorder()
        recorder.feed(request)
        filler = bytes(600)
        _testcapi.set_nomemory(start, start + 1)
        try:
            recorder.parser.feed_data(filler)
        except (MemoryError, http.HttpParserCallbackError):
            failed += 1
        else:
            continue
        finally:
            _testcapi.remove_mem_hooks()
        with pytest.raises((MemoryError, http.HttpParserCallbackError)):
            recorder.parser.feed_data(body)
        recorder.parser.__init__(recorder)
        recorder.feed(GET + b"\r\n")
    assert failed


def test_callbacks_may_change_leniencies_and_raise_in_a_repeated_block():
    class Protocol:
        def __init__(self):
            self.parser = http.HttpRequestParser(self)
            self.headers = []

        def on_header(self, name, value):
            self.headers.append(value)
            self.parser.set_dangerous_leniencies(lenient_version=True)
            if len(self.headers) == 7:
                raise ZeroDivisionError

    protocol = Protocol()
    block = GET + b"B: c\r\nD: e\r\n\r\n"
    protocol.parser.feed_data(block)
    protocol.parser.feed_data(block)
    with pytest.raises(http.HttpParserCallbackError):
        protocol.parser.feed_data(block)
    assert protocol.headers == [b"a", b"c", b"e"] * 2 + [b"a"]
