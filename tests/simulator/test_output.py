"""Tests of the capture."""

from __future__ import annotations

from epm_task.simulator.output import Capture


def test_cap_keeps_the_start_and_counts_the_rest():
    """The first bytes are kept; what is beyond the cap is a number."""
    capture = Capture(limit=4)
    for chunk in (b"abc", b"def", b"g"):
        capture.feed(chunk)
    assert capture.data == b"abcd"
    assert capture.dropped == 3


def test_lines_are_reported_when_whole():
    """A line may come in pieces, and the last one may lack its end."""
    lines: list[bytes] = []
    capture = Capture(lines.append)
    for chunk in (b"a", b"b\r\nc\n\nd", b"e"):
        capture.feed(chunk)
    assert lines == [b"ab", b"c", b""]
    capture.finish()
    capture.finish()
    assert lines == [b"ab", b"c", b"", b"de"]


def test_past_the_cap_only_records_are_reported():
    """A flood of plain lines is not followed, a line that may be a record is."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=2)
    for chunk in (b"xx\n", b"plain\n", b'plain\n{"a"', b":1}\nplain\n"):
        capture.feed(chunk)
    assert lines == [b"xx", b'{"a":1}']


def test_endless_line_is_reported_in_pieces():
    """A line without an end does not grow in memory."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=1 << 22)
    for _ in range(5):
        capture.feed(b"x" * (1 << 19))
    assert [len(line) for line in lines] == [1 << 20, 1 << 20]


def test_past_the_cap_a_brace_inside_a_line_starts_no_record():
    """Where a chunk begins says nothing about where a line begins."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=1)
    for chunk in (b"x\n", b"plain ", b"{no}\n", b"a\nb", b"{no}"):
        capture.feed(chunk)
    capture.finish()
    assert lines == [b"x"]
