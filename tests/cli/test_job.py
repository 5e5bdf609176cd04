"""Tests of `epm-task job`."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cli.command import EXAMPLES, epm_task, task_file
from peers.patience import PATIENCE

from epm_task.runtime.agent.tls import client_context

if TYPE_CHECKING:
    from epm_task.simulator.embedded import Agent

SCAN = '''
from pathlib import Path
from epm_task import task

@task(job_id="key-scan", every_minutes=60, timeout_seconds=60)
def scan(*, root: Path = Path("/srv")) -> dict[str, str]:
    """Scan ROOT."""
    return {"Root": str(root)}

@task(timeout_seconds=60)
def report(*, root: Path = Path("/srv"), name: str = "ä"):
    return {"report": f"{root} {name}"}

if __name__ == "__main__":
    scan.main()
'''
FILES = sorted(EXAMPLES.glob("*.py"), key=lambda path: path.name)


def register(agent: Agent, document: dict[str, Any]) -> httpx.Response:
    """Post the document as an administrator does."""
    context = client_context(agent.ca)
    context.load_cert_chain(agent.admin_cert, agent.admin_key)
    with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
        return client.post(f"{agent.base_url}/api/Jobs", json=document)


def deploy(agent: Agent, file: Path, document: dict[str, Any]) -> None:
    """Put the file where the agent looks for the commands of the document."""
    for step in document["tasks"]:
        folder = agent.root / "Jobs" / "bin" / step["command"]
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder / f"{step['command']}.py")


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_agent_takes_the_document_of_every_example(agent: Agent, file: Path) -> None:
    """As it is, without an error, once the binary is there."""
    made = epm_task("job", file)
    assert (made.code, made.err) == (0, [])
    document = json.loads(made.out)
    deploy(agent, file, document)
    answer = register(agent, document)
    assert answer.status_code == 200, answer.text
    stored = agent.root / "Jobs" / f"{document['id']}.json"
    assert stored.read_text("utf-8") == made.out


def test_a_job_of_two_tasks_runs(agent: Agent, tmp_path: Path) -> None:
    """The first task's result fills the parameter of the second."""
    file = task_file(tmp_path, SCAN)
    made = epm_task("job", f"{file}:scan", f"{file}:report")
    assert (made.code, made.err) == (0, [])
    document = json.loads(made.out)
    assert [step["id"] for step in document["tasks"]] == ["scan", "report"]
    deploy(agent, file, document)
    assert register(agent, document).status_code == 200
    root = str(Path("/tmp/a b"))
    run = agent.run_job(document, context={"Root": root})
    assert run.exit_code == 0, run.stderr
    assert run.tasks[0].result == {"Root": root}
    assert run.tasks[1].result == {"report": f"{root} ä"}


def test_check_sees_a_new_parameter(tmp_path: Path) -> None:
    """It fails when the function has one more, and passes when the document is written anew."""
    file = Path(shutil.copy(EXAMPLES / "key_scanner.py", tmp_path))
    stored = Path("Jobs", "key-scanner.json")
    assert epm_task("job", file, "--check", cwd=tmp_path).code == 1
    written = epm_task("job", file, "-o", "Jobs/", cwd=tmp_path)
    assert (written.code, written.out) == (0, "")
    assert written.err == [f"{stored}: created"]
    assert epm_task("job", file, "--check", cwd=tmp_path).code == 0
    file.write_text(file.read_text().replace("*, root", "*, depth: int = 3, root"))
    drifted = epm_task("job", file, "--check", cwd=tmp_path)
    assert drifted.code == 1
    assert f"--- {stored} (on disk)" in drifted.out
    assert '+      "name": "Depth",' in drifted.out
    output = ("-o", stored)
    assert epm_task("job", file, *output, cwd=tmp_path).err == [f"{stored}: updated"]
    assert epm_task("job", file, "--check", *output, cwd=tmp_path).code == 0
    assert epm_task("job", file, *output, cwd=tmp_path).err == [f"{stored}: unchanged"]


def test_what_people_added_stays(tmp_path: Path) -> None:
    """Unknown fields, a condition, a default; and a file that needs no change is not touched."""
    text = (EXAMPLES / "key_scanner.py").read_text("utf-8").replace(' = Path("/etc")', "")
    file, out = task_file(tmp_path, text), tmp_path / "key-scanner.json"
    epm_task("job", file, "-o", out)
    assert stat.S_IMODE(out.stat().st_mode) & 0o444 == 0o444
    document = json.loads(out.read_text())
    document["parameters"][0]["default"] = "/srv"
    by_hand = {"vendorField": [1.5, None], **document, "condition": {"any": "ä"}}
    text = json.dumps(by_hand, indent=4, ensure_ascii=False)
    out.write_text(text, encoding="utf-8")
    assert epm_task("job", file, "-o", out).err == [f"{out}: unchanged"]
    assert out.read_text("utf-8") == text
    out.write_text(text.replace('"priority": 5', '"priority": 9'), encoding="utf-8")
    assert epm_task("job", file, "-o", out).err == [f"{out}: updated"]
    assert out.read_text("utf-8") == text + "\n"


def test_json_answers(tmp_path: Path) -> None:
    """The document, the change, the drift."""
    file, out = EXAMPLES / "hello.py", tmp_path / "hello.json"
    assert json.loads(epm_task("job", file, "--json").out)["document"]["id"] == "hello"
    assert json.loads(epm_task("job", file, "--check", "-o", out, "--json").out)["drift"] is True
    answer = json.loads(epm_task("job", file, "-o", out, "--json").out)
    assert (answer["file"], answer["change"]) == (str(out), "created")
    assert answer["document"] == json.loads(out.read_text())
    answer = json.loads(epm_task("job", file, "--check", "-o", out, "--json").out)
    assert answer == {"file": str(out), "drift": False, "diff": ""}


def test_a_document_for_one_system() -> None:
    """Filter and path are spelled for it."""
    words = ("--os", "Windows", "--agent-root", r"C:\Program Files\KPM")
    document = json.loads(epm_task("job", EXAMPLES / "hello.py", *words).out)
    assert document["osFilter"] == {"windows": True, "linux": False, "macOS": False}
    path = r"C:\Program Files\KPM\Jobs\bin\Hello\Hello.exe"
    assert document["tasks"][0]["executablePath"] == path


def test_the_schema() -> None:
    """For editors; it needs no file."""
    assert json.loads(epm_task("job", "--schema").out)["title"] == "KEPM job document"


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    """With exit code 2."""
    for words, why in (
        (["absent.py"], "absent.py does not exist"),
        ([EXAMPLES / "hello.py", "--os", "amiga"], "--os amiga is unknown"),
        ([EXAMPLES / "hello.py", "--os", "linux", "--agent-root", "x"], "is not absolute on linux"),
    ):
        ended = epm_task("job", *words, cwd=tmp_path)
        assert (ended.code, ended.out, len(ended.err)) == (2, "", 1)
        assert why in ended.err[0]


@pytest.mark.parametrize("words", [["--check"], []])
def test_a_broken_file_is_not_overwritten(tmp_path: Path, words: list[str]) -> None:
    """The error has its line and column."""
    out = tmp_path / "hello.json"
    out.write_text('{\n "id": hello\n}')
    ended = epm_task("job", EXAMPLES / "hello.py", "-o", out, *words)
    assert (ended.code, len(ended.err)) == (1, 1)
    assert f"{out}:2:8: this is not a job document: hello is not JSON" in ended.err[0]
    assert out.read_text() == '{\n "id": hello\n}'
