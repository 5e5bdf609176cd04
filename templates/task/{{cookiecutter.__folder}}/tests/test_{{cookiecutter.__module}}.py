from pathlib import Path

import pytest
from epm_task import TaskFailed
from epm_task.testing import Agent, make_context

from {{ cookiecutter.__module }} import {{ "FINDINGS, " if cookiecutter.publish_findings }}{{ "Settings, " if cookiecutter.typed_settings }}{{ cookiecutter.__module }}


def test_counts_what_it_finds(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder").mkdir()
{% if cookiecutter.publish_findings %}
    ctx = make_context(publishes=[FINDINGS])
    assert {{ cookiecutter.__module }}(ctx, {{ "Settings(), " if cookiecutter.typed_settings }}root=tmp_path) == {"found": 1}
    assert ctx.published == [(FINDINGS.name, {"path": str(tmp_path / "file.txt")})]
{% else %}
    assert {{ cookiecutter.__module }}(make_context(), {{ "Settings(), " if cookiecutter.typed_settings }}root=tmp_path) == {"found": 1}
{% endif %}


def test_refuses_what_is_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="not a folder"):
        {{ cookiecutter.__module }}(make_context(), {{ "Settings(), " if cookiecutter.typed_settings }}root=tmp_path / "missing")


def test_runs_under_an_agent(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("0123456789")
{% if cookiecutter.typed_settings %}
    agent.settings["{{ cookiecutter.__command }}"] = {"min_bytes": 11}
{% endif %}
    run = agent.run({{ cookiecutter.__module }}, parameters={"root": tmp_path})
    assert run.exit_code == 0
    assert run.result == {"found": {{ 0 if cookiecutter.typed_settings else 1 }}}
    assert [record.message for record in run.records] == ["scan_finished"]
