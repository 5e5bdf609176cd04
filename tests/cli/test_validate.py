"""Tests of `epm-task validate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli.command import EXAMPLES, epm_task, task_file
from job import sarif_rules

from epm_task.job.rules import RULES

LINTS = Path(__file__).parents[1] / "job" / "lints"
GOOD = LINTS / "good" / "EPM003.json"
BAD = LINTS / "bad" / "EPM003.json"

PUBLISHER = """
from epm_task import Topic, task

@task(job_id="scan", publishes=[Topic("News")], timeout_seconds=60)
def scan() -> None: ...
"""


def write_job(folder: Path, **fields: Any) -> Path:
    """Write a good job named scan, with other fields, and return its file."""
    document = {**json.loads(GOOD.read_text()), "id": "scan", **fields}
    path = folder / "scan.json"
    path.write_text(json.dumps(document, indent=2))
    return path


def test_the_bad_files_show_every_code_once() -> None:
    """One line each: place, code, what, fix."""
    ended = epm_task("validate", LINTS / "bad")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == list(RULES)
    assert ended.err == [
        "27 documents checked, 27 findings in 27 files; epm-task explain CODE says more"
    ]


def test_the_good_files_show_nothing() -> None:
    """Exit code 0."""
    ended = epm_task("validate", LINTS / "good")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == ["27 documents checked, nothing found"]


def test_json() -> None:
    """The same for programs."""
    answer = json.loads(epm_task("validate", LINTS / "bad", GOOD, "--json").out)
    assert (answer["valid"], answer["documents"]) == (False, 28)
    assert [finding["code"] for finding in answer["findings"]] == list(RULES)
    assert answer["findings"][3] == {
        "file": str(BAD),
        "line": 10,
        "column": 28,
        "code": "EPM003",
        "severity": "error",
        "pointer": "/mqttTopics/allowedPublications",
        "what": "mqttTopics.allowedPublications lacks KeeperLogger, so log records vanish",
        "fix": 'add "KeeperLogger" to the list',
    }
    assert json.loads(epm_task("validate", GOOD, "--json").out)["valid"] is True


def test_sarif() -> None:
    """A log that code hosts take."""
    ended = epm_task("validate", LINTS / "bad", "--sarif")
    log = json.loads(ended.out)
    sarif_rules.check(log)
    assert (ended.code, len(log["runs"][0]["results"])) == (1, 27)


def test_rules_are_selected_and_ignored() -> None:
    """By options, which may stand several times or hold commas."""
    select = ("--select", "EPM003,epm004", "--select", "EPM005")
    ended = epm_task("validate", LINTS / "bad", *select, "--ignore", "EPM004", "--json")
    codes = [finding["code"] for finding in json.loads(ended.out)["findings"]]
    assert codes == ["EPM000", "EPM003", "EPM005"]


def test_a_project_ignores_rules(tmp_path: Path) -> None:
    """In its pyproject.toml, upward from the file; options come on top."""
    folder = tmp_path / "Jobs"
    folder.mkdir()
    job = write_job(folder, priority=11, events=["Startup"])
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\nignore = ["EPM012"]\n')
    found = epm_task("validate", job).out
    assert "EPM021" in found
    assert "EPM012" not in found
    assert epm_task("validate", job, "--ignore", "EPM021").code == 0


def test_documents_are_compared_with_the_code(tmp_path: Path) -> None:
    """When both are named; what the code prints on import is no finding."""
    job = write_job(tmp_path, mqttTopics={"allowedPublications": ["KeeperLogger"]})
    code = task_file(tmp_path, f"print('looked at')\n{PUBLISHER}")
    assert epm_task("validate", job).code == 0
    ended = epm_task("validate", job, code, "--select", "EPM026")
    assert (ended.code, ended.out.count("EPM026")) == (1, 1)
    assert "the code publishes on News" in ended.out


def test_code_is_validated_too() -> None:
    """A finding points at the function."""
    ended = epm_task("validate", *sorted(EXAMPLES.glob("*.py")), "--select", "EPM024")
    line = (
        (EXAMPLES / "key_scanner.py")
        .read_text()
        .splitlines()
        .index('@task(job_id="key-scanner", every_minutes=60, timeout_seconds=600)')
    )
    assert ended.code == 1
    assert ended.out.startswith(f"{EXAMPLES / 'key_scanner.py'}:{line + 1}:1: EPM024 ")
    assert epm_task("validate", EXAMPLES / "typed_settings.py").code == 0


def test_what_is_no_document_is_one_finding(tmp_path: Path) -> None:
    """Whatever it is."""
    broken = [
        (b"no", "no is no JSON value"),
        ('{"id": 1}'.encode("utf-16"), "this is UTF-16"),
        (b" " * 50_000_000, "more than 1048576 bytes"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b"[]", "a job is an object"),
        (b"", "it is empty"),
    ]
    for number, (data, _) in enumerate(broken):
        (tmp_path / f"{number}.json").write_bytes(data)
    ended = epm_task("validate", tmp_path)
    assert ended.code == 1
    for line, (_, why) in zip(ended.out.splitlines(), broken, strict=True):
        assert "EPM000 this is no job document: " in line
        assert why in line


def test_a_document_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Its escape sequences are shown, not obeyed."""
    ended = epm_task("validate", write_job(tmp_path, eventTopic="\x1b[2J\n"))
    assert "\x1b" not in ended.out
    assert "\\x1b[2J" in ended.out


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    """With exit code 2."""
    for words, why in (
        (["absent.json"], "there is no file absent.json"),
        ([GOOD, "--select", "EPM999"], "there is no rule EPM999"),
    ):
        ended = epm_task("validate", *words, cwd=tmp_path)
        assert (ended.code, ended.out, len(ended.err)) == (2, "", 1)
        assert why in ended.err[0]
