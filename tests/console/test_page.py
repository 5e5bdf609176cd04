"""Tests of the console's page, in a real browser that looks at a real agent."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from console.accessible import faint, nameless
from console.browser import Watched, enter, open_browser
from console.scene import EXAMPLES, PROGRAMS, add_job, add_jobs, play
from console.screenshots import SHOTS, take
from peers.patience import PATIENCE
from simulator.agent_process import add_script

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = [pytest.mark.slow, pytest.mark.posix("the jobs are shell scripts")]

#: Each of them is a finding of the job that publishes.
FILES = len(list(EXAMPLES.glob("*.py")))
TABS = ("records", "messages", "output", "decisions", "document")


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent with a console, in which three jobs have run."""
    with Agent(console_port=0) as running:
        add_jobs(running)
        play(running)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> BrowserContext:
    """The part of the browser that was let in, and may use the clipboard."""
    wanted = {"width": 1280, "height": 800}
    context = browser.new_context(viewport=wanted)  # type: ignore[arg-type]
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return context


@pytest.fixture(scope="module")
def home(context: BrowserContext, agent: Agent) -> str:
    """Address of the page for the browser that was let in."""
    assert agent.console is not None
    return enter(context, agent.console.address)


@pytest.fixture
def watched(context: BrowserContext, home: str) -> Iterator[Watched]:
    """A page that at the end has made no error and asked for nothing elsewhere."""
    watched = Watched(context, home)
    yield watched
    watched.page.close()
    assert not watched.complaints
    assert not watched.strangers


@pytest.fixture
def page(watched: Watched) -> Page:
    """The console, live."""
    return watched.open()


def last_run(agent: Agent, job_id: str) -> str:
    """Return the id of the last run of a job."""
    return agent.jobs.ended(job_id)[-1].run_id


def test_a_job_is_run_from_the_page(page: Page, agent: Agent) -> None:
    """The form starts the job with what was typed, and the page shows the record as it comes."""
    before = len(agent.jobs.ended("key-scanner"))
    page.get_by_role("button", name="Run key-scanner").click()
    form = page.get_by_role("dialog", name="Run key-scanner")
    form.get_by_label("Root").fill(str(EXAMPLES))
    form.get_by_role("button", name="Run", exact=True).click()
    record = page.get_by_role("treegrid", name="Records").get_by_text("scan_finished")
    record.wait_for()
    page.locator("#run-facts").get_by_text("exit 0 (OK)").wait_for()
    run = agent.jobs.ended("key-scanner")[before]
    assert run.result == {"found": 1}
    assert page.url.endswith(f"#run={run.run_id}")
    page.get_by_role("tab", name="Output").click()
    page.get_by_role("tabpanel", name="Output").get_by_text('"found": 1').wait_for()


def test_the_form_says_what_the_agent_refuses(page: Page) -> None:
    """Context that is no JSON object starts nothing, and the form stays."""
    page.get_by_role("button", name="Run findings").click()
    form = page.get_by_role("dialog", name="Run findings")
    form.get_by_text("Further event context").click()
    form.get_by_role("textbox", name="A JSON object").fill("[1]")
    form.get_by_role("button", name="Run", exact=True).click()
    form.get_by_role("alert").get_by_text("not a JSON object").wait_for()


def test_a_denial_shows_what_mends_it(page: Page) -> None:
    """A topic that was dropped comes with the line to add, ready to copy, and the rule's page."""
    line = page.locator("#attention-list li").filter(has_text="Jobs/key-scanner/findings")
    line.get_by_text('add "Jobs/key-scanner/findings" to mqttTopics.allowedPublications').wait_for()
    assert f"\u00d7 {FILES}" in line.inner_text()
    line.get_by_role("button", name="Copy").click()
    line.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == '"allowedPublications": ["KeeperLogger", "Jobs/key-scanner/findings"]'
    line.get_by_role("button", name="Explain EPM026").click()
    line.get_by_text("The code publishes on a topic that the document does not allow").wait_for()


