"""Say what a handler's parameter is on the command line, and in a job document.

How a value of its type is written and read is the matter of `value_text`, which is imported when
it is needed: many tasks have texts and paths only.
"""

# Annotations are not texts here: a NamedTuple would compile each of them at every start.

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

from epm_task.contract.secrets import secret_form
from epm_task.errors import InvalidArgument

#: Neither default nor annotation: the parameter must be given, as text.
REQUIRED: Final[Any] = object()

#: What the agent fills, or has left as it is.
_BRACES: Final = r"\{[A-Za-z][\w.-]*\}"


class Parameter(NamedTuple):
    """One parameter of a handler, or one of the runtime's own arguments.

    Attributes:
        name: Name in the function's signature.
        kind: Type, freed of `| None`, `list[…]`, aliases, and annotations without an effect.
        default: Value when it is not given; `REQUIRED` when it must be.
        repeated: The option may be given several times and yields a list.
        help: One line for `--help`.
        raw: The text is taken as it is, braces included.
        whole: The type of the list, when it has conditions of its own.
    """

    name: str
    kind: Any
    default: Any = REQUIRED
    repeated: bool = False
    help: str = ""
    raw: bool = False
    whole: Any = None

    @property
    def base(self) -> Any:
        """The type without its conditions: `int` for `Annotated[int, Field(gt=0)]`."""
        return get_args(self.kind)[0] if get_origin(self.kind) is Annotated else self.kind

    @property
    def required(self) -> bool:
        """Whether a run without it is refused."""
        return self.default is REQUIRED

    @property
    def secret(self) -> bool:
        """Whether the value comes from a file, because argv can be read by every local user."""
        return bool(secret_form(self.base))

    @property
    def flag(self) -> bool:
        """Whether the option needs no value."""
        return self.base is bool and not self.repeated

    @property
    def option(self) -> str:
        """The option's spelling: `--max-bytes`, `--token-file` for a secret."""
        return f"--{self.name.replace('_', '-')}{'-file' if self.secret else ''}"

    @property
    def token(self) -> str:
        """The name of the job's parameter for it: `MaxBytes`, `TokenFile` for a secret."""
        name = f"{self.name}_file" if self.secret else self.name
        return "".join(word[:1].upper() + word[1:] for word in name.split("_"))

    def given(self, texts: Sequence[str]) -> list[str]:
        """Return those of *texts* that are values, as the agent cannot leave an argument out.

        An empty text is none, unless it can be a text itself: that of a `str` without a default or
        with one that is text, or one of several in a list.
        """
        if self.base is str and (len(texts) > 1 or not (self.repeated or self.default is None)):
            return list(texts)
        return [text for text in texts if text]

    def parse(self, text: str) -> Any:
        """Return the value that *text* means.

        Raises:
            InvalidArgument: The text is not a value of the type; secrets are never repeated in it.
        """
        if self.kind is str:
            return text
        if self.kind is Path:
            path = Path(text)
            if path.root or not path.drive:  # else the reader refuses it
                return path
        from epm_task.runtime.value_text import reader  # noqa: PLC0415  # texts need none

        try:
            return reader(self.kind)(text)
        except ValueError as error:
            raise InvalidArgument(self.option, str(error)) from None

    def value(self, texts: Sequence[str]) -> Any:
        """Return the value that *texts* mean: one text, or those of a repeated option.

        Raises:
            InvalidArgument: As for `parse`.
        """
        if not self.repeated:
            return self.parse(texts[0])
        values = [self.parse(text) for text in texts]
        if self.whole is None:
            return values
        from epm_task.runtime import rich_value  # noqa: PLC0415  # few lists have any

        check = rich_value.checked_secret if self.secret else rich_value.checked
        try:
            return check(values, self.whole)
        except ValueError as error:
            raise InvalidArgument(self.option, str(error)) from None

    def unfilled(self, text: str) -> str:
        """Return a token in *text* that the agent did not fill; empty when there is none.

        What the default holds in braces is the author's own, and means itself.
        """
        found = [] if self.raw else re.findall(_BRACES, text)
        if found and not self.secret:
            own = " ".join(self.default_texts())
            found = [token for token in found if token not in own]
        return found[0] if found else ""

    def default_texts(self) -> list[str]:
        """Return the text of the default as an argument, or those of a repeated option's."""
        from epm_task.runtime.value_text import text_of  # noqa: PLC0415  # not in every run

        return [text_of(value, self.kind) for value in self._defaults()]

    def default_value(self) -> Any:
        """Return the default as a job document holds it: a number, true or false, or a text."""
        (text,) = self.default_texts()
        if self.base is float and isinstance(self.default, int):
            return int(text)  # stays as it is written
        return self.parse(text) if self.base in (bool, int, float) else text

    def check(self, tokens: Iterable[str]) -> None:
        """Refuse what an agent cannot pass: a type without texts, a default that would change.

        *tokens* are the names that the job fills, beside those that every agent knows.

        Raises:
            ValueError: It cannot be passed; the message is the reason.
        """
        if self._is_simple():
            return
        from epm_task.runtime.value_text import check_default, check_kind  # noqa: PLC0415

        check_kind(self.kind)
        if self.secret:
            return
        for value in self._defaults():
            check_default(value, self.kind, tokens)
        if self.whole is not None and (defaults := self._defaults()):
            check_default(defaults, self.whole, tokens)

    def _defaults(self) -> list[Any]:
        if self.default is REQUIRED or self.default is None:
            return []
        return list(self.default) if self.repeated else [self.default]

    def _is_simple(self) -> bool:
        """Whether anybody can see that it can be passed."""
        kind, default = self.kind, self.default
        if self.repeated or kind not in (str, Path, bool, int):
            return False
        if default is REQUIRED or default is None:
            return True
        if kind is bool or kind is int:
            return type(default) is kind and default.bit_length() < 64
        text = str(default) if isinstance(default, kind) else "{"
        return text.isascii() and text.isprintable() and "{" not in text


def make_parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return the parameter that a signature's entry declares."""
    if annotation is REQUIRED or annotation is str or annotation is Path:
        return Parameter(name, str if annotation is REQUIRED else annotation, default)
    from epm_task.runtime.value_text import split_annotation  # noqa: PLC0415  # see above

    kind, repeated, whole, optional = split_annotation(annotation)
    if optional and default is REQUIRED:
        default = None
    return Parameter(name, kind, default, repeated=repeated, whole=whole)
