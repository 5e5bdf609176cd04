"""The rules of arguments: tokens, and the parameters that fill them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from epm_task.contract.argument_line import ArgumentsError
from epm_task.contract.names import (
    API_BASE_ARGUMENT,
    API_BASE_URL,
    DEFAULT_KEYS,
    HTTP_PORT,
    HTTPS_PORT,
    MQTT_PORT,
    default_of,
)
from epm_task.contract.tokens import PATH_TOKEN_NAMES, tokens_in
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Part, Subject

#: The vendor's default ports; the real ones come from the token, and from the settings.
_FIXED_ADDRESS: Final = re.compile(
    rf"http://[^\s\"']*|(?<!\d)(?:{HTTP_PORT}|{HTTPS_PORT}|{MQTT_PORT})(?!\d)", re.IGNORECASE
)
#: Types whose text holds no blank.
_PLAIN_TYPES: Final = frozenset(
    {"int", "integer", "number", "float", "double", "decimal", "bool", "boolean"}
)


@rule("EPM006", "{KeeperApiBaseUrl} is missing", "error")
def api_base_url(subject: Subject) -> Iterator[Hit]:
    """A task learns the agent's address from its arguments only.

    The port differs from agent to agent, so the agent puts its address in the place of the token
    when it starts the task. Without it a task of this package ends with exit code 64.

    - wrong: `"arguments": "--root=/srv"`
    - right: `"arguments": "--keeper-api-base={KeeperApiBaseUrl} --root=/srv"`
    """
    for task in subject.tasks:
        names = [token.name for token in subject.tokens(task)]
        broken = not names and f"{{{API_BASE_URL}}}" in task.text("arguments")
        if not broken and not any(subject.same(name, API_BASE_URL) for name in names):
            yield Hit(
                task.at("arguments"),
                f"arguments do not hold {{{API_BASE_URL}}}, so the task cannot find the agent",
                f"add {API_BASE_ARGUMENT}",
            )


@rule("EPM007", "fixed address or port")
def fixed_address(subject: Subject) -> Iterator[Hit]:
    """The vendor's default ports, 6888, 6889 and 8675, are defaults: another agent may use others.

    The API's address comes from `{KeeperApiBaseUrl}`, and the broker's from the settings. `http://`
    is never right for the API: it carries settings past other processes in clear text.

    - wrong: `"arguments": "--keeper-api-base=https://127.0.0.1:6889"`
    - right: `"arguments": "--keeper-api-base={KeeperApiBaseUrl}"`
    """
    for task in subject.tasks:
        for match in _FIXED_ADDRESS.finditer(task.text("arguments")):
            kind = "address" if match[0].casefold().startswith("http") else "port"
            yield Hit(
                task.at("arguments"),
                f"{kind} {match[0]} is written in arguments; another agent may use another one",
                f"use {{{API_BASE_URL}}}; the broker's port comes from the settings",
            )


@rule("EPM008", "unknown token", "error")
def unknown_token(subject: Subject) -> Iterator[Hit]:
    r"""A token that nothing fills reaches the task as it is, in braces, and the task refuses it.

    Known are `{KeeperApiBaseUrl}`, the path tokens of the job's systems, and the declared
    `parameters`. Case counts, except in a job that `osFilter` keeps to Windows. After a task with
    `MergeStdoutJsonIntoContext` the names of its result are known too, so later tasks are not
    checked. A `$` before a token is not part of it, and stays.

    - wrong: `"arguments": "--root={root}"`, where the parameter is `Root`
    - right: `"arguments": "--root=\"{Root}\""`
    """
    known = [API_BASE_URL, *(p.text("name") for p in subject.parameters), *_path_tokens(subject)]
    for task in subject.tasks:
        for name in dict.fromkeys(token.name for token in subject.tokens(task)):
            if not any(subject.same(name, other) for other in known):
                near = get_close_matches(name.casefold(), [k.casefold() for k in known], 1, 0.8)
                meant = next((k for k in known if near and k.casefold() == near[0]), "")
                yield Hit(
                    task.at("arguments"),
                    f"nothing fills the token {{{name}}}, so the task gets it as it is",
                    f"write {{{meant}}}" if meant else f"declare the parameter {name!r}",
                )
        if "${" in task.text("arguments"):
            yield Hit(
                task.at("arguments"),
                "tokens are written {Name}, without $; the $ stays in the argument",
                "remove the $",
            )
        if task.fields.get("MergeStdoutJsonIntoContext") is True:
            return


@rule("EPM009", "parameter never used")
def unused_parameter(subject: Subject) -> Iterator[Hit]:
    """A declared parameter that no token names has no effect, whatever a trigger gives for it.

    Often the argument was removed and the parameter forgotten, or the token is misspelt.

    - wrong: a parameter `Suffix`, and arguments without `{Suffix}`
    - right: `--suffix="{Suffix}"` in the arguments, or no such parameter
    """
    rest = {key: value for key, value in subject.document.raw.items() if key != "parameters"}
    texts = list(_texts(rest))
    condition = " ".join(_texts(subject.document.raw.get("condition")))
    for parameter in subject.parameters:
        name = parameter.text("name")
        token = re.compile(
            rf"\{{{re.escape(name)}\}}", re.IGNORECASE if subject.windows_only else 0
        )
        if name not in condition and not any(token.search(text) for text in texts):
            yield Hit(
                parameter.at("name"),
                f"the parameter {name!r} is never used: no argument holds {{{name}}}",
                "use it or remove it",
            )


@rule("EPM020", "token without quotes")
def unquoted_token(subject: Subject) -> Iterator[Hit]:
    r"""A value with a blank becomes two arguments unless its token is in double quotes.

    `C:\Program Files` is such a value. Double quotes mean the same on every system. Numbers, true
    and false, and the API's address hold no blank.

    - wrong: `--root={Root}`
    - right: `--root=\"{Root}\"`
    """
    holders = [p.text("name") for p in subject.parameters if _may_hold_blanks(p)]
    holders += _path_tokens(subject) - {"hasdesktop"}
    for task in subject.tasks:
        try:
            tokens_in(task.text("arguments"), windows=subject.windows_only)
        except ArgumentsError:
            what = "arguments hold a quote that is not closed, so the agent cannot split them"
            yield Hit(task.at("arguments"), what, "close the quote")
        for name, quoted in subject.tokens(task):
            if not quoted and any(subject.same(name, holder) for holder in holders):
                yield Hit(
                    task.at("arguments"),
                    f"{{{name}}} is not in quotes: a value with a blank is torn in two",
                    f'write "{{{name}}}" in double quotes',
                )


@rule("EPM024", "required parameter without a value", "error")
def required_without_value(subject: Subject) -> Iterator[Hit]:
    """A schedule gives no values, so a required parameter without a default stops every such run.

    An event may carry values, and nothing says that it does. A job that only the API starts gets
    its values from the trigger.

    - wrong: `{"name": "Root", "required": true}` in a job with `intervalMinutes`
    - right: `{"name": "Root", "default": "/srv", "required": true}`
    """
    if not subject.schedule and not subject.events:
        return
    for parameter in subject.parameters:
        if parameter.fields.get("required") is True and default_of(parameter.fields) is None:
            name = parameter.text("name")
            yield Hit(
                parameter.pointer,
                f"the required parameter {name!r} has no default, and a run by schedule or "
                "event has no other value",
                'add "default" to the document, or a default to the code',
            )


@rule("EPM027", "default that an agent may read otherwise")
def fragile_default(subject: Subject) -> Iterator[Hit]:
    r"""The vendor does not state whether values enter before or after the arguments are split.

    The simulator splits first, so that any value stays whole. If an agent fills the tokens first, a
    double quote in a value, or a backslash at its end, closes or opens the quotes around the token,
    and the rest is read as other arguments. If it fills tokens one after the other, `{Host}` in a
    value is filled as well, when an event brings a `Host`.

    - wrong: `{"name": "Share", "default": "C:\\My Data\\"}`
    - right: `{"name": "Share", "default": "C:\\My Data"}`
    """
    for parameter in subject.parameters:
        default = default_of(parameter.fields)
        text = default if isinstance(default, str) else ""
        kinds = {
            "holds a double quote": '"' in text or isinstance(default, dict | list),
            "ends in a backslash": text.endswith("\\"),
            "holds braces": re.search(r"\{[A-Za-z][\w.-]*\}", text) is not None,
        }
        for kind in (kind for kind, found in kinds.items() if found):
            yield Hit(
                parameter.at(next(k for k in DEFAULT_KEYS if parameter.fields.get(k) is not None)),
                f"the default of {parameter.text('name')!r} {kind}, which an agent may read "
                "otherwise",
                "write it without, or leave it in the code, as the value of None or of a list",
            )


def _path_tokens(subject: Subject) -> frozenset[str]:
    """Return the path tokens that exist wherever the job runs; without a filter, anywhere."""
    names = [PATH_TOKEN_NAMES[system] for system in subject.systems]
    if not names or not subject.names_systems:
        return frozenset().union(*PATH_TOKEN_NAMES.values())
    return frozenset.intersection(*names)


def _may_hold_blanks(parameter: Part) -> bool:
    return parameter.text("type").casefold() not in _PLAIN_TYPES


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
