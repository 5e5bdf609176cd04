"""A secret leaves a run on no way: records, publications, the result, the last line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from peers.http_answer import ok
from peers.http_peer import HttpPeer
from peers.mqtt_peer import MqttPeer
from peers.task_process import run_task, settings

if TYPE_CHECKING:
    from pathlib import Path

#: In an argument's file, in the agent's settings, and told by the author.
FIRST_LINE, SECOND_LINE = "argument-secret-1", "argument-secret-2"
SETTING, TOLD = "setting-secret", 'told "secret"\\'

HEAD = f"""
import logging, threading, warnings
from pydantic import SecretStr
from epm_task import TaskContext, TaskFailed, TaskSettings, Topic, task

FINDINGS = Topic("Jobs/key-scanner/findings")
TOLD = {TOLD!r}


class Settings(TaskSettings, plugin="Vault"):
    token: SecretStr


@task(job_id="key-scanner", publishes=[FINDINGS])
def program(ctx: TaskContext, settings: Settings, *, password: SecretStr) -> object:
    ctx.mask(TOLD)
    secrets = [*password.get_secret_value().split(), settings.token.get_secret_value(), TOLD]
    text = " and ".join(secrets)
"""

WAYS = {
    "message": "ctx.log.info(text)",
    "field": "ctx.log.info('m', a={text: [text]}, b=repr(secrets), c=text.encode())",
    "logging": "logging.getLogger(text).warning('%s', text)",
    "warning": "warnings.warn(text)",
    "exception": """
    try:
        raise ValueError(secrets)
    except ValueError:
        ctx.log.exception("m")
""",
    "crash": "raise KeyError(text)",
    "failure": "raise TaskFailed(text)",
    "publication": "ctx.publish(FINDINGS, {text: text})",
    "result": "return {text: secrets}",
    "thread": """
    def work():
        raise ValueError(text)
    thread = threading.Thread(target=work, name=text)
    thread.start()
    thread.join()
""",
    "thread left": """
    threading.Thread(target=threading.Event().wait, name=text).start()
""",
    "unraisable": """
    class Odd:
        def __del__(self):
            raise ValueError(text)
    Odd()
""",
}


@pytest.mark.parametrize("denied", [False, True], ids=["taken", "denied"])
@pytest.mark.parametrize("way", WAYS)
def test_secret_leaves_on_no_way(tmp_path: Path, way: str, *, denied: bool) -> None:
    """Whatever is done with secrets, asterisks are all that is seen of them."""
    program, file = tmp_path / "program.py", tmp_path / "secret"
    program.write_text(f"{HEAD}    {WAYS[way].strip()}\n\nprogram.main()\n")
    file.write_text(f"{FIRST_LINE}\n{SECOND_LINE}\n")
    file.chmod(0o600)
    reasons = {"KeeperLogger": 0x87, "Jobs/key-scanner/findings": 0x87} if denied else {}
    with (
        MqttPeer(puback_reasons=reasons) as broker,
        HttpPeer([ok(settings(broker.port)), ok({"token": SETTING})]) as agent,
    ):
        ended = run_task(
            program,
            f"--password-file={file}",
            "--flush-timeout=1",
            agent=agent.base_url,
            environment={"PYTHONWARNINGS": "always"},
        )
    assert ended.exit_code in {0, 1, 70}, ended.stderr
    everything = b"\n".join([ended.stdout, ended.stderr, *broker.payloads]).decode()
    assert "********" in everything
    shown = json.dumps(TOLD)[1:-1]
    for secret in (FIRST_LINE, SECOND_LINE, SETTING, TOLD, shown, "told"):
        assert secret not in everything
