"""A fault as text and as options."""

from __future__ import annotations

from contextlib import suppress

import pytest
from peers.garbling import garbled

from epm_task.simulator.faults.rule import EFFECTS, FaultError, make_rule, parse_rule


@pytest.mark.parametrize(
    "text",
    [
        "api status=403 times=3",
        "api redirect=https://example.test/x path=/api/* method=GET",
        "registration late=0.5",
        "broker no_ack=true",
        "broker restart=0.5 after=10",
        "run disk_full=true times=1",
    ],
)
def test_rule_is_shown_as_it_is_typed(text: str) -> None:
    """What a rule says of itself can be typed again."""
    assert str(parse_rule(str(parse_rule(text)))) == str(parse_rule(text))
    assert set(str(parse_rule(text)).split()) == set(text.split())


def test_flag_without_a_value() -> None:
    """A name alone means true."""
    assert parse_rule("run disk_full").value is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apo status=403", "'apo' is not a kind of fault; did you mean api"),
        ("api statsu=403", "no fault 'statsu'; did you mean status"),
        (
            "api status=many",
            "status='many' cannot be understood; the value must be a whole number from 200 to 599",
        ),
        ("api delay=-1", "must be a number from 0 to 86400"),
        ("api status=true", "must be a whole number"),
        ("api times=3", "name one of status"),
        ("api status=403 delay=1", "name one of status"),
        ("run", "name one of kill_after"),
    ],
)
def test_rule_that_cannot_be_understood(text: str, message: str) -> None:
    """The error says which option, and what was meant."""
    with pytest.raises(FaultError, match=message):
        parse_rule(text)


def test_absent_options_do_not_count() -> None:
    """None and False are not there."""
    assert make_rule("api", {"status": 500, "reset": False, "times": None}).what == "status"


@pytest.mark.parametrize(
    ("text", "path", "hit"),
    [
        ("api reset", "/api/PluginSettings/X", True),
        ("api reset", "/api/pluginsettings/x", True),
        ("api reset", "/api/Jobs", False),
        ("api reset path=*", "/api/Jobs", True),
        ("api reset method=put", "/api/PluginSettings/X", False),
    ],
)
def test_which_requests(text: str, path: str, hit: bool) -> None:  # noqa: FBT001 - a table of cases
    """By default only what a task calls goes wrong."""
    assert parse_rule(text).matches("GET", path) is hit


@pytest.mark.parametrize("kind", EFFECTS)
def test_a_garbled_fault_is_refused(kind: str) -> None:
    """Or it is one that can happen: in bounds, and of the right type."""
    for effect in EFFECTS[kind]:
        for what, options in garbled({effect: 1, "times": 2, "path": "/x", "method": "GET"}):
            with suppress(FaultError):
                rule = make_rule(kind, options)
                assert EFFECTS[kind][rule.what].fits(rule.value), what
                assert rule.times is None or rule.times > 0, what
