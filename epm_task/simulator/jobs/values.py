"""Find the text that a run puts in the place of each token.

Precedence, lowest first: event context merged with the results of earlier tasks, path tokens, the
job's declared parameters, `{KeeperApiBaseUrl}`. A declared parameter takes its value from the
context when the context has one, else its default, else it is empty. So a context can fill
parameters, yet it cannot move the API's address or a folder of the machine that the job did not
declare itself.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import API_BASE_URL
from epm_task.errors import EpmTaskError

if TYPE_CHECKING:
    from collections.abc import Mapping


_WHOLE: Final = frozenset({"int", "integer"})
_NUMBERS: Final = frozenset({"number", "float", "double", "decimal"})
_FLAGS: Final = frozenset({"bool", "boolean"})
_FLAG_WORDS: Final = frozenset({"true", "false", "1", "0", "yes", "no"})


class ParameterProblem(EpmTaskError):
    """A declared parameter has no usable value, so the run does not start."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"parameter {name!r} {what}", fix="give another value, or correct the declaration"
        )


def run_values(
    job: Mapping[str, Any],
    context: Mapping[str, object],
    *,
    paths: Mapping[str, str],
    base_url: str,
    windows: bool,
) -> dict[str, str]:
    """Return the text of every token of one run.

    *context* is merged with the results of earlier tasks; with *windows* the case of names does not
    count.

    Raises:
        ParameterProblem: A required parameter has no value, or a value is not of its type.
    """
    key = str.casefold if windows else str
    values = {name: as_text(value) for name, value in context.items() if value is not None}
    values |= paths
    given = {key(name): value for name, value in context.items()}
    for parameter in job.get("parameters") or []:
        name = str(parameter.get("name", ""))
        value = given.get(key(name))
        if value is None:
            value = parameter.get("defaultValue", parameter.get("default"))
        if value is None and parameter.get("required"):
            raise ParameterProblem(
                name, "is required, and neither trigger nor default gave a value"
            )
        kind = str(parameter.get("type", ""))
        values[name] = "" if value is None else _typed(name, kind, value)
    return values | {API_BASE_URL: base_url}


def as_text(value: object) -> str:
    """Return *value* as an argument has it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _typed(name: str, kind: str, value: object) -> str:
    """Check the text against the type words that are known; an unknown word accepts everything."""
    text, kind = as_text(value), kind.casefold()
    if "\0" in text:
        raise ParameterProblem(name, "holds a NUL character, which an argument cannot carry")
    if (
        (kind in _WHOLE and not text.strip().lstrip("+-").isdecimal())
        or (kind in _NUMBERS and not _is_number(text))
        or (kind in _FLAGS and text.strip().casefold() not in _FLAG_WORDS)
    ):
        raise ParameterProblem(name, f"is declared as {kind}, and its value is not one")
    return text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
