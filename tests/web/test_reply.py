"""Answers, byte by byte."""

import email.utils
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.web import reply
from tests.support.raw import get, responses
from tests.web.serving import COMMON, HERE, MAC, OTHER_MAC, OURS, OWN, Serving, until

DATE = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    async with Serving(tmp_path) as running:
        yield running


async def exchange(serving: Serving, data: bytes) -> bytes:
    """Everything that is answered until the server closes."""
    client = await serving.client()
    client.send(data)
    return await client.rest()


async def open_exchange(serving: Serving, data: bytes) -> bytes:
    """The same where the server leaves the connection open: what came before the answer to one more request."""
    last = get("/p/the-last", "Connection: close")
    mark = b"HTTP/1.1 404 "
    return (await exchange(serving, data + last)).rpartition(mark)[0]


def without_date(data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    dates = [line for line in lines if line.startswith(b"Date: ")]
    now = time.time()
    assert dates
    for date in dates:
        text = date.decode().removeprefix("Date: ")
        at = email.utils.parsedate_to_datetime(text)
        assert email.utils.format_datetime(at, usegmt=True) == text
        assert abs(at.timestamp() - now) < 3600
    return b"\r\n".join(line for line in lines if not line.startswith(b"Date: "))


HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b'ETag: "own"\r\n'
    b"Cache-Control: private, no-cache\r\n"
    b"Content-Type: text/plain\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Content-Length: %d\r\n" % len(OWN)
)
SERVER = b"Server: kazoo-provisioner\r\n\r\n"
CLOSE = b"Connection: close\r\n"
KEEP = b"Connection: keep-alive\r\n"


async def test_a_file(serving: Serving) -> None:
    """HTTP/1.1 is kept open unless somebody says otherwise; HTTP/1.0 is not, unless the client asks for it."""
    assert without_date(await open_exchange(serving, get(OURS))) == HEAD + SERVER + OWN
    assert (
        without_date(await exchange(serving, get(OURS, "Connection: close"))) == HEAD + CLOSE + SERVER + OWN
    )
    assert without_date(await exchange(serving, get(OURS, version="HTTP/1.0"))) == HEAD + CLOSE + SERVER + OWN
    kept = await open_exchange(serving, get(OURS, "Connection: keep-alive", version="HTTP/1.0"))
    assert without_date(kept) == HEAD + KEEP + SERVER + OWN


async def test_no_body(serving: Serving) -> None:
    """HEAD tells the length of what it does not send; 304 has neither length nor body."""
    head = await open_exchange(serving, get(OURS, method="HEAD"))
    assert without_date(head) == HEAD + SERVER
    for tag in ('"own"', 'W/"own"', '"x", "own"', "*"):
        for method in ("GET", "HEAD"):
            same = await open_exchange(serving, get(OURS, f"If-None-Match: {tag}", method=method))
            expected = b'HTTP/1.1 304 Not Modified\r\nETag: "own"\r\nCache-Control: private, no-cache\r\n'
            assert without_date(same) == expected + SERVER


async def test_what_is_not_there(serving: Serving) -> None:
    """The same bytes for every reason; HEAD and other methods too have their lengths."""
    plain = b"Content-Type: text/plain; charset=utf-8\r\n"
    missing = b"HTTP/1.1 404 Not Found\r\n" + plain + b"Content-Length: 10\r\n"
    for path in (
        "/p/001565000000.cfg",
        "/x",
        f"/p/{'0' * 32}/{MAC}.cfg",
        "/p/caf%C3%A9",
        "http://x",
        f"/p/{HERE}/nothing",
    ):
        got = await exchange(serving, get(path, "Connection: close"))
        assert without_date(got) == missing + CLOSE + SERVER + b"Not found\n"
    assert without_date(await open_exchange(serving, get("/p/x", method="HEAD"))) == missing + SERVER
    refused = await open_exchange(serving, get(OURS, method="DELETE"))
    expected = b"HTTP/1.1 405 Method Not Allowed\r\n" + plain + b"Allow: GET, HEAD\r\nContent-Length: 12\r\n"
    assert without_date(refused) == expected + SERVER + b"Not allowed\n"