def test_messages_are_listed_by_topic(watched: Watched, agent: Agent) -> None:
    """What a run has published is shown below its topic."""
    page = watched.open(last_run(agent, "inventory"))
    page.get_by_role("tab", name=f"Messages, {FILES}").click()
    messages = page.get_by_role("tabpanel", name="Messages")
    heading = f"Jobs/key-scanner/findings {FILES} messages"
    assert messages.get_by_role("heading", name=heading).count() == 1
    assert messages.get_by_text("hello.py").count() == 1


def test_a_failed_run_says_how_it_ended(watched: Watched, agent: Agent) -> None:
    """Its exit code has a name, its time line three refusals, and its decisions their reasons."""
    page = watched.open(last_run(agent, "disk-space"))
    page.locator("#run-facts").get_by_text("✗ exit 3 (the author's own)").wait_for()
    lines = page.locator("#attention-list li").filter(has_text="disk-space")
    assert lines.count() == 1
    assert "epm_task: exit 3 (the author's own): " in lines.inner_text()
    assert '"timestamp"' not in lines.inner_text()
    page.get_by_role(
        "img", name=re.compile("started at .* 403 \u00d7 3 at .* exit 3 at ")
    ).wait_for()
    page.get_by_role("tab", name="Decisions, 3 denied").click()
    decisions = page.get_by_role("tabpanel", name="Decisions")
    assert decisions.get_by_text("fault status=403").count() == 3
    page.get_by_role("tab", name="Document").click()
    page.get_by_role("tabpanel", name="Document").get_by_text('"Percent": "101"').wait_for()


def test_the_same_failure_is_one_line(watched: Watched, agent: Agent) -> None:
    """A job that fails twice in the same way is listed once, and leads to the later run."""
    add_script(agent.root, "boom", "#!/bin/sh\necho no such device >&2\nexit 4\n")
    document = {"id": "boom", "name": "Boom", "tasks": [{"id": "boom", "command": "boom"}]}
    agent.run_job(document)
    run = agent.run_job(document)
    page = watched.open()
    line = page.locator("#attention-list li").filter(has_text="no such device")
    line.filter(has_text="\u00d7 2").get_by_role("link").click()
    assert page.url.endswith(f"#run={run.run_id}")
    page.get_by_text("The run has logged nothing. What it wrote on stderr is in Output.").wait_for()
    page.goto(f"{watched.home}#run=gone")
    page.get_by_text("the agent does not know it, or no longer").wait_for()
    assert "404" in watched.complaint()


def test_hostile_records_are_text(watched: Watched, agent: Agent) -> None:
    """Markup, control characters and 128 KiB are shown, and do nothing; the job's name, too."""
    add_job(agent, PROGRAMS / "hostile_records.py", name="<img src=x>\u202e")
    agent.jobs.trigger("hostile-records")
    page = watched.open(last_run(agent, "hostile-records"))
    records = page.get_by_role("treegrid", name="Records")
    records.get_by_text("<script>document.title='taken'</script>").first.wait_for()
    records.get_by_text("bell ␇ escape ␛[31m turned ⟨U+202E⟩ back").first.click()
    assert page.locator("#records img, #records script, #records b").count() == 0
    records.get_by_role("row").filter(has_text="long_record").click()
    whole = records.get_by_role("row", expanded=True).filter(has_text="long_record")
    assert whole.locator("dd").filter(has_text="x" * 4000).count() == 30
    assert whole.bounding_box()["height"] < 800  # type: ignore[index]
    assert page.get_by_title("<img src=x>⟨U+202E⟩").count() == 1
    assert "taken" not in page.title()


def test_a_stack_trace_folds(watched: Watched, agent: Agent) -> None:
    """A record with a trace is one line until it is opened; its local time has UTC beside it."""
    page = watched.open(last_run(agent, "hostile-records"))
    row = page.get_by_role("row").filter(has_text="no_number")
    row.wait_for()
    assert "Traceback" not in row.inner_text()
    row.click()
    opened = page.get_by_role("row", expanded=True)
    opened.get_by_text("ValueError: invalid literal").wait_for()
    assert (opened.locator("time").get_attribute("title") or "").endswith(" UTC")


