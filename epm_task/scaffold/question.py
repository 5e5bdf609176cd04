"""A question is one thing that a template asks: a text, one of several words, or yes or no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from epm_task.scaffold.scaffold_error import ScaffoldError

Answer: TypeAlias = str | bool

_YES: Final = frozenset({"1", "true", "yes", "y", "on"})
_NO: Final = frozenset({"0", "false", "no", "n", "off"})


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        name: The name of its answer.
        prompt: How people are asked.
        default: The answer of those who are not asked.
        choices: The words that can be chosen, with their meaning; empty for another kind.
    """

    name: str
    prompt: str
    default: Answer
    choices: dict[str, str]

    @classmethod
    def read(cls, name: str, default: Any, prompt: Any) -> Self:
        """Return the question that stands in `cookiecutter.json`."""
        words = default if isinstance(default, list) else []
        meanings = prompt if isinstance(prompt, dict) else {"__prompt__": prompt}
        choices = {word: str(meanings.get(word, word)) for word in words}
        first = words[0] if words else default
        return cls(name, str(meanings.get("__prompt__", name)), first, choices)

    def answer(self, text: str) -> Answer:
        """Return the answer that *text* stands for.

        Raises:
            ScaffoldError: It is none of the choices, or neither yes nor no.
        """
        word = text.lower()
        truth = isinstance(self.default, bool) and word in _YES | _NO
        return self.check(word in _YES if truth else text)

    def check(self, answer: Answer) -> Answer:
        """Return *answer* when it is one for this question.

        Raises:
            ScaffoldError: It is none of the choices, or neither yes nor no.
        """
        if self.choices and answer not in self.choices:
            raise ScaffoldError(
                f"{answer!r} is no answer for {self.name}", f"write {' or '.join(self.choices)}"
            )
        if isinstance(self.default, bool) != isinstance(answer, bool):
            words = "true or false" if isinstance(self.default, bool) else "a text"
            raise ScaffoldError(f"{answer!r} is no answer for {self.name}", f"write {words}")
        return answer