@pytest.mark.parametrize("count", [2, 31, 100])
async def test_pipelining_keeps_the_order(serving: Serving, count: int) -> None:
    kinds = [
        (OURS, "GET", 200, OWN),
        (COMMON, "GET", 200, b"common = 1\n"),
        ("/p/none", "GET", 404, b"Not found\n"),
        (OURS, "HEAD", 200, b""),
    ]
    wanted = [kinds[number % 4] for number in range(count)]
    sent = b"".join(get(path, method=method) for path, method, *_ in wanted)
    got = await open_exchange(serving, sent)
    answers = responses(got, tuple(method for _, method, *_ in wanted))
    assert [(answer.status, answer.body) for answer in answers] == [tuple(one[2:]) for one in wanted]
    assert not any("Connection" in answer.headers for answer in answers)


async def test_after_a_close_nothing_is_answered(serving: Serving) -> None:
    got = await exchange(serving, get(OURS, "Connection: close") + get(OURS))
    assert len(responses(got)) == 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 405), ("POST", 405)])
async def test_a_request_with_a_body(serving: Serving, method: str, status: int, *, chunked: bool) -> None:
    """An answer and the end: what stands behind it is not taken for a request."""
    body = get(f"/p/{HERE}/{OTHER_MAC}.cfg")
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    if chunked:
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    (answer,) = responses(await exchange(serving, get(OURS, framing, method=method) + body))
    assert answer.status == status
    assert answer.headers["Connection"] == "close"
    # A body of no bytes is none.
    kept = await open_exchange(serving, get(OURS, "Content-Length: 0", method=method))
    (answer,) = responses(kept)
    assert (answer.status, "Connection" in answer.headers) == (status, False)


ALL = [
    get(OURS), get("/p/none"), get(OURS, method="POST"), get("/p/api/phones"), get("/p/api/none"), get("/p/api/phones", method="OPTIONS"),
    b"EHLO x\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n", get("/" + "x" * 9000), get(OURS, *["X: y"] * 200), get(OURS, "If-None-Match: *"),
]  # fmt: skip


@pytest.mark.parametrize("data", ALL)
async def test_no_answer_tells_how_we_are_made(serving: Serving, data: bytes) -> None:
    """One Server header, and no other name or version of software."""
    client = await serving.client()
    client.send(data)
    answer = await client.one()
    assert answer.headers["Server"] == "kazoo-provisioner"
    known = {
        "Server", "Date", "Connection", "Content-Length", "Content-Type", "Etag", "Cache-Control", "Allow", "X-Content-Type-Options",
    }  # fmt: skip
    assert {name for name in answer.headers if not name.startswith("Access-Control-")} <= known
    for word in ("python", "aiohttp", "error", "traceback"):
        assert word not in str(answer[1:]).lower().replace('"error": {', "").replace('"error":{', "")


async def test_we_fail(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, an answer without a word about the cause, and the connection is closed."""
    monkeypatch.setattr(serving.server._phones, "_parse", lambda *_: 1 / 0)
    (answer,) = responses(await exchange(serving, get(OURS) + get(OURS)))
    assert (answer.status, answer.body, answer.headers["Connection"]) == (500, b"Failed\n", "close")
    (line,) = serving.said("request_failed")
    assert (line["problem"], line["remote"]) == ("ZeroDivisionError", "127.0.0.1")
    monkeypatch.undo()
    assert (await serving.get(OURS)).status == 200
    await until(lambda: not len(serving.connections), "a connection stays")


async def test_bytes_that_are_no_text(serving: Serving) -> None:
    """In headers that are noted: the request is answered, and what is noted of it can be written."""
    agent = "User-Agent: Yealink \xff\xfe 00:15:65:aa:bb:cc"
    for path in (OURS, "/p/none", "/p/api/phones"):
        client = await serving.client()
        data = get(path, agent).replace(b"prov.example.com", b"prov\xff.example.com")
        client.send(data)
        assert (await client.one()).status in (200, 404)
    assert (await serving.get(OURS, 'If-None-Match: "\xff"')).body == OWN
    await serving.notes.flush()
    assert not serving.said("access_unavailable")
    lines = serving.said("phone_request") + serving.said("api_request")
    assert len(lines) == 4
    for line in lines[:-2] + lines[-1:]:
        assert line["host"].encode().startswith(b"prov")
        assert line["agent"].encode().startswith(b"Yealink ")


@given(st.integers(min_value=0, max_value=4102444800))
def test_the_date_is_as_http_has_it(second: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reply.time, "time", lambda: second + 0.5)
        assert reply._now() == email.utils.formatdate(second, usegmt=True)
        assert reply._now() == email.utils.formatdate(second, usegmt=True)
