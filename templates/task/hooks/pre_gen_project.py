"""The answers are checked before anything is generated; the reason of a refusal goes to stderr.

`cookiecutter` runs this file; `epm-task new` imports it for `refusal`.
"""

import builtins
import keyword
import re
import sys

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

#: The longest name with which no generated line has more than 120 columns.
NAME_LENGTH = 32

#: The description is on one line of the task, of its job and of pyproject.toml.
DESCRIPTION_LENGTH = 80

#: Names that the generated files use for something else.
TAKEN = {"agent", "conftest", "ctx", "make_context", "root", "run", "src", "task", "tmp_path"}

#: What a task imports; a file of the same name would be imported instead.
LIBRARIES = {
    "annotated_types", "anyio", "certifi", "dotenv", "epm_task", "h11", "httpcore", "httpx",
    "idna", "paho", "pydantic", "pydantic_core", "pydantic_settings", "pytest", "sniffio",
    "structlog", "typing_extensions", "typing_inspection",
}  # fmt: skip

#: Windows keeps these for devices, in every folder.
DEVICES = {"aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def refusal(name: str, description: str) -> str:
    """Return why no project can be made from these answers, or nothing."""
    return _refusal_of_name(name) or _refusal_of_description(description)


def _refusal_of_name(name: str) -> str:
    shown = ascii(name)
    module = name.replace("-", "_")
    if "_" in name:
        return (
            f"the name {shown} holds an underscore, at which the agent's broker would cut the job "
            f"id off; write {ascii(name.replace('_', '-'))}"
        )
    if name[:1].isdigit():
        return f"the name {shown} begins with a digit, so no Python module can have it"
    if not NAME.fullmatch(name):
        return f"the name {shown} is not made of lower case letters a-z, digits and single hyphens"
    if len(name) > NAME_LENGTH:
        return f"the name {shown} has more than {NAME_LENGTH} characters"
    if keyword.iskeyword(module):
        return f"the name {shown} is a keyword of Python"
    if module in sys.stdlib_module_names or module in LIBRARIES:
        return f"the name {shown} would hide the module {module} that tasks import"
    if hasattr(builtins, module) or module in TAKEN:
        return f"the name {shown} has another meaning in the generated code"
    if module.startswith("test"):
        return f"the name {shown} is one by which pytest finds tests"
    if name in DEVICES:
        return f"the name {shown} is a device on Windows"
    return ""


def _refusal_of_description(text: str) -> str:
    if not text[:1].isalpha():
        return "the description does not begin with a letter"
    if len(text) > DESCRIPTION_LENGTH:
        return f"the description has more than {DESCRIPTION_LENGTH} characters"
    if not text.isprintable() or text != text.strip() or set(text) & set('"\\{}'):
        return 'the description holds ", \\, { or }, a line break, or blanks at its end'
    return ""


if __name__ == "__main__":
    reason = refusal({{ cookiecutter.name | tojson }}, {{ cookiecutter.description | tojson }})
    if reason:
        sys.exit(f"{reason}; choose another one")
