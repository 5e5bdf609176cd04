"""Tests of the one tree of errors: its shape, its exit codes, its sentences."""

from __future__ import annotations

import re

import pytest

from epm_task import errors
from epm_task.contract.client_id import check_job_id
from epm_task.exit_code import ExitCode

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.EpmTaskError)
}

SAMPLES = [
    errors.TaskFailed("the disk is full; remove old files"),
    errors.TemporaryFailure("the server is busy; the next run may find it idle"),
    errors.DeadlineExceeded(),
    errors.HandlerCrashed("the handler raised KeyError at task.py:3"),
    errors.ResultNotSerializable("a set is not an object"),
    errors.TopicNotDeclared("a/b", "scan", "@task(publishes=[…])"),
    errors.HandlerUnresponsive("stopped by SIGTERM", 3.5),
    errors.RecordsUndelivered(3, "no broker"),
    errors.UnknownOption("--nmae", ["--name", "--root"]),
    errors.MissingArgument("--root", "Root"),
    errors.InvalidArgument("--root", "was given twice"),
    errors.UnsubstitutedToken("--root", "{Root}"),
    errors.BadJobId("bad_id", "holds an underscore", "bad-id"),
    errors.BadClientIdTemplate("x", "{x} is not a placeholder", "{job_id}_{run_id}"),
    errors.NoAgent("epm-task run hello.py"),
    errors.SettingsError("KeyScanner", "max_bytes", "is missing"),
    errors.AgentUnreachable("https://127.0.0.1:1", 15.0, "Connection refused"),
    errors.UnknownSetting("KeyScanner"),
    errors.AgentProtocolError("https://127.0.0.1:1/x", "status 302"),
    errors.NotRegistered(4711, 15.0, 20),
    errors.BrokerUnreachable("127.0.0.1:1", 15.0, "Connection refused"),
    errors.BrokerRefused("127.0.0.1:1", "Not authorized", "scan_1"),
]


def _drawn() -> dict[str, tuple[int, str]]:
    """Return depth and exit code text of every class in the drawing of the module's docstring."""
    rows = re.findall(r"^([│├└─ ]*)(\w+)[ \t]*([\d-]*)", errors.__doc__ or "", re.MULTILINE)
    start = next(i for i, row in enumerate(rows) if row[1] == "EpmTaskError")
    tree = rows[start : start + len(CLASSES) + 4]
    return {name: (len(indent) // 4, code) for indent, name, code in tree}


def test_drawing_shows_every_class() -> None:
    """The docstring draws all classes of the module."""
    assert set(CLASSES) <= set(_drawn())


def test_drawing_shows_depth_and_code() -> None:
    """Each class stands at its own depth, with the exit code that it has."""
    for name, (depth, code) in _drawn().items():
        if (kind := CLASSES.get(name)) is None:
            continue
        assert [base.__name__ for base in kind.__mro__].index("EpmTaskError") == depth, name
        if code.isdigit():
            assert getattr(kind, "exit_code") == int(code), name  # noqa: B009


def test_families_share_an_exit_code() -> None:
    """A class without a number in the drawing has that of its family."""
    below = [kind for kind in CLASSES.values() if issubclass(kind, errors.InvocationError)]
    assert {kind.exit_code for kind in below} == {ExitCode.USAGE}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_sentence_says_what_to_do(error: errors.TaskError) -> None:
    """Every sentence is one line that goes on after what happened, with what to do."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 460
    assert isinstance(error, errors.InvalidArgument) or re.search("[;:(]", text)


def test_near_option_is_named() -> None:
    """A misspelt option is told with the one that was meant."""
    assert "did you mean --name?" in str(errors.UnknownOption("--nmae", ["--name", "--root"]))


def test_far_option_leads_to_help() -> None:
    """An option that resembles none leads to `--help`."""
    assert "see --help" in str(errors.UnknownOption("--zzz", ["--name"]))


@pytest.mark.parametrize("code", [0, 64, -1, 256])
def test_author_cannot_take_a_fixed_code(code: int) -> None:
    """TaskFailed refuses a code that means something else."""
    with pytest.raises(ValueError, match="must be 1 to 63"):
        errors.TaskFailed("x", exit_code=code)


@pytest.mark.parametrize(
    ("job_id", "repaired"),
    [("bad_id", "bad-id"), ("_x", "x"), ("ä b", "b"), ("…", "my-job"), ("", "my-job")],
)
def test_bad_job_id_comes_with_a_good_one(job_id: str, repaired: str) -> None:
    """The refusal of a job id shows one that would do."""
    with pytest.raises(errors.BadJobId, match=f"for example {re.escape(repr(repaired))}"):
        check_job_id(job_id)
