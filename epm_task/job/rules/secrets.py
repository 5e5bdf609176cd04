"""The rules of secrets: what every local user can read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Subject

_WORD: Final = r"(?:password|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|credential)"
_SECRET_NAME: Final = re.compile(rf"{_WORD}s?", re.IGNORECASE)
_SECRET_OPTION: Final = re.compile(rf"(?<!\S)(--?[\w-]*{_WORD})(?:=|\s+)(?!-)", re.IGNORECASE)


@rule("EPM022", "secret in the arguments", "error")
def secret_in_arguments(subject: Subject) -> Iterator[Hit]:
    r"""Every local user can read the arguments of every process, so no secret may stand there.

    The job document is a file, too, and travels in policies and logs. Let the argument name a file
    that only its owner can read: a parameter of the type `SecretStr` does that in a task of this
    package. Names that end in a word such as `Password`, `Secret`, `Token` or `ApiKey` are taken
    for secrets; `TokenFile` is none.

    - wrong: `"arguments": "--token=\"{Token}\""`
    - right: `"arguments": "--token-file=\"{TokenFile}\""`
    """
    for task in subject.tasks:
        found = [
            f"{{{token.name}}}"
            for token in subject.tokens(task)
            if (match := _SECRET_NAME.search(token.name)) and match.end() == len(token.name)
        ]
        options = [match[1] for match in _SECRET_OPTION.finditer(task.text("arguments"))]
        for name in found or options:
            yield Hit(
                task.at("arguments"),
                f"{name} looks like a secret, and every local user can read the arguments",
                "pass the name of a file that only its owner can read, as --token-file does",
            )
