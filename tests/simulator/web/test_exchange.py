"""Tests of what a request says, whatever a client sends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from epm_task.simulator.web.exchange import Headers, Request, phrase_of


def request(target: str = "/", **headers: str) -> Request:
    """Return a request with these headers."""
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request("GET", target, Headers(pairs), cast("Any", None), cast("Any", None))


def test_headers_have_no_case() -> None:
    """Each value of a name is there, in order, and odd bytes are kept."""
    headers = Headers([(b"Origin", b"a"), (b"ORIGIN", b"\xff")])
    assert headers.all("oRIGIN") == ["a", "\udcff"]
    assert (headers.get("origin"), headers.get("x"), headers.get("x", "y")) == ("a", "", "y")
    assert ("Origin" in headers, "x" in headers) == (True, False)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("a=1&b=&c", {"a": "1", "b": "", "c": ""}),
        ("a=1&a=2", {"a": "1"}),
        ("a=%ff+%20", {"a": "\ufffd  "}),
    ],
)
def test_query(query: str, fields: dict[str, str]) -> None:
    """Of several fields with one name the first counts."""
    assert request(f"/x?{query}").query == fields


def test_cookie() -> None:
    """A value may hold an equals sign; one that is not there is empty."""
    cookies = request(Cookie="a=1; key=x=y;b")
    assert [cookies.cookie(name) for name in ("a", "key", "b", "c")] == ["1", "x=y", "", ""]


def test_body_is_announced() -> None:
    """By its length, or by its chunks."""
    bodies = [request(), request(Content_Length="0"), request(Content_Length="5")]
    assert [each.has_body for each in bodies] == [False, False, True]
    assert request(Transfer_Encoding="chunked").has_body


def test_media_type() -> None:
    """Without its parameters; what is not declared is bytes."""
    assert request(Content_Type="Application/JSON; charset=utf-8").media_type == "application/json"
    assert request().media_type == "application/octet-stream"


def test_phrases() -> None:
    """A status that no standard names has none."""
    assert (phrase_of(404), phrase_of(599)) == ("Not Found", "")
