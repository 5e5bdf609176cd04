"""The rules, by theme; each has its page in its docstring."""

from __future__ import annotations

from typing import Final

from epm_task.job.rule import Rule
from epm_task.job.rules import arguments, habits, identity, programs, timing, topics

#: All rules by code, in the order of the codes.
RULES: Final[dict[str, Rule]] = dict(
    sorted(
        (value.code, value)
        for theme in (arguments, habits, identity, programs, timing, topics)
        for value in vars(theme).values()
        if isinstance(value, Rule)
    )
)
