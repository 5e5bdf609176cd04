"""Verb groups show the verbs of `epm-task` by what one wants to do."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

#: Long enough for a whole first sentence; the formatter wraps it.
_SENTENCE = 200


class VerbGroups(TyperGroup):
    """A group of commands whose help has one section for each `rich_help_panel`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order in which their first verbs were registered."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            title = getattr(command, "rich_help_panel", None)
            section = sections.setdefault(title if isinstance(title, str) else "Commands", [])
            section.append((name, command.get_short_help_str(limit=_SENTENCE)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)
