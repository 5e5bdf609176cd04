"""Tests of the one tree of errors: its shape, its exit codes, its sentences, its remedies."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import epm_task
from epm_task import errors
from epm_task.contract.client_id import check_job_id
from epm_task.exit_code import ExitCode
from epm_task.freeze.unused import OTHER_SYSTEMS
from epm_task.runtime.outcome import OutputNotTaken, RecordsUndelivered

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(epm_task.__file__).parent
#: Without the templates, which stand in the installed package.
SOURCES = Path(__file__).parents[1] / "epm_task"
#: They carry a sentence of the author's, or show through the root what somebody else has raised.
WITHOUT_A_FIX = {
    *("ChildFailed", "TaskFailed", "TemporaryFailure", "DeadlineExceeded", "EpmTaskError"),
}

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
    errors.TopicNotDeclared("'a/b' is not declared", "add it: @task(publishes=[…])"),
    errors.HandlerUnresponsive("stopped by SIGTERM", 3.5),
    RecordsUndelivered(3, "no broker"),
    OutputNotTaken("the result was", "stdout", 3),
    errors.SystemExhausted("Too many open files"),
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
    tree = rows[start : start + len(CLASSES) + 6]
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
def test_sentence_is_made_of_its_parts(error: errors.TaskError) -> None:
    """Every sentence is one line: what happened, why, and what to do."""
    assert "\n" not in str(error)
    assert len(str(error)) < 460
    assert str(error) == errors.sentence(error.what, error.why, error.fix)
    assert error.fix or type(error).__name__ in WITHOUT_A_FIX


def _all_classes(root: type[errors.EpmTaskError]) -> Iterator[type[errors.EpmTaskError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _all_classes(kind)


@pytest.fixture(scope="module")
def package() -> set[type[errors.EpmTaskError]]:
    """Import the whole package, and return its errors."""
    foreign = {*OTHER_SYSTEMS}
    if sys.platform != "win32":
        foreign.add("epm_task.simulator.processes.windows")
    for module in pkgutil.walk_packages([str(PACKAGE)], "epm_task."):
        if module.name not in foreign and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {kind for kind in _all_classes(errors.EpmTaskError) if "epm_task" in kind.__module__}


def _gives_a_fix(call: ast.Call) -> bool:
    names = {keyword.arg for keyword in call.keywords}
    passed_on = None in names or any(isinstance(one, ast.Starred) for one in call.args)
    return len(call.args) >= 3 or "fix" in names or passed_on


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def test_no_error_is_without_a_fix(package: set[type[errors.EpmTaskError]]) -> None:
    """Whoever makes an error from a sentence's parts says what to do about it."""
    plain = {kind.__name__ for kind in package if kind.__init__ is errors.EpmTaskError.__init__}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in plain - WITHOUT_A_FIX:
                assert _gives_a_fix(node), f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_no_class_of_errors_is_without_a_fix(package: set[type[errors.EpmTaskError]]) -> None:
    """A class that makes its own sentence gives a fix, too."""
    named = {kind.__name__ for kind in package} - WITHOUT_A_FIX
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name in named:
                calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
                made = [one for one in calls if ast.unparse(one.func) == "super().__init__"]
                assert all(map(_gives_a_fix, made)), f"{path}:{node.lineno}: {node.name}"


def test_families_elsewhere_are_drawn(package: set[type[errors.EpmTaskError]]) -> None:
    """The drawing names each family whose classes are in another file."""
    for kind in package - set(CLASSES.values()):
        if kind.__base__ is errors.EpmTaskError and kind.__subclasses__():
            assert kind.__name__ in (errors.__doc__ or "")


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