def test_records_of_stderr_are_marked(watched: Watched, agent: Agent) -> None:
    """A record that the broker did not get says so, and fields of any shape are shown."""
    record = (
        '{"message":"raw","level":"Warning","runId":"r","seq":1,"properties":{"progressId":[]}}'
    )
    add_script(agent.root, "raw", f"#!/bin/sh\necho '{record}' >&2\n")
    run = agent.run_job({"id": "raw", "name": "Raw", "tasks": [{"id": "raw", "command": "raw"}]})
    page = watched.open(run.run_id)
    row = page.get_by_role("treegrid", name="Records").get_by_role("row")
    row.filter(has_text="on stderr only").filter(has_text="progressId=[]").wait_for()


def test_records_are_searched(watched: Watched, agent: Agent) -> None:
    """What does not match a level or a text is not listed, and the page says how many are."""
    page = watched.open(last_run(agent, "hostile-records"))
    rows = page.get_by_role("treegrid", name="Records").get_by_role("row")
    rows.first.wait_for()
    page.get_by_label("Lowest level").select_option("Error and above")
    page.locator("#records-count").get_by_text("1 of 4").wait_for()
    assert "no_number" in rows.inner_text()
    page.get_by_label("Lowest level").select_option("All levels")
    page.get_by_role("searchbox", name="Search the records").fill("ESCAPE")
    page.locator("#records-count").get_by_text("1 of 4").wait_for()
    page.get_by_role("searchbox", name="Search the records").fill("nowhere")
    page.get_by_text("No record matches.").wait_for()


def test_keys(watched: Watched, agent: Agent) -> None:
    """Runs are chosen and opened, records searched, and the job run again, by keys alone."""
    page = watched.open(last_run(agent, "disk-space"))
    runs = page.get_by_role("listbox", name="Runs")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    opened = runs.get_by_role("option", selected=True)
    is_open = "run => location.hash === `#run=${run}`"
    page.wait_for_function(is_open, arg=last_run(agent, "findings"))
    opened.filter(has_text="findings").wait_for()
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_function(is_open, arg=last_run(agent, "disk-space"))
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.get_by_role("searchbox", name="Search the records").input_value() == "jk?"
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    form = page.get_by_role("dialog", name="Run disk-space")
    assert form.get_by_label("Percent").input_value() == "101"
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Records").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("tab", name="Document", selected=True).wait_for()


def test_everything_is_reached_by_tab(page: Page) -> None:
    """The Tab key comes to each control that is in view, and each shows that it has the focus."""
    wanted = page.evaluate("""() => [...document.querySelectorAll(
      'button, input, select, a, [tabindex="0"]')].filter((node) => node.checkVisibility()
      && !node.disabled && node.tabIndex === 0).length""")
    page.evaluate("document.activeElement.blur()")
    seen = 0
    while seen <= wanted:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        seen += 1
    assert seen == wanted


def test_settings_and_faults(watched: Watched, page: Page, agent: Agent) -> None:
    """Settings come with their layer; a fault is added, counted in the head, and switched off."""
    page.get_by_role("button", name="Settings").click()
    row = page.get_by_role("dialog", name="Settings").get_by_role("row")
    row.filter(has_text="max_bytes").get_by_text("written").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Faults 0").click()
    faults = page.get_by_role("dialog", name="Faults")
    faults.get_by_role("textbox", name="Fault").fill("api nonsense=1")
    faults.get_by_role("button", name="Add").click()
    faults.get_by_role("alert").get_by_text("nonsense").wait_for()
    assert "400" in watched.complaint()
    faults.get_by_role("textbox", name="Fault").fill("broker no_ack")
    faults.get_by_role("button", name="Add").click()
    switch = faults.get_by_role("switch", name="broker no_ack")
    switch.wait_for()
    page.get_by_role("button", name="⚠ Faults 1").wait_for()
    switch.click()
    page.get_by_role("button", name="Faults 0").wait_for()
    agent.faults.clear()


