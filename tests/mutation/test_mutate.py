"""The lists of the mutation tool fit the package: what they name is there, and once."""

from __future__ import annotations

import sys
import tomllib

import pytest
from mutants import mutants_of
from mutate import HERE, ROOT, RUNTIME, controls, sample

PLAN = tomllib.loads((HERE / "generic.toml").read_text("utf-8"))


def test_every_control_can_be_removed() -> None:
    """Its text stands once in its file, and its tests exist."""
    changes = controls()
    assert len({change.name for change in changes}) == len(changes) > 66
    for change in changes:
        for test in change.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).exists()
            assert not name or f"def {name}" in (ROOT / file).read_text("utf-8")


def test_every_equivalent_mutant_is_one() -> None:
    """The tool would make it, and the list says why no test can notice it."""
    for entry in PLAN["equivalent"]:
        mutants = mutants_of((RUNTIME / entry["file"]).read_text("utf-8"))
        functions = {mutant.function for mutant in mutants}
        assert functions.issuperset(entry.get("functions", ())), entry
        if "was" in entry:
            assert (entry["was"], entry["now"]) in {(m.was, m.now) for m in mutants}, entry
        assert entry["why"]


def test_every_module_has_tests() -> None:
    """The files that are named exist, and a sample is the same for the same seed."""
    modules = [path.relative_to(RUNTIME).as_posix() for path in RUNTIME.rglob("*.py")]
    assert set(PLAN["tests"]) <= set(modules)
    assert all((ROOT / "tests/runtime" / f).exists() for fs in PLAN["tests"].values() for f in fs)
    assert all(change.tests for change in sample(modules, 1, 1))
    assert sample(["stop.py"], 5, 1) == sample(["stop.py"], 5, 1) != sample(["stop.py"], 5, 2)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("if a < b: c()", {"if a <= b: c()", "if a < b: pass"}),
        ("return not a", {"return None", "return bool(a)"}),
        ("with a: b = 1", {"with __import__('contextlib').nullcontext(): b = 1", "with a: b = 2"}),
        ("x: int = f(1)", {"x: int = f(2)"}),
        ("return f'{a + 1}'", {"return None"}),
    ],
)
def test_a_function_is_changed_in_one_place(line: str, changed: set[str]) -> None:
    """Annotations and texts for people stay."""
    found = mutants_of(f"LIMIT = 1\ndef function(a: 'b < c' = 1) -> 'd | e':\n    {line}\n")
    assert {mutant.now for mutant in found} == changed
    assert {mutant.function for mutant in found} == {"function"}


@pytest.mark.parametrize("platform", [sys.platform, "another"])
def test_a_module_of_another_system_is_left_alone(platform: str) -> None:
    """No test of this system can run it."""
    text = f"assert sys.platform == '{platform}'\ndef function():\n    return g()\n"
    assert [m.now for m in mutants_of(text)] == ["return None"] * (platform == sys.platform)
