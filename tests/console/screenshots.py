"""Make the pictures of the docs: `python tests/console/screenshots.py` writes `docs/images`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

    from epm_task.testing import Agent

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))

from console.browser import Watched, enter, open_browser  # noqa: E402  # needs the path
from console.scene import add_jobs, play  # noqa: E402


class Shot(NamedTuple):
    """One picture."""

    name: str
    width: int
    theme: Literal["light", "dark"]
    job: str  #: Whose last run is open.
    tab: str = "records"


SHOTS = (
    Shot("light", 1280, "light", "disk-space"),
    Shot("dark", 1280, "dark", "findings", "decisions"),
    Shot("narrow-light", 400, "light", "inventory", "messages"),
    Shot("narrow-dark", 400, "dark", "disk-space"),
)
HEIGHTS = {1280: 800, 400: 1600}

#: Fewer colours: a third of the size, and no difference to the eye.
SMALLER = ("pngquant", "--force", "--ext=.png", "--quality=60-90", "--speed=1")


def take(browser: Browser, agent: Agent, folder: Path, *shots: Shot) -> None:
    """Write pictures of an agent on which the scene was played."""
    assert agent.console is not None
    for shot in shots:
        size: ViewportSize = {"width": shot.width, "height": HEIGHTS[shot.width]}
        context = browser.new_context(viewport=size, color_scheme=shot.theme)
        watched = Watched(context, enter(context, agent.console.address))
        page = watched.open(agent.jobs.ended(shot.job)[-1].run_id)
        page.locator(f"#tab-{shot.tab}").click()
        page.locator("#time-line text").first.wait_for()
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=folder / f"console-{shot.name}.png", animations="disabled")
        context.close()


def main() -> None:
    """Play the scene, and write the pictures into the docs."""
    from epm_task.testing import Agent

    folder = TESTS.parent / "docs" / "images"
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as home, open_browser() as browser:
        root = Path(home) / "agent"
        with Agent(root, https_port=6889, mqtt_port=8675, console_port=0) as agent:
            add_jobs(agent)
            play(agent)
            take(browser, agent, folder, *SHOTS)
    if shutil.which(SMALLER[0]):
        subprocess.run([*SMALLER, *folder.glob("console-*.png")], check=True)


if __name__ == "__main__":
    main()
