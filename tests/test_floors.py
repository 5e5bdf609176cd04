"""Tests of the house: imports go downward only, and the lower floors know few libraries."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "epm_task"

#: The floor of a place; the longest prefix counts.
FLOORS = {
    "exit_code": 0,
    "errors": 0,
    "shadows": 0,
    "files": 0,
    "process_group": 0,
    "trust": 0,
    "windows_security": 0,
    "below": 0,
    "contract": 0,
    "runtime": 1,
    "job": 2,
    "admin": 3,
    "simulator": 3,
    "scaffold": 3,
    "freeze": 4,
    "testing": 4,
    "pytest_plugin": 4,
    "cli": 5,
    "__main__": 6,
}
#: On one floor, who may import whom.
NEIGHBOURS = {
    ("errors", "exit_code"),
    ("files", "windows_security"),
    ("trust", "errors"),
    ("trust", "files"),
    ("trust", "windows_security"),
    ("below", "errors"),
    ("below", "trust"),
    ("contract", "errors"),
    ("contract", "exit_code"),
    ("contract", "trust"),
    ("pytest_plugin", "testing"),
}
#: What a place may import beside the standard library and lower floors.
LIBRARIES = {
    "exit_code": set(),
    "errors": set(),
    "shadows": set(),
    "files": set(),
    "process_group": set(),
    "trust": set(),
    "windows_security": set(),
    "below": set(),
    "contract": {"cronsim"},
    "runtime": {"httpx", "paho", "structlog", "pydantic", "pydantic_core", "pydantic_settings"},
    "job": {"pydantic", "cronsim"},
    "admin": {"httpx", "cryptography", "pydantic", "psutil", "paho"},
    "simulator": {"h11", "cryptography", "cronsim", "psutil", "paho"},
}
#: A file has one concept, and none of these is one.
NAMES_WITHOUT_A_CONCEPT = {
    *("utils", "util", "common", "helpers", "helper", "base", "core", "manager", "types"),
    *("constants", "misc", "shared", "impl"),
}
#: Each file of a verb, of a theme of rules and of a system has one user.
SINGLE = 53
ODD_PHRASES = (" stands ", " stand ", " is no ", " are no ", " each: ")
#: Tests of more than one file, below the room that they enter.
WHOLE = {
    # a verb that shares its file with others
    "cli/test_validate.py",
    # executables that were really built
    *("freeze/test_built.py", "freeze/test_built_faults.py", "freeze/test_built_zip.py"),
    # a task process from its start to its exit code
    *("runtime/test_environment.py", "runtime/test_guarantee.py", "runtime/test_import_floor.py"),
    *("runtime/test_impostor.py", "runtime/test_mosquitto.py", "runtime/test_publish.py"),
    *("runtime/test_record_secrets.py", "runtime/test_signals.py", "runtime/test_stdout.py"),
    *("runtime/test_certificates.py", "runtime/test_limits.py", "runtime/test_stdout_children.py"),
    *("runtime/test_guarantee_load.py", "runtime/test_outbox_model.py", "runtime/test_forks.py"),
    *("runtime/test_log_shared.py", "runtime/test_ways_out.py"),
    # an agent that is none, in every way that Python's parsers stumble over
    "runtime/agent/test_hostile_answer.py",
    # an agent in a box, asked by programs that are not ours, told what goes wrong, and killed
    *("simulator/api/test_curl.py", "simulator/broker/test_gmqtt.py"),
    *("simulator/broker/test_mosquitto.py", "simulator/broker/test_paho.py"),
    *("simulator/faults/test_broker_faults.py", "simulator/test_contract.py"),
    *("simulator/test_crash.py", "simulator/test_foreign_clients.py"),
}
CLASS_ENDINGS = ("Manager", "Helper", "Service", "Impl", "Base", "Utils")


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module below the package by its dotted name without the package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "templates" in path.parts:
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imports(tree: ast.Module) -> set[str]:
    """Return what a module imports, those for type checkers included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(name: str) -> str | None:
    """Return the module of this package that an imported name belongs to, or None."""
    parts = name.split(".")
    if parts[0] != "epm_task":
        return None
    rest = ".".join(parts[1:])
    while rest not in modules():
        rest = rest.rpartition(".")[0]
    return rest