def test_a_job_is_disabled(page: Page, agent: Agent) -> None:
    """The switch of a job writes its document, and a job that is off cannot be run."""
    switch = page.get_by_role("switch", name="findings enabled")
    switch.click()
    page.get_by_role("switch", name="findings enabled", checked=False).wait_for()
    assert agent.jobs.get("findings")["enabled"] is False
    assert page.get_by_role("button", name="Run findings").is_disabled()
    switch.click()
    page.get_by_role("switch", name="findings enabled", checked=True).wait_for()


def test_two_pages_see_the_same(browser: Browser, page: Page, agent: Agent) -> None:
    """A second browser is let in by the next address, and each sees what the other starts."""
    assert agent.console is not None
    other = browser.new_context()
    second = Watched(other, enter(other, agent.console.address))
    second.open()
    second.page.get_by_role("button", name="Run hostile-records").click()
    second.page.get_by_role("button", name="Run", exact=True).click()
    second.page.wait_for_function("() => location.hash")
    second.page.locator("#run-facts").get_by_text("exit 0 (OK)").wait_for()
    run = second.page.url.partition("#run=")[2]
    page.locator(f"#run-{run}").get_by_text("exit 0 (OK)").wait_for()
    assert not second.complaints
    other.close()


def test_a_used_address_lets_nobody_in(browser: Browser, agent: Agent) -> None:
    """A second browser with the same address gets 403, and nothing of the agent."""
    assert agent.console is not None
    address = agent.console.address
    first, second = browser.new_context(), browser.new_context()
    enter(first, address)
    answer = second.new_page().goto(address)
    assert answer is not None
    assert answer.status == 403
    assert str(agent.root) not in answer.text()
    assert second.new_page().goto(address.partition("?")[0]).status == 403  # type: ignore[union-attr]
    first.close()
    second.close()


class _Foreign(BaseHTTPRequestHandler):
    """A page of another server on this machine."""

    def do_GET(self) -> None:
        """Answer with an empty page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>foreign</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_foreign_page_gets_403(context: BrowserContext, home: str, agent: Agent) -> None:
    """A page of another port, to which the browser sends the cookie too, can ask for nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Foreign)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = context.new_page()
    runs = len(agent.jobs.ended())
    try:
        for path, method in (("state", "GET"), ("jobs/key-scanner/trigger", "POST")):
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            with page.expect_navigation() as found:
                page.evaluate(
                    """([action, method]) => {
                      const form = Object.assign(document.createElement("form"), {action, method});
                      document.body.append(form);
                      form.submit();
                    }""",
                    [f"{home}console/api/{path}", method],
                )
            assert found.value.status == 403
            assert "cookie" in found.value.request.all_headers()
    finally:
        page.close()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
    assert len(agent.jobs.ended()) == runs


def test_a_request_without_the_token_gets_403(context: BrowserContext, home: str) -> None:
    """The cookie alone starts nothing; and what is written into the page does not run."""
    watched = Watched(context, home)
    page = watched.open()
    status = page.evaluate(
        """fetch("console/api/jobs/key-scanner/trigger", {
          method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"
        }).then((answer) => answer.status)"""
    )
    assert status == 403
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.text = "document.title = 'taken'";
      document.head.append(script);
    }""")
    assert "taken" not in page.title()
    assert any("Content Security Policy" in text for text in watched.complaints)
    page.close()


def test_narrow_pages_do_not_scroll_sideways(watched: Watched, agent: Agent) -> None:
    """At 400 px nothing is wider than the window: no tab, no card, no unfolded record."""
    watched.page.set_viewport_size({"width": 400, "height": 800})
    page = watched.open(last_run(agent, "hostile-records"))
    page.get_by_role("row").filter(has_text="long_record").click()

    def width() -> int:
        found: int = page.evaluate("document.documentElement.scrollWidth")
        return found

    assert width() == 400
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        assert width() == 400, tab
    for card in ("faults", "settings", "keys"):
        page.locator(f".tools [popovertarget={card}]").click()
        box = page.locator(f"#{card}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400, card
        page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(watched: Watched, agent: Agent, theme: str) -> None:
    """Controls have names, and each text a contrast of 4.5 to 1, in both themes."""
    watched.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page = watched.open(last_run(agent, "disk-space"))
    page.get_by_role("row").first.wait_for()
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        assert not faint(page), tab
        assert not nameless(page), tab
    for card in ("faults", "settings", "keys"):
        page.locator(f".tools [popovertarget={card}]").click()
        assert not faint(page), card
        assert not nameless(page), card
        page.keyboard.press("Escape")
    page.keyboard.press("r")
    assert not faint(page)
    assert not nameless(page)


def test_the_theme_is_switched_and_kept(page: Page) -> None:
    """The switch turns the theme over, for the next page too."""
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(colour)
    assert dark != before
    page.reload()
    assert page.evaluate(colour) == dark
    page.get_by_role("button", name="Dark theme", pressed=True).click()
    assert page.evaluate(colour) == before


def _without_records(route: Route) -> None:
    """Answer with the details of a run, so that its records come as events only."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "records": []})


