"""An option that several verbs have is described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Setting: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="PLUGIN.key=value", help="A compiled-in setting; repeatable."),
]
Settings: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON: {"Plugin": {"key": "value"}}.')
]
Fault: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help='A fault, "api status=403 times=3"; repeatable.'),
]
Faults: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE", help="Faults in TOML.")]
Record: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write what passes, secrets masked.")
]
Trace: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write every decision as a JSON line.")
]
