"""Tests of `epm-task validate`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import add_binary, job_document, options_of
from cli.command import EXAMPLES, epm_task, task_file
from cli.command_line import epm_task as in_process
from job import sarif_rules

from epm_task.cli.job import lint_targets
from epm_task.errors import EpmTaskError
from epm_task.job.linter import markdown, overview, page
from epm_task.job.rule import Finding
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.testing import Agent

LINTS = Path(__file__).parents[1] / "job" / "lints"
GOOD = LINTS / "good" / "EPM003.json"
BAD = LINTS / "bad" / "EPM003.json"
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"

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


def test_the_bad_files_show_every_code_once(time_zone: Callable[[str], None]) -> None:
    """One line each: place, code, what, fix."""
    time_zone(BERLIN)
    ended = epm_task("validate", LINTS / "bad")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == list(RULES)
    counts = "{0} documents checked, {0} findings in {0} files".format(len(RULES))
    assert ended.err == [f"{counts}; epm-task explain CODE says more"]


def test_the_good_files_show_nothing() -> None:
    """Exit code 0."""
    ended = epm_task("validate", LINTS / "good")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == [f"{len(RULES)} documents checked, nothing found"]


def test_json(time_zone: Callable[[str], None]) -> None:
    """The same for programs."""
    time_zone(BERLIN)
    answer = json.loads(epm_task("validate", LINTS / "bad", GOOD, "--json").out)
    assert (answer["valid"], answer["documents"]) == (False, len(RULES) + 1)
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


def test_a_note_refuses_nothing(time_zone: Callable[[str], None]) -> None:
    """It is shown, in SARIF by its name there, and the document stays valid."""
    time_zone(BERLIN)
    noted = LINTS / "bad" / "EPM028.json"
    ended = epm_task("validate", noted)
    assert (ended.code, ended.out.count(" EPM028 ")) == (0, 1)
    answer = json.loads(epm_task("validate", noted, "--json").out)
    assert (answer["valid"], answer["findings"][0]["severity"]) == (True, "info")
    run = json.loads(epm_task("validate", noted, "--sarif").out)["runs"][0]
    assert [result["level"] for result in run["results"]] == ["note"]


def test_sarif(time_zone: Callable[[str], None]) -> None:
    """A log that code hosts take."""
    time_zone(BERLIN)
    ended = epm_task("validate", LINTS / "bad", "--sarif")
    log = json.loads(ended.out)
    sarif_rules.check(log)
    assert (ended.code, len(log["runs"][0]["results"])) == (1, len(RULES))


def test_rules_are_selected_and_ignored() -> None:
    """By options, which may be given several times or hold commas."""
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
    """When both are named; what the code prints on import is not a finding."""
    job = write_job(tmp_path, mqttTopics={"allowedPublications": ["KeeperLogger"]})
    code = task_file(tmp_path, f"print('looked at')\n{PUBLISHER}")
    assert epm_task("validate", job).code == 0
    ended = epm_task("validate", job, code, "--select", "EPM026")
    assert (ended.code, ended.out.count("EPM026")) == (1, 1)
    assert "the code publishes on News" in ended.out


def test_code_is_validated_too() -> None:
    """A finding points at the function."""
    hello = EXAMPLES / "hello.py"
    ended = epm_task("validate", *sorted(EXAMPLES.glob("*.py")), "--select", "EPM016")
    line = hello.read_text().splitlines().index("@task")
    assert ended.code == 1
    assert ended.out.startswith(f"{hello}:{line + 1}:1: EPM016 ")
    assert epm_task("validate", EXAMPLES / "typed_settings.py").code == 0


def test_what_is_no_document_is_one_finding(tmp_path: Path) -> None:
    """Whatever it is."""
    broken = [
        (b"no", "no is not JSON"),
        ('{"id": 1}'.encode("utf-16"), "it is UTF-16"),
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
        assert "EPM000 this is not a job document: " in line
        assert why in line


def test_a_document_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Its escape sequences are shown, not obeyed."""
    ended = epm_task("validate", write_job(tmp_path, eventTopic="\x1b[2J\n"))
    assert "\x1b" not in ended.out
    assert "\\x1b[2J" in ended.out


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    """With exit code 2."""
    for words, why in (
        (["absent.json"], "absent.json does not exist"),
        ([GOOD, "--select", "EPM999"], "EPM999"),
    ):
        ended = epm_task("validate", *words, cwd=tmp_path)
        assert (ended.code, ended.out, len(ended.err)) == (2, "", 1)
        assert why in ended.err[0]


CODE = """
from epm_task import task
from epm_task.job import Job

@task
def scan(): ...

@task
def report(): ...

nightly = Job(id="nightly", tasks=[report])
"""


def write_jobs(folder: Path, *ids: str) -> None:
    """Write one small document for each id."""
    for job_id in ids:
        (folder / f"{job_id}.json").write_text(json.dumps({"id": job_id}))


def test_a_folder_stands_for_its_documents(tmp_path: Path) -> None:
    """In the order of their names, not those below it; each knows its neighbours."""
    write_jobs(tmp_path, "b", "a")
    (tmp_path / "bin").mkdir()
    write_jobs(tmp_path / "bin", "data")
    (tmp_path / "notes.txt").write_text("x")
    targets = lint_targets([tmp_path])
    assert [target.name for target in targets] == [
        str(tmp_path / "a.json"),
        str(tmp_path / "b.json"),
    ]
    for target in targets:
        assert isinstance(target.content, Subject)
        assert target.content.neighbours == frozenset({"a", "b"})


