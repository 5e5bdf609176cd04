"""Tests of how a verb takes the values on its command line: as Typer would, which is slower."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_command

from epm_task.cli.verbs import SECTIONS, SubVerbs, Verb, load

VALUES = [
    [],
    ["--text", "a", "--text", "b"],
    ["--text", ""],
    ["--texts", "a", "--texts", "b"],
    ["--path", "."],
    ["--path", ""],
    ["--path", "/nowhere/at/all"],
    ["--paths", ".", "--paths", "b"],
    *(
        ["--whole", text]
        for text in ("0", "7", "-1", "10", "11", "1.0", "1_0", " 5", "٣", "9" * 50)
    ),
    *(["--part", text] for text in ("0.5", "0.05", "1e1", "nan", "inf", ".", "1.", "7", "-0.0")),
    ["--flag"],
    ["one"],
    ["one", "two", "--", "--three"],
    ["--missing"],
    ["--help"],
]


def verb(  # noqa: PLR0913  # one of each kind
    *,
    first: Annotated[str, typer.Argument(metavar="FIRST")],
    rest: Annotated[list[str] | None, typer.Argument()] = None,
    text: str = "default",
    texts: Annotated[list[str] | None, typer.Option()] = None,
    path: Annotated[Path | None, typer.Option()] = None,
    paths: Annotated[list[Path] | None, typer.Option()] = None,
    whole: Annotated[int | None, typer.Option(min=0, max=10)] = None,
    part: Annotated[float, typer.Option(min=0.1)] = 3.5,
    flag: Annotated[bool, typer.Option("--flag")] = False,
) -> dict[str, Any]:
    """Return what came."""
    return locals()


def outcome(cls: type[TyperCommand], words: list[str]) -> tuple[Any, ...]:
    """Return what came, each with its type, or what was said."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=cls)(verb)
    try:
        found = get_command(app).main(words, standalone_mode=False)
    except Exception as error:  # noqa: BLE001  # Typer's own, in whatever version
        return type(error).__name__, str(error)
    return tuple((type(value), value) for value in (found or {}).values())


@pytest.mark.parametrize("words", VALUES, ids=" ".join)
@pytest.mark.parametrize("first", [["x"], []], ids=["with argument", "without"])
def test_values_are_those_of_typer(words: list[str], first: list[str]) -> None:
    """What is converted without Typer is, and is refused, in the same way."""
    assert outcome(Verb, [*words, *first]) == outcome(TyperCommand, [*words, *first])


def test_path_that_cannot_be_read_is_left_to_typer(tmp_path: Path) -> None:
    """It says so; for a user who may read everything both take the file."""
    (tmp_path / "secret").touch(mode=0)
    words = ["x", "--path", str(tmp_path / "secret")]
    assert outcome(Verb, words) == outcome(TyperCommand, words)


@pytest.mark.parametrize("name", [name for verbs in SECTIONS.values() for name in verbs])
def test_each_verb_converts_plain_values_itself(name: str) -> None:
    """Those below another verb as well."""
    command = load(name)
    below = getattr(command, "commands", {}).values()
    assert isinstance(command, SubVerbs if below else Verb)
    assert all(isinstance(each, Verb) for each in below)