def test_ten_thousand_records_stay_few_lines(browser: Browser) -> None:
    """The list holds the last 10 000, draws those in view, and follows the end unless one reads."""
    context = browser.new_context()
    with Agent(console_port=0) as agent:
        # A busy machine takes its time until all are acknowledged.
        add_job(agent, PROGRAMS / "many_records.py", f"--flush-timeout={PATIENCE}")
        watched = Watched(context, enter(context, agent.console.address))  # type: ignore[union-attr]
        watched.page.route("**/console/api/runs/*", _without_records)
        page = watched.open()
        page.get_by_role("button", name="Run key-scanner").click()
        page.get_by_label("Count").fill("10050")
        page.get_by_role("button", name="Run", exact=True).click()
        rows = page.get_by_role("treegrid", name="Records").get_by_role("row")
        page.wait_for_function("() => document.querySelector('#records').ariaRowCount > 100")
        page.locator("#records").press("Home")
        page.get_by_role("button", name=re.compile(r"↓ .* new")).click()
        page.get_by_text(re.compile("fell off, 10\u202f000 are kept")).wait_for()
        rows.filter(has_text="n=10049").wait_for()
        assert page.locator("#records").get_attribute("aria-rowcount") == "10000"
        assert rows.count() < 100
        assert not watched.complaints
        page.unroute_all(behavior="wait")
    context.close()


def test_an_agent_goes_and_another_one_comes(browser: Browser, tmp_path: Path) -> None:
    """The page says that the agent has stopped, and goes on when it is let in by the next one."""
    context = browser.new_context()
    with Agent(tmp_path / "agent", console_port=0) as agent:
        address = agent.console.address  # type: ignore[union-attr]
        page = Watched(context, enter(context, address)).open()
        page.get_by_text("No job has run yet.").wait_for()
        assert str(agent.root) in page.locator("#commands").inner_text()
    health = page.get_by_role("status")
    health.get_by_text(re.compile(r"the agent has stopped; last seen \d\d:\d\d:\d\d")).wait_for()
    port = urlsplit(address).port
    with Agent(tmp_path / "agent", console_port=port) as agent:
        health.get_by_text("not let in: open the address that the agent prints").wait_for()
        page.goto(agent.console.address)  # type: ignore[union-attr]
        health.get_by_text("healthy").wait_for()
    context.close()


def test_the_screenshots_are_made(browser: Browser, agent: Agent, tmp_path: Path) -> None:
    """The script that makes the pictures of the docs makes them; a wide and a narrow one here."""
    take(browser, agent, tmp_path, *SHOTS[1:3])
    assert {path.name for path in tmp_path.iterdir()} == {
        "console-dark.png",
        "console-narrow-light.png",
    }
    docs = Path(__file__).parents[2] / "docs" / "images"
    assert {path.name for path in docs.glob("console-*.png")} == {
        f"console-{shot.name}.png" for shot in SHOTS
    }