def test_code_stands_for_its_jobs(tmp_path: Path) -> None:
    """With the line of the first task of each."""
    nightly, scan = lint_targets([task_file(tmp_path, CODE)])
    for target, job_id, line in ((nightly, "nightly", 8), (scan, "scan", 5)):
        assert isinstance(target.content, Subject)
        assert (target.content.document.raw["id"], target.line) == (job_id, line)


def test_documents_know_their_code(tmp_path: Path) -> None:
    """Named beside them, in whatever order, or by the project; else they have none."""
    code = task_file(tmp_path, CODE)
    jobs = tmp_path / "Jobs"
    jobs.mkdir()
    write_jobs(jobs, "nightly", "other")
    known = [
        target.content.job
        for target in lint_targets([jobs, code])[:2]
        if isinstance(target.content, Subject)
    ]
    assert [job.id if job else None for job in known] == ["nightly", None]
    (target, _) = lint_targets([jobs])
    assert isinstance(target.content, Subject)
    assert target.content.job is None
    (jobs / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["../my_task.py"]\n')
    (target, _) = lint_targets([jobs])
    assert isinstance(target.content, Subject)
    assert target.content.job is not None


def test_what_is_no_document_is_a_finding(tmp_path: Path) -> None:
    """The others are inspected all the same."""
    (tmp_path / "a.json").write_text("[")
    write_jobs(tmp_path, "b")
    broken, good = lint_targets([tmp_path])
    assert isinstance(broken.content, Finding)
    assert broken.content.code == "EPM000"
    assert isinstance(good.content, Subject)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent.json", "does not exist"),
        ("empty", "holds no job documents"),
        ("none.py", "holds no task"),
        ("broken.py", "cannot be imported: ZeroDivisionError"),
        ("wrong/a.json", "must be a list of texts"),
        ("lost/a.json", "gone.py does not exist; correct tasks"),
    ],
)
def test_wrong_paths(tmp_path: Path, name: str, why: str) -> None:
    """One sentence each."""
    for folder, text in (("wrong", "ignore = 5"), ("lost", 'tasks = ["gone.py"]')):
        (tmp_path / folder).mkdir()
        write_jobs(tmp_path / folder, "a")
        (tmp_path / folder / "pyproject.toml").write_text(f"[tool.epm-task]\n{text}\n")
    (tmp_path / "empty").mkdir()
    task_file(tmp_path, "import epm_task", "none.py")
    task_file(tmp_path, "import epm_task\n1 / 0", "broken.py")
    with pytest.raises(EpmTaskError, match=why):
        lint_targets([tmp_path / name])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A job file in which the rules find nothing, and whose binary only the agent can miss."""
    path = tmp_path / "probe.json"
    path.write_text(json.dumps(job_document()))
    return path


def test_the_agent_refuses_what_no_rule_can_see(agent: Agent, file: Path) -> None:
    """The binary is not there."""
    assert in_process("validate", file).exit_code == 0
    ended = in_process("validate", file, "--live", *options_of(agent))
    assert ended.exit_code == 1
    assert f"{file}:1:1: AGENT the agent refuses the job: binary not found" in ended.out


def test_a_job_that_the_agent_takes_has_no_finding(agent: Agent, file: Path) -> None:
    """Nothing is stored by asking."""
    add_binary(agent)
    ended = in_process("validate", file, "--live", "--json", *options_of(agent))
    assert json.loads(ended.out) == {"valid": True, "documents": 1, "findings": []}
    assert agent.jobs.ids() == []


def test_warnings_of_the_agent_are_findings_too(agent: Agent, file: Path) -> None:
    """With their level."""
    add_binary(agent)
    file.write_text(json.dumps(job_document(mqttTopics={})))
    ended = in_process("validate", file, "--live", "--json", *options_of(agent))
    levels = {f["severity"] for f in json.loads(ended.out)["findings"] if f["code"] == "AGENT"}
    assert levels == {"warning"}


def test_an_agent_that_cannot_be_asked_is_an_error(file: Path) -> None:
    """Its exit code is that of the admin client; without --live nobody is asked."""
    ended = in_process("validate", file, "--live", "--base-url", "https://127.0.0.1:9")
    assert (ended.exit_code, "no answer from the agent" in ended.err) == (69, True)


def test_a_page() -> None:
    """In any case of the code."""
    assert epm_task("explain", "epm003").out == page(RULES["EPM003"])


def test_all_codes() -> None:
    """One line each."""
    assert epm_task("explain").out == overview()


def test_markdown() -> None:
    """What docs/lints.md holds."""
    assert epm_task("explain", "--markdown").out == markdown()


def test_rules_for_programs() -> None:
    """One rule, or all of them."""
    rules = json.loads(epm_task("explain", "--json").out)["rules"]
    assert [rule["code"] for rule in rules] == list(RULES)
    (rule,) = json.loads(epm_task("explain", "EPM003", "--json").out)["rules"]
    assert (rule["severity"], rule["page"]) == ("error", RULES["EPM003"].page)


def test_an_unknown_code_is_one_line() -> None:
    """With a proposal."""
    ended = epm_task("explain", "EPM03")
    assert (ended.code, ended.out, len(ended.err)) == (2, "", 1)
    assert "no rule has the code EPM03" in ended.err[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_a_sarif_log_names_a_file_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """By its bytes, percent-encoded; nothing in the log is half a character."""
    file = tmp_path / os.fsdecode(b"b\xffd.json")
    file.write_text('{"id": "scan"}')
    ended = in_process("validate", file, "--sarif")
    assert ended.exit_code == 1
    json.loads(ended.out.encode())
    results = json.loads(ended.out)["runs"][0]["results"]
    places = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results}
    assert places == {f"{tmp_path}/b%FFd.json"}
    assert "udcff" not in ended.out.replace("\\\\udcff", "")
