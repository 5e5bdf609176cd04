"""What a person sees on a terminal, from the characters that were written to it."""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def screen(text: str, columns: int) -> list[str]:
    """Return the lines of the screen; there is no escape sequence in *text*.

    A character beyond the last column goes to the next line, as in any terminal.
    """
    lines: list[list[str]] = [[]]
    at = 0
    for character in text:
        if character == "\r":
            at = 0
        elif character == "\n":
            lines.append([])
        elif combining(character) and at:
            lines[-1][at - 1] += character
        else:
            wide = east_asian_width(character) in "WF"
            if at + 1 + wide > columns:
                lines.append([])
                at = 0
            lines[-1] += [" "] * (at - len(lines[-1]))
            lines[-1][at : at + 1 + wide] = [character, ""][: 1 + wide]
            at += 1 + wide
    return ["".join(line).rstrip() for line in lines]
