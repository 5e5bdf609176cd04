"""Writes records that a page must show as text: markup, control characters, a long one, a trace."""

from __future__ import annotations

from epm_task import TaskContext, task

MARKUP = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
CONTROL = "bell \a escape \x1b[31m turned \u202e back"


@task(job_id="hostile-records")
def hostile_records(ctx: TaskContext) -> None:
    """Write the records."""
    ctx.log.info(MARKUP, markup=MARKUP)
    ctx.log.info(CONTROL)
    ctx.log.info("long_record", **{f"part{n}": "x" * 4000 for n in range(30)})
    try:
        int("<b>no number</b>")
    except ValueError:
        ctx.log.exception("no_number")


if __name__ == "__main__":
    hostile_records.main()
