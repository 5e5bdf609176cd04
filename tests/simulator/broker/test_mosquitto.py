"""The command line clients of mosquitto against the broker, over TLS."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from peers.tls import server_context
from simulator.broker.broker_box import BrokerBox, rule, running_broker
from simulator.broker.foreign_program import ca_file, needed_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSIONS = pytest.mark.parametrize("version", ["311", "5"])


@pytest.fixture
def box() -> Iterator[BrokerBox]:
    """A broker with TLS."""
    with running_broker(ssl_context=server_context()) as running:
        yield running


def _command(program: str, box: BrokerBox, folder: Path, *arguments: str) -> list[str]:
    where = ["-h", "127.0.0.1", "-p", str(box.port), "--cafile", str(ca_file(folder))]
    # -W ends a subscriber that waits in vain.
    patience = ["-W", f"{PATIENCE:.0f}"] if program == "mosquitto_sub" else []
    return [needed_program(program), *where, *patience, *arguments]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@_VERSIONS
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_a_message_goes_from_one_to_the_other(
    box: BrokerBox, tmp_path: Path, version: str, qos: str
) -> None:
    """mosquitto_pub to mosquitto_sub, with a wildcard."""
    options = ["-V", f"mqttv{version}", "-q", qos]
    command = _command("mosquitto_sub", box, tmp_path, *options, "-t", "a/#", "-C", "2", "-v")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        box.until(lambda: box.events.having('subscribes to "a/#"'))
        for text in ("one", "two"):
            sent = _run(_command("mosquitto_pub", box, tmp_path, *options, "-t", "a/b", "-m", text))
            assert (sent.returncode, sent.stderr) == (0, "")
        output, _ = subscriber.communicate(timeout=PATIENCE)
    assert output == "a/b one\na/b two\n"
    assert [message.qos for message in box.messages] == [int(qos)] * 2


@_VERSIONS
def test_many_lines_are_published_and_none_is_lost(
    box: BrokerBox, tmp_path: Path, version: str
) -> None:
    """2 000 lines at QoS 2."""
    lines = "".join(f"line {number}\n" for number in range(2_000))
    command = _command(
        "mosquitto_pub", box, tmp_path, "-V", f"mqttv{version}", "-q", "2", "-t", "t", "-l"
    )
    subprocess.run(command, input=lines, text=True, timeout=PATIENCE, check=True)
    assert "".join(f"{message.payload.decode()}\n" for message in box.messages) == lines


@_VERSIONS
def test_a_retained_message_and_a_will(box: BrokerBox, tmp_path: Path, version: str) -> None:
    """The will of a killed subscriber, then what is retained."""
    options = ["-V", f"mqttv{version}"]
    will = ["--will-topic", "w", "--will-payload", "gone", "--will-retain", "--will-qos", "1"]
    command = _command("mosquitto_sub", box, tmp_path, *options, *will, "-t", "t")
    with subprocess.Popen(command) as subscriber:
        box.until(lambda: box.events.having('subscribes to "t"'))
        subscriber.kill()
    box.until(lambda: box.messages)
    got = _run(_command("mosquitto_sub", box, tmp_path, *options, "-t", "w", "-C", "1"))
    assert got.stdout == "gone\n"


def test_a_refusal_is_understood(box: BrokerBox, tmp_path: Path) -> None:
    """It is "not authorised", in the words of each version."""
    box.rules.by_client_id["c"] = rule(allowed=False, reason="not registered")
    options = ["-i", "c", "-t", "t", "-m", "x"]
    for version, words in (("311", "not authorised"), ("5", "Not authorized")):
        got = _run(_command("mosquitto_pub", box, tmp_path, "-V", f"mqttv{version}", *options))
        assert got.returncode
        assert words in got.stderr
    assert not box.messages


@_VERSIONS
def test_a_denied_message_looks_like_success(box: BrokerBox, tmp_path: Path, version: str) -> None:
    """Exit code 0, no word, nothing carried."""
    box.rules.by_client_id["c"] = rule(publications=set())
    options = ["-V", f"mqttv{version}", "-i", "c", "-q", "1", "-t", "t", "-m", "x"]
    got = _run(_command("mosquitto_pub", box, tmp_path, *options))
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    assert not box.messages
    assert len(box.events.denials) == 1


def test_mqtt_5_properties_are_shown(box: BrokerBox, tmp_path: Path) -> None:
    """Content type, response topic, correlation data, user properties, retained."""
    properties = [
        *("-D", "publish", "content-type", "text/plain"),
        *("-D", "publish", "response-topic", "re"),
        *("-D", "publish", "correlation-data", "id-7"),
        *("-D", "publish", "user-property", "key", "value"),
    ]
    options = ["-V", "mqttv5", "-t", "t"]
    sent = _run(_command("mosquitto_pub", box, tmp_path, *options, *properties, "-m", "x", "-r"))
    assert sent.returncode == 0
    form = ["-C", "1", "-F", "%C|%R|%D|%P|%p"]
    got = _run(_command("mosquitto_sub", box, tmp_path, *options, *form))
    assert got.stdout == "text/plain|re|id-7|key:value|x\n"
