"""The forms in which an agent may have its certificate, below each Python of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.mqtt_peer import MqttPeer
from peers.task_process import assert_failed, run_task, settings
from peers.tls import certificate_pem

import epm_task

if TYPE_CHECKING:
    from peers.tls import Variant

#: The packages of this environment: those that a task without a settings model needs are plain
#: Python, so that another version of it can use them.
_PACKAGES = (Path(epm_task.__file__).parents[1], sysconfig.get_path("purelib"))
_OWN = "{}.{}".format(*sys.version_info)
_VERSIONS = [
    pytest.param(version, marks=[] if version == _OWN else pytest.mark.slow)
    for version in ("3.11", "3.12", "3.13")
]


@cache
def _interpreter(version: str) -> str:
    """Return a Python of this version, from PATH or from pyenv; skip the test without one."""
    if version == _OWN:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in [f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python"))]:
        program = shutil.which(found)
        command = [program or "", "-c", f"import ssl, sys; assert sys.version[:4] == {version!r}"]
        if program and not subprocess.run(command, capture_output=True, check=False).returncode:
            return program
    pytest.skip(f"there is no Python {version} on this machine")


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize(
    ("served", "trusted", "code"),
    [
        pytest.param("ip-san", "ip-san", 0, id="self-signed CA, names the address"),
        pytest.param("leaf-ip-san", "leaf-ip-san", 0, id="self-signed leaf, names the address"),
        pytest.param("leaf", "leaf", 0, id="self-signed leaf, names another host"),
        pytest.param("issued", "issued", 0, id="issued, with the identifier of the key"),
        pytest.param("issued-bare", "issued-bare", 0, id="issued, without the identifier"),
        pytest.param("wrong-name", "wrong-name", 78, id="self-signed CA, names another host"),
        pytest.param("issued", "ip-san", 78, id="issued by another CA"),
        pytest.param("expired", "expired", 78, id="expired"),
    ],
)
def test_form_of_the_certificate(
    tmp_path: Path, version: str, served: Variant, trusted: Variant, code: int
) -> None:
    """With `--ca-file` the same forms are accepted by all versions, and the same are refused."""
    interpreter = _interpreter(version)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(certificate_pem(trusted))
    with (
        MqttPeer(certificate=served) as broker,
        HttpPeer([answer.ok(settings(broker.port))], certificate=served) as agent,
    ):
        ended = run_task(
            "records.py",
            "--count=1",
            f"--ca-file={bundle}",
            "--registration-timeout=5",
            agent=agent.base_url,
            environment={"PYTHONPATH": os.pathsep.join(map(str, _PACKAGES))},
            interpreter=[interpreter],
        )
    if code:
        assert_failed(ended, code, "certificate")
        assert (agent.requests, broker.connects) == ([], [])
    else:
        assert ended.exit_code == 0, ended.stderr
        assert len(broker.payloads) == 1
