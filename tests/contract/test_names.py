"""Tests of the system settings: where the broker is, or which key is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.contract.names import (
    EXECUTION_TYPES,
    OS_NAMES,
    allowed_systems,
    execution_type_of,
    os_name,
)
from epm_task.errors import SettingsError, UnsafeBroker
from epm_task.runtime.tls import broker_address


def settings(**changes: str | None) -> dict[str, str]:
    """Return good settings with changes; None removes a key."""
    both = {
        "broker.host": "127.0.0.1",
        "broker.port": "8675",
        **{f"broker.{k}": v for k, v in changes.items()},
    }
    return {key: value for key, value in both.items() if value is not None}


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")]
)
def test_broker_on_loopback_is_found(host: str, address: str) -> None:
    """Host and port come out as what a socket takes."""
    assert broker_address(settings(host=host)) == (address, 8675)


@pytest.mark.parametrize("key", ["host", "port"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_key_is_named(key: str, value: str | None) -> None:
    """A missing or empty key is told by its name."""
    with pytest.raises(SettingsError, match=rf"broker\.{key} of KeeperPrivilegeManager is missing"):
        broker_address(settings(**{key: value}))


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "8675.0", "-1", "8 675", "٣", "1e3"])
def test_wrong_port_is_named_without_its_value(port: str) -> None:
    """A port that is none is told by its key, never by its value."""
    with pytest.raises(SettingsError) as refused:
        broker_address(settings(port=port))
    assert "broker.port" in str(refused.value)
    assert f"{port!r}" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "broker.example", "127.0.0.1 x"])
def test_broker_off_loopback_is_unsafe(host: str) -> None:
    """A broker elsewhere is never talked to."""
    with pytest.raises(UnsafeBroker):
        broker_address(settings(host=host))


def test_both_spellings_count_and_service_is_the_default() -> None:
    """The answer may be no execution type."""
    assert execution_type_of({}) == EXECUTION_TYPES[0] == "Service"
    assert execution_type_of({"ExecutionType": None}) == "Service"
    assert execution_type_of({"executionType": "User"}) == "User"
    assert execution_type_of({"ExecutionType": "UserDesktop", "executionType": "User"}) == (
        "UserDesktop"
    )
    assert execution_type_of({"ExecutionType": 5}) == 5


@pytest.mark.parametrize(
    ("platform", "name"), [("win32", "windows"), ("darwin", "macOS"), ("linux", "linux")]
)
def test_a_platform_has_a_name(platform: str, name: str) -> None:
    """As the document spells it."""
    assert os_name(platform) == name


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (None, set(OS_NAMES)),
        ("windows", set(OS_NAMES)),
        ({}, set(OS_NAMES)),
        ({"windows": False}, {"linux", "macOS"}),
        ({"windows": None, "linux": 0, "macOS": False}, {"windows", "linux"}),
        (dict.fromkeys(OS_NAMES, False), set()),
    ],
)
def test_only_false_excludes(rule: Any, allowed: set[str]) -> None:
    """An absent key does not, nor does another value."""
    assert allowed_systems({"osFilter": rule}) == allowed
