from pathlib import Path

from epm_task import TaskContext, TaskFailed, {{ "TaskSettings, " if cookiecutter.typed_settings }}{{ "Topic, " if cookiecutter.publish_findings }}task
{% if cookiecutter.publish_findings %}

FINDINGS = Topic("Jobs/{{ cookiecutter.name }}/findings", payload=dict)
{% endif %}
{% if cookiecutter.typed_settings %}


class Settings(TaskSettings, plugin="{{ cookiecutter.__command }}"):
    min_bytes: int = 0
{% endif %}


{% set when = {"hourly": "every_minutes=60, ", "daily": 'cron="0 6 * * *", ', "startup": 'events=["Startup"], ', "manual": ""}[cookiecutter.schedule] %}
@task({{ when }}timeout_seconds=600{{ ", publishes=[FINDINGS]" if cookiecutter.publish_findings }})
def {{ cookiecutter.__module }}(ctx: TaskContext, {{ "settings: Settings, " if cookiecutter.typed_settings }}*, root: Path = Path("/")) -> dict[str, int]:
    """{{ cookiecutter.description }}"""
    if not root.is_dir():
        raise TaskFailed(f"{root} is not a folder; give another --root")
{% if cookiecutter.typed_settings %}
    found = [path for path in root.iterdir() if path.is_file() and path.stat().st_size >= settings.min_bytes]
{% else %}
    found = [path for path in root.iterdir() if path.is_file()]
{% endif %}
{% if cookiecutter.publish_findings %}
    for path in found:
        ctx.publish(FINDINGS, {"path": str(path)})
{% endif %}
    ctx.log.info("scan_finished", root=str(root), found=len(found))
    return {"found": len(found)}


if __name__ == "__main__":
    {{ cookiecutter.__module }}.main()
