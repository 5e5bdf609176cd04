"""Tests of the import floor: the modules that a whole run loads, and above all those it does not.

Each name below costs a task milliseconds at every start, or brings code into a privileged process
that it never uses.
"""

from __future__ import annotations

import pytest
from peers.mqtt_peer import MqttPeer
from peers.task_process import agent_with, run_task

#: Loaded by no task, whatever it asks for.
NEVER = {
    *("typer", "click", "rich", "pygments", "cryptography", "cronsim", "psutil"),
    *("pytest", "cookiecutter", "PyInstaller", "multiprocessing", "unittest"),
    *("epm_task.simulator", "epm_task.admin", "epm_task.cli", "epm_task.job", "epm_task.testing"),
    *("epm_task.pytest_plugin",),
}
#: Loaded by those tasks alone that ask for it: by a type, or by using it.
ON_DEMAND = {
    *("pydantic", "pydantic_settings", "structlog", "dataclasses", "inspect"),
    *("asyncio", "httpcore", "anyio", "certifi", "idna", "shutil", "uuid"),
    *("epm_task.contract.progress", "epm_task.runtime.progress"),
}
#: 220 and 338 on Linux with Python 3.11; the rest is room for other versions.
MOST_MODULES = 245
MOST_TYPED_MODULES = 370
#: Measuring coverage loads modules of its own into a child.
QUIET = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}


@pytest.fixture(scope="module")
def plain() -> frozenset[str]:
    """Return the modules of a run without a settings model, records included."""
    return _modules_of("modules.py")


def _modules_of(program: str) -> frozenset[str]:
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task(program, agent=agent.base_url, environment=QUIET)
    assert ended.exit_code == 0, ended.stderr
    return frozenset(
        next(line for line in ended.stderr.decode().splitlines() if " json " in line).split()
    )


@pytest.mark.parametrize("name", sorted(NEVER | ON_DEMAND))
def test_plain_task_does_not_load(plain: frozenset[str], name: str) -> None:
    """A task without a settings model pays for none of these."""
    assert name not in plain


def test_plain_task_loads_what_it_uses(plain: frozenset[str]) -> None:
    """The list is that of a whole run: both clients, the log and the spine are in it."""
    assert {"httpx", "paho.mqtt.client", "epm_task.runtime.spine"} <= plain


def test_plain_task_loads_few_modules(plain: frozenset[str]) -> None:
    """The number of modules does not creep up."""
    assert len(plain) <= MOST_MODULES


def test_settings_model_loads_pydantic() -> None:
    """Who asks for typed settings gets pydantic, and still none of the others."""
    found = _modules_of("typed_modules.py")
    assert {"pydantic", "pydantic_settings"} <= found
    assert not found & {"typer", "click", "rich", "cryptography", "httpcore", "certifi"}
    assert not {name for name in NEVER if name.startswith("epm_task.")} & found
    assert not found & {"asyncio", "concurrent.futures", "dotenv", "gettext", "structlog"}
    assert len(found) <= MOST_TYPED_MODULES


@pytest.mark.parametrize("option", ["--help", "--version", "--task=nobody"])
def test_answer_for_people_loads_little(option: str) -> None:
    """What needs no agent needs neither of the clients, no log and no settings model."""
    ended = run_task("hello.py", option, environment={**QUIET, "PYTHONPROFILEIMPORTTIME": "1"})
    lines = ended.stderr.decode().splitlines()
    found = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "epm_task.runtime.handler" in found
    assert not found & {"httpx", "structlog", "paho", "paho.mqtt", "ssl", *NEVER, *ON_DEMAND}
