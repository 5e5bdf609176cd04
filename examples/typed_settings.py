"""Read typed settings: nested keys, and a secret that no record shows."""

from pydantic import BaseModel, SecretStr

from epm_task import TaskContext, TaskSettings, task


class Schedule(BaseModel):
    """The keys `schedule.start_hour` and `schedule.end_hour`."""

    start_hour: int = 22
    end_hour: int = 6


class CleanerSettings(TaskSettings, plugin="TempCleaner"):
    """What an administrator sets for the plugin TempCleaner."""

    schedule: Schedule = Schedule()
    keep_days: int = 14
    api_token: SecretStr | None = None


@task(job_id="temp-cleaner", cron="0 22 * * *", timeout_seconds=300)
def temp_cleaner(ctx: TaskContext, settings: CleanerSettings) -> dict[str, int]:
    """Report the settings that are in force."""
    hours = f"{settings.schedule.start_hour} to {settings.schedule.end_hour}"
    ctx.log.info("settings_in_force", hours=hours, token=settings.api_token)
    return {"keep_days": settings.keep_days}


if __name__ == "__main__":
    temp_cleaner.main()
