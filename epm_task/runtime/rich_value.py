"""Write and read the values of types that only pydantic knows, which is loaded for them alone."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from epm_task.contract.json_text import BadJson, parse_json

#: What pydantic can check and nobody can write.
_NO_TEXT: Final = {"callable", "is-instance", "is-subclass", "generator"}
_SHOWN: Final = 100


def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Return what pydantic makes of a type.

    Raises:
        ValueError: Pydantic does not know it; the message is the reason.
    """
    name = getattr(kind, "__name__", None) or str(kind)
    try:
        adapter = TypeAdapter(kind)
        form = adapter.core_schema["type"]
    except PydanticUserError as error:
        why = str(error).partition(". ")[0].partition("\n")[0]
        raise ValueError(f"no text means a value of {name}: {why}") from None
    if form in _NO_TEXT:
        raise ValueError(f"no text means a value of {name}: its kind is {form}")
    return adapter


def write_rich(value: Any, kind: Any) -> str:
    """Return a text for what the type writes as text, else JSON.

    Raises:
        ValueError: It cannot be written; the message is the reason.
    """
    try:
        written = adapter_of(kind).dump_json(value, warnings=False)
    except (PydanticSerializationError, ValueError) as error:
        raise ValueError(f"it cannot be written: {str(error)[:_SHOWN]}") from None
    found = json.loads(written)
    if isinstance(value, set | frozenset):  # in an order that does not change from run to run
        found.sort(key=json.dumps)
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return found if isinstance(found, str) else written.decode()


def read_rich(text: str, kind: Any) -> Any:
    """Return the value that *text* means: as text where the type takes one, else as JSON.

    Raises:
        ValueError: It is none; the message is the reason.
    """
    adapter = adapter_of(kind)
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
    # `set_type`, `dict_type`, and so on: the whole cannot be a text.
    wanted = [problem for problem in problems if not problem["loc"]]
    if not any(problem["type"].endswith("_type") for problem in wanted or problems):
        raise _reason(problems[0])
    try:
        parse_json(text)  # refuses what pydantic lets pass, such as a name that is there twice
        return adapter.validate_json(text)
    except BadJson as error:
        raise ValueError(f"{error.what}: {error.why}") from None
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        raise _reason(problems[0]) from None


def checked(value: Any, kind: Any) -> Any:
    """Return *value* when it meets the conditions of *kind*, of whose plain type it is.

    Raises:
        ValueError: It does not; the message is the reason.
    """
    try:
        return adapter_of(kind).validate_python(value)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        raise _reason(problems[0]) from None


def checked_secret(value: Any, kind: Any) -> Any:
    """Return *value* as `checked` does; the reason shows nothing of it, which a condition may do.

    Raises:
        ValueError: It does not meet the conditions.
    """
    try:
        return adapter_of(kind).validate_python(value)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        name = problems[0]["type"]
    except Exception as error:  # noqa: BLE001  # a condition is the author's
        name = type(error).__name__
    raise ValueError(f"the content of the file is refused ({name})")


def _reason(problem: Any) -> ValueError:
    where = ".".join(map(str, problem["loc"]))
    return ValueError(f"{where + ': ' if where else ''}{problem['msg']}")