def place(module: str) -> str:
    """Return the first part of a module's name: the place on its floor."""
    return module.partition(".")[0]


def test_imports_go_downward() -> None:
    """A module imports from its own place and from lower floors only."""
    for module, tree in modules().items():
        here = place(module)
        for name in imports(tree) if module else ():
            target = inside(name)
            if not target or place(target) == here:
                continue
            lower = FLOORS[place(target)] < FLOORS[here]
            assert lower or (here, place(target)) in NEIGHBOURS, f"{module} imports {name}"


def test_lower_floors_know_few_libraries() -> None:
    """A module uses the standard library and what its place may use, no more."""
    for module, tree in modules().items():
        roots = {name.partition(".")[0] for name in imports(tree)}
        foreign = roots - set(sys.stdlib_module_names) - {"epm_task"}
        assert foreign <= LIBRARIES.get(place(module), foreign), module


@cache
def graph() -> dict[str, set[str]]:
    """Return which other modules each module imports."""
    return {
        name: {target for i in imports(tree) if (target := inside(i)) is not None} - {name}
        for name, tree in modules().items()
    }


def test_there_is_no_circle() -> None:
    """No module imports itself in a roundabout way, for type checkers neither."""
    TopologicalSorter(graph()).prepare()


def test_few_files_have_one_user_only() -> None:
    """What a single neighbour imports belongs to that neighbour, unless it is a thought alone."""
    users = Counter(target for targets in graph().values() for target in targets)
    packages = {name.rpartition(".")[0] for name in modules()}
    single = [name for name in modules() if users[name] == 1 and name not in packages]
    assert len(single) <= SINGLE, single


def test_files_are_written_in_plain_words() -> None:
    """What a colleague would not say is seldom written."""
    text = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    found = {phrase: text.count(phrase) for phrase in ODD_PHRASES}
    assert sum(found.values()) <= 15, found


def test_every_file_has_a_concept() -> None:
    """No file and no class has a name that could hold anything."""
    for name, tree in modules().items():
        assert name.rpartition(".")[2] not in NAMES_WITHOUT_A_CONCEPT
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                assert not node.name.endswith(CLASS_ENDINGS), f"{name}.{node.name}"


def test_files_and_functions_are_small() -> None:
    """Files have at most 400 lines; functions 40, without signature and docstring."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :] or node.body
                size = (node.end_lineno or 0) - body[0].lineno + 1
                assert size <= 40, f"{path}:{node.name}"


def test_public_things_are_documented() -> None:
    """Every module, public class and public function has a docstring."""
    for name, tree in modules().items():
        assert ast.get_docstring(tree), name
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            overload = "overload" in [ast.unparse(one) for one in node.decorator_list]
            known = overload or node.name.startswith("_") or ast.get_docstring(node)
            assert known, f"{name}.{node.name}"


def test_tests_mirror_the_files() -> None:
    """`test_delivery.py` and `test_delivery_session.py` test `delivery.py` or `delivery/`."""
    tests = Path(__file__).parent
    strangers = set()
    for room in {name.partition(".")[0] for name in modules() if "." in name}:
        for path in (tests / room).rglob("test_*.py"):
            home = PACKAGE / path.parent.relative_to(tests)
            files = {file.stem for file in (home if home.is_dir() else home.parent).iterdir()}
            words = path.stem.removeprefix("test_").split("_") if home.is_dir() else [home.name]
            if not files & {"_".join(words[:count]) for count in range(1, len(words) + 1)}:
                strangers.add(path.relative_to(tests).as_posix())
    assert strangers <= WHOLE, strangers - WHOLE
