"""A secret leaves a run on no way: records, publications, the result, the last line."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from peers.http_answer import ok
from peers.http_peer import HttpPeer
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import run_task, settings

from epm_task.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

#: In an argument's file, in the agent's settings, and told by the author.
FIRST_LINE, SECOND_LINE = "argument-secret-1", "argument-secret-2"
SETTING, TOLD = "setting-secret", 'told "secret"\\'
#: As the agent holds them: below models, in lists and mappings, and of bytes.
VAULT = {
    "token": SETTING,
    "inner.key": "inner-secret",
    "many": '["listed-secret"]',
    "table": '{"a":"mapped-secret"}',
    "maybe": "optional-secret",
    "raw": "bytes-secret",
}
#: Longer than what pydantic shows of a value.
LONG = "".join(chr(97 + n % 26) + str(n % 10) for n in range(40))
#: What none of it may show: of the long one, no eight characters.
PIECES = {
    *(FIRST_LINE, SECOND_LINE, SETTING, TOLD, json.dumps(TOLD)[1:-1], "told"),
    *("inner-secret", "listed-secret", "mapped-secret", "optional-secret", "bytes-secret"),
    *(LONG[at : at + 8] for at in range(len(LONG) - 7)),
    *(base64.b64encode(f"user:{each}".encode()).decode()[8:-4] for each in (FIRST_LINE, LONG)),
}

HEAD = f"""
import asyncio, base64, json, logging, os, sys, threading, time, traceback, warnings
from urllib.parse import quote
from pydantic import BaseModel, SecretBytes, SecretStr
from epm_task import TaskContext, TaskFailed, TaskSettings, Topic, task

FINDINGS = Topic("Jobs/key-scanner/findings")
TOLD = {TOLD!r}


class Inner(BaseModel):
    key: SecretStr


class Number(BaseModel):
    n: int


class Settings(TaskSettings, plugin="Vault"):
    token: SecretStr
    inner: Inner
    many: list[SecretStr]
    table: dict[str, SecretStr]
    maybe: SecretStr | None = None
    raw: SecretBytes


@task(job_id="key-scanner", publishes=[FINDINGS], timeout_seconds=20)
def program(
    ctx: TaskContext, settings: Settings, *, password: SecretStr, long: list[SecretStr]
) -> object:
    ctx.mask(TOLD.encode())
    held = [settings.token, settings.inner.key, *settings.many, *settings.table.values()]
    held += [settings.maybe, *long]
    secrets = [*password.get_secret_value().split(), *(s.get_secret_value() for s in held)]
    secrets += [settings.raw.get_secret_value().decode(), TOLD]
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
    "thread names at the deadline": """
    threading.Thread(target=time.sleep, args=(60,), name=text, daemon=True).start()
    threading.current_thread().name = text
    ctx.stopping.wait()
""",
    "task of a loop": """
    async def go():
        async def fail(): raise ValueError(text)
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(), name=text)
    asyncio.run(go())
""",
    "notes, causes, groups": """
    error = TaskFailed("m")
    error.add_note(text)
    raise error from ExceptionGroup(text, [ValueError(secrets), KeyError(text)])
""",
    "value in an error of pydantic": "Number(n=secrets[0])",
    "long value in an error of pydantic": "Number(n=secrets[-3])",
    "forms": """
    ctx.log.info("m", a=json.dumps(json.dumps(secrets)), b=quote(text), c=repr(text.encode()))
    basic = [base64.b64encode(f"user:{s}".encode()).decode() for s in secrets]
    ctx.log.info("m", basic=basic)
""",
    "print": """
    print(text, secrets, sep=chr(10))
    sys.stderr.writelines(secrets)
""",
    "traceback": """
    try:
        raise ValueError(secrets)
    except ValueError:
        traceback.print_exc()
""",
    "handler of a library": """
    logging.basicConfig(force=True)
    logging.getLogger().warning(text)
""",
    "child": """
    if not (child := os.fork()):
        print(text)
        raise ValueError(text)
    os.waitpid(child, 0)
""",
    "unraisable": """
    class Odd:
        def __del__(self):
            raise ValueError(text)
    Odd()
""",
}


@pytest.mark.parametrize(
    "denied", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["taken", "denied"]
)
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=pytest.mark.posix("it forks")) if "os.fork" in code else way
        for way, code in WAYS.items()
    ],
)
def test_secret_leaves_on_no_way(tmp_path: Path, way: str, *, denied: bool) -> None:
    """Whatever is done with secrets, asterisks are all that is seen of them."""
    program = tmp_path / "program.py"
    program.write_text(f"{HEAD}    {WAYS[way].strip()}\n\nprogram.main()\n")
    files = {"password": f"{FIRST_LINE}\n{SECOND_LINE}\n", "long": LONG}
    for name, secret in files.items():
        write_atomically(tmp_path / name, secret.encode())
    reasons = {"KeeperLogger": 0x87, "Jobs/key-scanner/findings": 0x87} if denied else {}
    everything = ""
    # A busy machine reaches a short deadline before the handler has begun.
    for deadline in (1, BUSY) if "deadline" in way else (10 * PATIENCE,):
        with (
            MqttPeer(puback_reasons=reasons) as broker,
            HttpPeer([ok(settings(broker.port)), ok(VAULT)]) as agent,
        ):
            ended = run_task(
                program,
                *(f"--{name}-file={tmp_path / name}" for name in files),
                *("--flush-timeout=1", f"--deadline={deadline}"),
                agent=agent.base_url,
                environment={"PYTHONWARNINGS": "always"},
            )
        assert ended.exit_code in {0, 1, 70, 124}, ended.stderr
        everything = b"\n".join([ended.stdout, ended.stderr, *broker.payloads]).decode()
        if "********" in everything:
            break
    assert "********" in everything
    for piece in PIECES:
        assert piece not in everything
