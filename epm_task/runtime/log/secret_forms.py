"""Know how a secret looks in what a run writes: as it is, escaped, in base64, cut short.

Loaded when there is a secret; many tasks have none.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A shorter secret would blot out ordinary words.
_SHORTEST: Final = 6
#: A user's name and a password, say; the lines of a key are base64 already.
_IN_BASE64: Final = 4
#: A pattern for a longer text would take seconds to compile.
_LONGEST: Final = 1024
#: An error of `pydantic` shows the first 25 and the last 22 characters of a long value, with `...`
#: between them; `reprlib`, the first 12 and the last 13.
_NEVER_CUT: Final = 24
_PART: Final = 12
_ELLIPSIS_AFTER: Final = r".{0,16}?\.\.\.[^\s\"']*"
_ELLIPSIS_BEFORE: Final = r"(?<=\.\.\.)[^\s\"']{0,16}?"
#: Nothing else begins with so many of its characters. `int` shows the first 200 of a wrong text.
_UNIQUE_PART: Final = 64
#: So many backslashes at most come before a character, as escapes of escapes.
_ESCAPES: Final = r"\\{1,8}"
_LETTERS: Final = {"\n": "n", "\r": "r", "\t": "t", "\f": "f", "\b": "b"}


class Form:
    """A text to find, with patterns for what comes before and after it."""

    def __init__(self, text: str, *, before: str = "", after: str = "") -> None:
        self.text: Final = text
        self._key: Final = (before, text, after)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What finds the text, whatever has escaped it, and however often."""
        before, text, after = self._key
        return re.compile(before + re.sub(r"\\+|[^A-Za-z0-9\\]", _escaped, text) + after)


def forms_of(text: str) -> dict[Form, str]:
    """Return the forms in which the secret *text* may be seen, with the longest plain part of each.

    Whatever shows a form holds that part as it is: nothing escapes letters and digits.
    """
    # The first and the last line of a PEM key are known to everybody.
    lines = [line for line in text.splitlines() if not line.startswith("-----")]
    parts = {whole.strip() for whole in (text, *lines)} | {text}
    for each in (text, *lines[:_IN_BASE64]):
        parts |= set(_base64_forms(each))
    short = {part[at : at + _LONGEST] for part in parts for at in range(0, len(part), _LONGEST)}
    forms = {Form(part) for part in short if len(part) >= _SHORTEST}
    if len(text) > _NEVER_CUT:
        forms.add(Form(text[:_PART], after=_ELLIPSIS_AFTER))
        forms.add(Form(text[-_PART:], before=_ELLIPSIS_BEFORE))
    if len(text) > _UNIQUE_PART:
        forms.add(Form(text[:_UNIQUE_PART], after=r"[^\s\"']*"))
    return {form: _plain_part(form.text) for form in forms}


def _plain_part(text: str) -> str:
    return max(re.findall("[A-Za-z0-9]+", text), key=len, default="")


def _base64_forms(text: str) -> Iterator[str]:
    """Yield what base64 makes of *text*, wherever it is in what is encoded."""
    data = _bytes(text)
    for before in range(3):
        # Six bits each; those at both ends depend on what is beside the text.
        first, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + data).decode("ascii")[first:end]


def _escaped(match: re.Match[str]) -> str:
    """Return a pattern for a character as it is, or as JSON, Python or a URL escapes it.

    For several backslashes, one for all of them: which of them is an escape cannot be told.
    """
    found = match[0]
    in_url = "".join(f"%{byte:02x}" for byte in _bytes(found))
    if found[0] == "\\":
        return rf"(?:\\{{1,{8 * len(found)}}}|(?i:{in_url}))"
    units = found.encode("utf-16-be", "surrogatepass").hex()
    written = [
        _ESCAPES.join(f"x{byte:02x}" for byte in _bytes(found)),
        _ESCAPES.join(f"u{units[at : at + 4]}" for at in range(0, len(units), 4)),
        f"x{ord(found):02x}" if ord(found) < 256 else f"u{ord(found):08x}",
        *_LETTERS.get(found, ""),
    ]
    # A lone surrogate is replaced in records.
    plain = f"[\ufffd{found}]" if "\ud800" <= found <= "\udfff" else re.escape(found)
    more = "|\\+" * (found == " ")
    return rf"(?:(?:{_ESCAPES})?{plain}|(?i:{_ESCAPES}(?:{'|'.join(written)})|{in_url}){more})"


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # of a secret that is bytes
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
