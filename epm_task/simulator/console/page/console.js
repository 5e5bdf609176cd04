"use strict";
// The page of the agent's console. The server sends facts, and this shows them: all text enters the
// page through `el` as text nodes, no markup is ever read, and no request leaves the agent.

/** Records of one run that are held; the server keeps as many. */
const RECORDS_KEPT = 10_000;
/** Runs and lines of attention that are listed; the server sends as many. */
const LISTED = 200;
/** Characters of a record's folded line; the rest is seen when it is unfolded. */
const FOLDED = 400;
/** Milliseconds between two attempts to reach an agent that has stopped. */
const RETRY = 1000;
/** Milliseconds for which a page that nobody sees is kept up to date. */
const HIDDEN = 60_000;
/** Milliseconds between two readings of a run that goes on. */
const REFRESH = 300;
/** Tracked loops of a run that are shown, the last ones. */
const LOOPS = 4;
/** Pixels to the right of the time line, for the label of its end. */
const END_LABEL = 72;
const LEVELS = ["Trace", "Debug", "Information", "Warning", "Error", "Critical"];
const TABS = ["records", "messages", "output", "decisions", "document"];
const PHASES = {
  register: "waiting for registration", connect: "connecting", handler: "handler", flush: "flush",
};
const KINDS = {
  denied: "⚠ denied", refused: "⚠ refused", topic: "⚠ dropped", setting: "⚠ setting",
  failed: "✗ failed", job: "⚠ job",
};

const state = {
  csrf: "", agent: null, commands: [], jobs: [], jobsTotal: 0, runs: new Map(), attention: [],
  faults: [], faultKinds: [], job: null, cursor: null, open: null, detail: null, tab: "records",
  cleared: new Map(), explained: new Set(), filledFor: null,
};
const $ = (id) => document.getElementById(id);

// ---- Elements and words -------------------------------------------------------------------------

/** Return text in which no character is invisible or turns the direction of others. */
function printable(text) {
  return text.replaceAll("\r\n", "\n").replace(
    // eslint-disable-next-line no-control-regex
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => {
      const code = character.codePointAt(0);
      if (code < 0x20) return String.fromCodePoint(0x2400 + code);
      return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
    },
  );
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : printable(String(value)));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : printable(String(child)));
  }
  return node;
}

/** Return a new element; an attribute that is a function listens to the event of its name. */
const el = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const two = (number) => String(number).padStart(2, "0");

function clock(when, milliseconds = false) {
  const date = new Date(when);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return milliseconds ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

const utc = (when) => `${new Date(when).toISOString().replace("T", " ").replace("Z", "")} UTC`;
const timeOf = (when, milliseconds = false) =>
  el("time", { datetime: when, title: utc(when) }, clock(when, milliseconds));

/** Return a span of time as one reads it: `42 s`, `12 min`, `3 h`, `2 d`. */
function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** Return an element whose text `tick` keeps true: how long ago, or until when. */
function moving(when, before, after = "") {
  const node = el("span", { "data-when": when, "data-before": before, "data-after": after });
  node.title = utc(when);
  return tell(node);
}

function tell(node) {
  const { when, before, after } = node.dataset;
  const text = `${before}${span(Math.abs(Date.now() - new Date(when)))}${after}`;
  if (node.textContent !== text) node.textContent = text;
  return node;
}

const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const count = (number, noun) => `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
const seconds = (number) => (typeof number === "number" ? `${number.toFixed(2)} s` : "");
const pretty = (value) => JSON.stringify(value, null, 2) ?? "";

/** Return how a run ended, in words and with a sign, and the class of its colour. */
function ending(run) {
  if (!run.ended) return { sign: "●", words: "running", tone: "quiet" };
  if (run.exitCode === null) return { sign: "–", words: run.exitName ?? "not run", tone: "warn" };
  const words = `exit ${run.exitCode}` + (run.exitName ? ` (${run.exitName})` : "");
  return run.exitCode === 0
    ? { sign: "✓", words, tone: "good" }
    : { sign: "✗", words, tone: "bad" };
}

/** Bring the children of *parent* in line with *items*; one is made anew when its mark changed. */
function reconcile(parent, items, key, mark, make) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = before.get(name);
    before.delete(name);
    if (!child || child.mark !== mark(item)) {
      const focused = child?.contains(document.activeElement) && document.activeElement.dataset.act;
      const fresh = make(item);
      fresh.dataset.key = name;
      fresh.mark = mark(item);
      if (child === place) place = child?.nextElementSibling ?? null;
      child?.remove();
      parent.insertBefore(fresh, place);
      if (focused) fresh.querySelector(`[data-act="${focused}"]`)?.focus();
      child = fresh;
    } else if (child === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(child, place);
    }
  }
  for (const gone of before.values()) gone.remove();
}

const dirty = new Set();

/** Draw these parts of the page once, with the next picture. */
function later(...parts) {
  if (!dirty.size) (document.hidden ? setTimeout : requestAnimationFrame)(paint, REFRESH);
  for (const part of parts) dirty.add(part);
}

function paint() {
  const parts = [...dirty];
  dirty.clear();
  for (const part of parts) part();
}

function copyButton(text) {
  const button = el("button", { type: "button", "data-act": "copy" }, "Copy");
  button.addEventListener("click", async () => {
    const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
}

// ---- The agent ----------------------------------------------------------------------------------

/** The agent refused a request, and says why. */
class Refused extends Error {
  constructor(status, body) {
    const said = [body?.error ?? `the agent answered ${status}`, body?.fix];
    super(said.filter(Boolean).join("; "));
    this.status = status;
  }
}

async function ask(path, body) {
  const headers = { "Content-Type": "application/json", "X-Console-Token": state.csrf };
  const post = body && { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(`console/api/${path}`, post).catch(() => {
    throw new Refused(0, { error: "the agent cannot be reached" });
  });
  const found = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, found);
  return found;
}

function setHealth(name, words) {
  $("health").dataset.state = name;
  $("health-text").textContent = words;
}

let stream = null;
let attempt = null;

/** Read the agent's state whole and follow its events; again and again while it is not there. */
async function connect() {
  stream?.close();
  clearTimeout(attempt);
  try {
    load(await ask("state"));
  } catch (error) {
    if (error.status) setHealth("gone", "not let in: open the address that the agent prints");
    attempt = setTimeout(connect, RETRY);
  }
}

function load({ runs, lastId, ...rest }) {
  state.runs = new Map(runs.map((run) => [run.id, run]));
  Object.assign(state, rest);
  setHealth("live", state.agent.healthy ? "healthy" : "not healthy");
  follow(lastId);
  drawHead();
  later(drawJobs, drawRuns, drawAttention, drawFaults);
  const newest = state.runs.keys().next().value;
  if (state.open) readRun();
  else show(addressed() ?? newest);
}

function follow(after) {
  stream?.close();
  stream = new EventSource(`console/api/events?after=${after}`);
  const lost = () => {
    stream.close();
    setHealth("gone", `the agent has stopped; last seen ${clock(Date.now())}`);
    attempt = setTimeout(connect, RETRY);
  };
  for (const [name, take] of Object.entries(EVENTS)) {
    stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  }
  stream.addEventListener("reset", connect);
  stream.addEventListener("end", lost);
  stream.addEventListener("error", lost);
}

/** Give the connection back when nobody looks: browsers allow six to a server. */
function shownOrHidden() {
  clearTimeout(attempt);
  if (!document.hidden) connect();
  else attempt = setTimeout(() => stream?.close(), HIDDEN);
}

const EVENTS = {
  run(run) {
    state.runs.set(run.id, run);
    later(drawRuns);
    if (!state.open) show(run.id);
    else if (run.id === state.open) later(drawRun, readSoon);
  },
  record(record) {
    if (record.runId === state.open) records.add([record]);
  },
  message(message) {
    if (message.runId !== state.open || !state.detail) return;
    state.detail.messages.push(message);
    later(drawMessages);
  },
  attention(line) {
    state.attention = state.attention.filter((other) => other.id !== line.id);
    state.attention.unshift(line);
    state.attention.length = Math.min(state.attention.length, LISTED);
    $("announce").textContent = printable(line.what);
    later(drawAttention);
  },
  jobs(jobs) {
    state.jobs = jobs;
    later(drawJobs);
  },
  job(job) {
    const place = state.jobs.findIndex((other) => other.id === job.id);
    state.jobs.splice(place < 0 ? state.jobs.length : place, place < 0 ? 0 : 1, job);
    later(drawJobs);
  },
  faults(faults) {
    state.faults = faults;
    later(drawFaults);
  },
};

function drawHead() {
  const { root, baseUrl, broker, startedAt, version } = state.agent;
  const port = (address) => `:${address.split(":").at(-1).replace("/", "")}`;
  const fact = (name, value, title, shrinks) =>
    el("div", { class: shrinks && "shrinks", title }, el("dt", {}, name), el("dd", {}, value));
  $("facts").replaceChildren(
    fact("root", root, root, true),
    fact("API", port(baseUrl), baseUrl),
    fact("broker", port(broker), broker),
    fact("up", moving(startedAt, ""), `epm_task ${version}`),
  );
}

function tick() {
  for (const node of document.querySelectorAll("[data-when]")) tell(node);
}

// ---- What needs attention -----------------------------------------------------------------------

/** Return the lines that were not cleared, the same ones together, newest first. */
function attentionGroups() {
  const groups = new Map();
  for (const line of state.attention) {
    const key = JSON.stringify([line.kind, line.jobId, line.what, line.why]);
    if (state.cleared.get(key) >= line.at) continue;
    const group = groups.get(key) ?? { key, line, times: 0 };
    group.times += line.times ?? 1;
    groups.set(key, group);
  }
  return [...groups.values()];
}

function drawAttention() {
  const groups = attentionGroups();
  const mark = ({ key, line, times }) => [line.id, line.at, times, state.explained.has(key)].join();
  reconcile($("attention-list"), groups, (group) => group.key, mark, attentionLine);
  $("attention-empty").hidden = groups.length > 0;
  $("attention-clear").hidden = !groups.length;
  $("attention-count").textContent = groups.length ? grouped(groups.length) : "";
  document.querySelector(".attention").classList.toggle("some", groups.length > 0);
  document.title = groups.length ? `(${groups.length}) Agent console` : "Agent console";
}

function attentionLine({ key, line, times }) {
  const open = state.explained.has(key);
  const explain = () => {
    if (!state.explained.delete(key)) state.explained.add(key);
    later(drawAttention);
  };
  const named = line.jobId && !line.what.includes(line.jobId) && `${line.jobId}: `;
  return el("li", {},
    timeOf(line.at),
    el("span", { class: `kind ${line.kind === "failed" ? "bad" : "warn"}` },
      KINDS[line.kind] ?? line.kind),
    el("div", { class: "what" },
      line.runId
        ? el("a", { href: runAddress(line.runId), "data-act": "run" }, named, line.what)
        : [named, line.what],
      times > 1 && el("span", { class: "times" }, ` × ${grouped(times)}`),
      line.why && el("p", { class: "why" }, line.why),
      line.fix && el("p", { class: "fix" }, line.fix)),
    el("div", { class: "acts" },
      line.explain && el("button", {
        type: "button", "data-act": "explain", "aria-expanded": String(open), click: explain,
      }, line.rule ? `Explain ${line.rule}` : "Explain"),
      line.copy && copyButton(line.copy)),
    open && el("p", { class: "explained" }, line.explain));
}

function clearAttention() {
  for (const { key, line } of attentionGroups()) state.cleared.set(key, line.at);
  drawAttention();
}

// ---- Jobs ---------------------------------------------------------------------------------------

function drawJobs() {
  const wanted = $("jobs-search").value.toLowerCase();
  const found = state.jobs.filter((job) => `${job.id} ${job.name}`.toLowerCase().includes(wanted));
  reconcile($("jobs-list"), found.slice(0, LISTED), (job) => job.id, pretty, jobLine);
  for (const line of $("jobs-list").children) {
    line.classList.toggle("chosen", line.dataset.key === state.job);
  }
  $("jobs-count").textContent = grouped(Math.max(state.jobsTotal, state.jobs.length));
  $("jobs-search").hidden = state.jobs.length < 10;
  const rest = found.length - LISTED;
  $("jobs-empty").hidden = found.length > 0 && rest <= 0;
  $("jobs-empty").textContent = rest > 0 ? `and ${grouped(rest)} more: type to find them`
    : wanted ? "No job has this name." : "The agent has no job.";
}

function jobLine(job) {
  const enable = `jobs/${encodeURIComponent(job.id)}/enabled`;
  const { sign, words, tone } = ending({
    ended: !job.running, exitCode: job.lastExit, exitName: job.lastExitName,
  });
  const last = job.running ? "running" : job.lastEnded && moving(job.lastEnded, "", " ago");
  const due = job.enabled && job.nextDue && [" · ", moving(job.nextDue, "due in ")];
  return el("li", {},
    el("button", {
      type: "button", class: "name", "data-act": "name", title: `${job.name}: show its runs only`,
      click: () => chooseJob(job.id),
    }, job.id),
    el("span", { class: `last ${tone}`, title: words }, last ? [`${sign} `, last] : ""),
    el("span", { class: "due" }, job.schedule === "none" ? "no schedule" : job.schedule, due),
    job.stored && el("span", { class: "acts" },
      el("button", {
        type: "button", "data-act": "run", "aria-label": `Run ${job.id}`, disabled: !job.enabled,
        click: () => openStarter(job.id),
      }, "Run…"),
      el("button", {
        type: "button", class: "switch", role: "switch", "data-act": "switch",
        "aria-checked": String(job.enabled), "aria-label": `${job.id} enabled`,
        click: () => orSay(ask(enable, { enabled: !job.enabled })),
      }, job.enabled ? "on" : "off")));
}

/** Say in the line of attention what a request could not do. */
async function orSay(request) {
  try {
    await request;
  } catch (error) {
    const at = new Date().toISOString();
    const line = { id: at, at, kind: "refused", jobId: null, runId: null, what: error.message };
    EVENTS.attention(line);
  }
}

function chooseJob(id) {
  state.job = state.job === id ? null : id;
  later(drawJobs, drawRuns);
}

// ---- Runs ---------------------------------------------------------------------------------------

function listedRuns() {
  const newest = [...state.runs.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  for (const run of newest.splice(LISTED)) state.runs.delete(run.id);
  return newest.filter((run) => !state.job || run.jobId === state.job);
}

function drawRuns() {
  const runs = listedRuns();
  reconcile($("runs-list"), runs, (run) => run.id, (run) => run, runLine);
  for (const line of $("runs-list").children) {
    line.setAttribute("aria-selected", String(line.dataset.key === state.open));
    line.classList.toggle("cursor", line.dataset.key === state.cursor);
  }
  const cursor = $("runs-list").querySelector(".cursor");
  if (cursor) $("runs-list").setAttribute("aria-activedescendant", cursor.id);
  $("runs-count").textContent = `${runs.length === LISTED ? "last " : ""}${runs.length || ""}`;
  $("runs-filter").hidden = !state.job;
  $("runs-filter").textContent = `${state.job} only ×`;
  $("runs-list").hidden = !runs.length;
  $("runs-empty").hidden = runs.length > 0;
  reconcile($("commands"), state.commands, (command) => command, (command) => command, (command) =>
    el("li", {}, el("code", {}, command), copyButton(command)));
}

function runLine(run) {
  const { sign, words, tone } = ending(run);
  const notes = [
    run.denied && el("span", { class: "warn" }, `${run.denied} denied`),
    run.stderr && el("span", { class: "warn" }, "⚠ stderr"),
    run.records && count(run.records, "record"),
    run.messages && count(run.messages, "message"),
  ].filter(Boolean);
  const at = timeOf(run.startedAt);
  at.className = "at";
  return el("div", { role: "option", id: `run-${run.id}`, click: () => go(run.id) },
    at,
    el("span", { class: "job", title: run.jobId }, run.jobId),
    el("span", { class: "trigger quiet" }, run.trigger),
    el("span", { class: "seconds" }, seconds(run.seconds)),
    phaseBar(run),
    el("span", { class: `exit ${tone}`, title: words }, `${sign} ${words}`),
    el("span", { class: "notes quiet" },
      notes.flatMap((note, place) => (place ? [" · ", note] : [note]))));
}

const phaseWords = ({ name, from, to }) => `${PHASES[name] ?? name} ${seconds(to - from)}`;

/** Return the phases of a run as rectangles; *x* says where a moment is. */
const phaseRects = (run, x, y, height) => run.phases.map((phase) =>
  drawn("rect", {
    class: `phase ${phase.name}`, x: x(phase.from), y, height,
    width: Math.max(1, x(phase.to) - x(phase.from)),
  }, drawn("title", {}, phaseWords(phase))));

/** Return the small bar that shows how a run spent its time. */
function phaseBar(run) {
  const total = Math.max(run.seconds ?? 0, ...run.phases.map((phase) => phase.to), 0.001);
  const title = run.phases.map(phaseWords).join(", ") || "no phase is known";
  return drawn("svg", { class: "phases", viewBox: "0 0 96 8", role: "img", "aria-label": title },
    drawn("rect", { class: "phase rest", width: 96, height: 8 }),
    phaseRects(run, (at) => (at / total) * 96, 0, 8));
}

/** Move the mark by *step* runs, as `j` and `k` do. */
function moveCursor(step) {
  const ids = listedRuns().map((run) => run.id);
  if (!ids.length) return;
  const at = ids.indexOf(state.cursor ?? state.open);
  state.cursor = ids[Math.min(ids.length - 1, Math.max(0, at + step))];
  drawRuns();
  $("runs-list").querySelector(".cursor").scrollIntoView({ block: "nearest" });
  $("runs-list").focus({ focusVisible: true });
}

const runAddress = (id) => `#run=${encodeURIComponent(id)}`;
const addressed = () => new URLSearchParams(location.hash.slice(1)).get("run");

/** Open a run, and let the address hold it. */
function go(id) {
  if (addressed() === id) show(id);
  else location.hash = runAddress(id);
}

// ---- The run that is open -----------------------------------------------------------------------

function show(id) {
  if (!id) return;
  state.open = id;
  state.cursor = id;
  state.detail = null;
  records.clear();
  later(drawRuns, drawRun);
  readRun();
}

let reading = null;

/** Read the open run again: soon when it has ended, else the more seldom the longer it is. */
function readSoon() {
  const { ended, records: length } = openRun();
  if (reading && !ended) return;
  clearTimeout(reading);
  reading = setTimeout(() => { reading = null; readRun(); }, REFRESH + (ended ? 0 : length));
}

async function readRun() {
  const id = state.open;
  try {
    const detail = await ask(`runs/${encodeURIComponent(id)}`);
    if (state.open !== id) return;
    state.detail = detail;
    state.runs.set(id, detail.run);
    records.add(detail.records);
    later(drawRuns);
  } catch (error) {
    if (error.status !== 404 || state.open !== id) return;
    state.detail = null;
  }
  later(drawRun, drawRecords);
}

const openRun = () => state.runs.get(state.open) ?? state.detail?.run;

function drawRun() {
  const run = openRun();
  $("run").hidden = !state.open;
  $("run-again").hidden = !state.jobs.some((job) => job.id === run?.jobId && job.stored);
  if (!run) {
    $("run-title").textContent = "Unknown run";
    $("run-facts").replaceChildren(
      el("span", { class: "warn" }, "⚠ the agent does not know it, or no longer"));
    $("time-line").replaceChildren();
    return;
  }
  const { sign, words, tone } = ending(run);
  $("run-title").textContent = printable(run.jobId);
  $("run-facts").replaceChildren(
    el("span", { class: tone }, `${sign} ${words}`),
    el("span", { class: "quiet" }, `${run.trigger} at `, timeOf(run.startedAt)),
    el("span", { class: "quiet" }, seconds(run.seconds)));
  drawTimeLine();
  drawProgress();
  drawMessages();
  drawOutput();
  drawDecisions();
  drawDocument();
}

/** Return the points of a run; refusals that follow each other are one. */
function mergedPoints(run, points) {
  const merged = [];
  for (const { what, text, at } of points) {
    const last = merged.at(-1);
    if (what === "403" && last?.what === what) last.at.push(at);
    else merged.push({ what, text: text || what, at: [at] });
  }
  for (const point of merged) {
    point.tone = { 403: "refused", exit: ending(run).tone }[point.what] ?? "";
    point.label = point.what === "exit" ? `exit ${run.exitCode ?? ""}` : point.what;
    if (point.at.length > 1) point.label += ` × ${point.at.length}`;
  }
  return merged;
}

/** Give each label a row above those whose marks it would be crossed by; return how many rows. */
function placeLabels(points, x) {
  const placed = [];
  for (const point of [...points].reverse()) {
    const left = x(point.at[0]);
    const right = left + point.label.length * 7 + 12;
    const crossed = placed.filter((other) => other.at.some((at) => x(at) >= left && x(at) < right));
    point.row = Math.max(-1, ...crossed.map((other) => other.row)) + 1;
    placed.push(point);
  }
  return Math.max(0, ...points.map((point) => point.row)) + 1;
}

function drawTimeLine() {
  const run = openRun();
  const box = $("time-line");
  const width = box.clientWidth - 32 - END_LABEL;
  if (!run || width <= 0) return;
  const points = mergedPoints(run, state.detail?.points ?? []);
  const last = [...run.phases.map((phase) => phase.to), ...points.map((point) => point.at.at(-1))];
  const total = Math.max(run.seconds ?? 0, 0.001, ...last);
  const x = (at) => 1 + (Math.max(0, at) / total) * (width - 2);
  const rows = placeLabels(points, x);
  const band = rows * 16 + 4;
  const words = points.map((point) => `${point.label} at ${seconds(point.at[0])}`).join(", ");
  box.replaceChildren(
    drawn("svg", { height: band + 16, role: "img", "aria-label": `Time line: ${words}` },
      drawn("rect", { class: "phase rest", x: 0, y: band, width, height: 12 }),
      phaseRects(run, x, band, 12),
      points.map((point) => pointMark(point, rows, band, x)),
      drawn("text", { class: "quiet", x: width + 5, y: band + 11 }, seconds(run.seconds))));
}

function pointMark(point, rows, band, x) {
  const top = (rows - 1 - point.row) * 16;
  const lines = point.at.map((at, index) => drawn("line", {
    class: `mark ${point.tone}`, x1: x(at), x2: x(at), y1: index ? band : top + 4, y2: band + 12,
  }));
  return drawn("g", {}, drawn("title", {}, `${seconds(point.at[0])}  ${point.text}`), lines,
    drawn("text", { class: point.tone, x: x(point.at[0]) + 4, y: top + 14 }, point.label));
}

/** Show how far the loops of the run are; one whose last record never came ends with the run. */
function drawProgress() {
  const ended = openRun()?.ended;
  const lines = [...records.progress.values()].slice(-LOOPS).map(({ message, fields }) => {
    const { done, total, rate, remainingSeconds: rest } = fields;
    const how = fields.state === "running" && ended ? "stopped" : fields.state;
    const words = [
      total ? `${grouped(done)} of ${grouped(total)}` : grouped(done),
      rate && `${grouped(rate)} a second`,
      how !== "running" ? how : rest && `${span(rest * 1000)} left`,
    ];
    return el("li", {},
      el("span", { class: "name" }, message),
      total ? el("progress", { value: done, max: total, "aria-label": message }) : el("span"),
      el("span", { class: "quiet" }, words.filter(Boolean).join(" · ")));
  });
  $("progress").replaceChildren(...lines);
}

function setTab(name, focus = false) {
  state.tab = name;
  for (const tab of TABS) {
    const chosen = tab === name;
    $(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
    $(`panel-${tab}`).hidden = !chosen;
  }
  if (focus) $(`tab-${name}`).focus();
  if (name === "records") records.draw();
}

/** Put a number beside the name of a tab, with a sign for the eye and a word for the ear. */
function nameTab(name, number, sign = "", word = "") {
  const title = name[0].toUpperCase() + name.slice(1);
  const tab = $(`tab-${name}`);
  tab.textContent = number ? `${title} ${sign}${grouped(number)}` : title;
  tab.setAttribute("aria-label", number ? `${title}, ${number}${word}` : title);
}

const heading = (text, ...more) => el("h3", {}, text, ...more);
const calm = (text) => el("p", { class: "quiet" }, text);

function drawMessages() {
  const topics = Map.groupBy(state.detail?.messages ?? [], (message) => message.topic);
  nameTab("messages", state.detail?.messages.length);
  const parts = [...topics].map(([topic, messages]) => [
    heading(el("span", { class: "mono" }, topic),
      el("span", { class: "times" }, count(messages.length, "message"))),
    el("div", { class: "entries" }, messages.slice(-LISTED).map((message) => [
      timeOf(message.at, true), el("div", { class: "mono" }, message.payload),
    ])),
  ]);
  $("panel-messages").replaceChildren(
    ...(parts.length ? parts.flat() : [calm("The run has published nothing but its records.")]));
}

function drawOutput() {
  const { stdout, stderr, result, problem, skipped } = state.detail ?? {};
  nameTab("output");
  const given = result !== null && result !== undefined;
  const part = (name, text) => text && [heading(name), el("pre", {}, text)];
  const parts = [
    part("Nothing was run", skipped), part("Problem", problem),
    part("Result", given && pretty(result)),
    part("stderr", stderr),
    part("stdout", stdout),
  ].filter(Boolean).flat();
  $("panel-output").replaceChildren(
    ...(parts.length ? parts : [calm("The run has written nothing on stdout and stderr.")]));
}

function drawDecisions() {
  const decisions = state.detail?.decisions ?? [];
  const denied = decisions.filter((decision) => decision.denied).length;
  nameTab("decisions", denied, "⚠ ", " denied");
  const parts = decisions.map((decision) => [
    timeOf(decision.at, true),
    decision.denied
      ? el("div", { class: "warn" }, "✗ denied") : el("div", { class: "quiet" }, "done"),
    el("div", {}, decision.what,
      decision.reason && el("span", { class: "quiet" }, `: ${decision.reason}`)),
  ]);
  $("panel-decisions").replaceChildren(parts.length
    ? el("div", { class: "entries three" }, parts.flat())
    : calm("The agent has decided nothing about this run."));
}

function drawDocument() {
  const { document: job, context } = state.detail ?? {};
  if (!job) {
    $("panel-document").replaceChildren(calm("The job document is not known."));
    return;
  }
  $("panel-document").replaceChildren(
    heading("Event context"), el("pre", {}, pretty(context ?? {})),
    heading("Job document", copyButton(pretty(job))), el("pre", {}, pretty(job)));
}

// ---- Records ------------------------------------------------------------------------------------

const fieldText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The records of one run: only those in view are in the page, however many there are. */
class RecordList {
  constructor(box, canvas) {
    Object.assign(this, { box, canvas, level: 0, wanted: null });
    this.clear();
    box.addEventListener("scroll", () => this.scrolled());
    box.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    Object.assign(this, { all: [], shown: [], dropped: 0, fresh: 0, cursor: 0 });
    Object.assign(this, { following: true, before: 0 });
    this.seen = new Set();
    this.progress = new Map(); // the last record of each loop that is tracked
    this.open = new Map(); // a record that is unfolded, and the height that this adds
    this.lines = new Map();
    later(drawRecords);
  }

  /** Take new records, in their order; those that are here already are passed over. */
  add(fresh) {
    const news = fresh.filter((record) => !this.seen.has(record.id));
    if (!news.length) return;
    for (const record of news) {
      this.seen.add(record.id);
      const loop = record.fields?.progressId;
      if (Number.isInteger(loop) && Number.isInteger(record.fields.done)) {
        this.progress.set(loop, record);
        later(drawProgress);
      }
    }
    this.all.push(...news);
    const shown = news.filter((record) => this.matches(record));
    this.shown.push(...shown);
    if (!this.following) this.fresh += shown.length;
    const over = this.all.length - RECORDS_KEPT;
    if (over > 0) this.drop(over);
    later(drawRecords);
  }

  drop(over) {
    const gone = new Set(this.all.splice(0, over));
    this.dropped += over;
    const hidden = this.shown.findIndex((record) => !gone.has(record));
    this.shown.splice(0, hidden < 0 ? this.shown.length : hidden);
    for (const record of gone) this.open.delete(record);
  }

  filter(level, text) {
    this.level = LEVELS.indexOf(level);
    this.wanted = text && new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i");
    this.shown = this.all.filter((record) => this.matches(record));
    Object.assign(this, { cursor: 0, fresh: 0 });
    this.draw();
    if (this.following) this.toEnd();
  }

  matches(record) {
    if (LEVELS.indexOf(record.level) < this.level) return false;
    if (!this.wanted) return true;
    const texts = [record.message, record.exception ?? "", JSON.stringify(record.fields)];
    return texts.some((text) => this.wanted.test(text));
  }

  /** Return where each unfolded record is, as pairs of its place and its further height. */
  unfolded() {
    const places = [...this.open].map(([record, more]) => [this.shown.indexOf(record), more]);
    return places.filter(([place]) => place >= 0).sort((a, b) => a[0] - b[0]);
  }

  top(place, unfolded) {
    const before = unfolded.filter(([other]) => other < place);
    return before.reduce((sum, [, more]) => sum + more, place * this.row);
  }

  draw() {
    this.row = parseInt(getComputedStyle(this.box).getPropertyValue("--row"), 10);
    const unfolded = this.unfolded();
    this.canvas.style.height = `${this.top(this.shown.length, unfolded)}px`;
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
    const more = unfolded.reduce((sum, [, height]) => sum + height, 0);
    const first = Math.max(0, Math.floor((this.box.scrollTop - more) / this.row) - 4);
    const last = Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.row) + 4;
    const lines = new Map();
    for (let place = first; place < Math.min(last, this.shown.length); place += 1) {
      const record = this.shown[place];
      const line = this.lines.get(record) ?? this.line(record);
      line.id = `record-${place}`;
      line.setAttribute("aria-rowindex", place + 1);
      line.classList.toggle("cursor", place === this.cursor);
      line.style.transform = `translateY(${this.top(place, unfolded)}px)`;
      lines.set(record, line);
    }
    for (const [record, line] of this.lines) if (lines.get(record) !== line) line.remove();
    for (const line of lines.values()) if (!line.isConnected) this.canvas.append(line);
    this.lines = lines;
    this.box.setAttribute("aria-rowcount", this.shown.length);
    if (lines.has(this.shown[this.cursor])) {
      this.box.setAttribute("aria-activedescendant", `record-${this.cursor}`);
    } else this.box.removeAttribute("aria-activedescendant");
    this.measure();
  }

  /** Learn how high unfolded records are, which only the drawn line knows. */
  measure() {
    const changed = [...this.open].filter(([record, more]) => {
      const height = this.lines.get(record)?.offsetHeight;
      if (height === undefined || height - this.row === more) return false;
      this.open.set(record, height - this.row);
      return true;
    });
    if (changed.length) this.draw();
  }

  line(record) {
    const open = this.open.has(record);
    const fold = { click: () => { if (!String(getSelection())) this.toggle(record); } };
    const head = record.message.slice(0, FOLDED).split("\n", 1)[0];
    const cut = head.length < record.message.length ? " …" : "";
    const pairs = Object.entries(record.fields ?? {}).map(([name, value]) =>
      el("span", { class: "pair" }, `${name}=${fieldText(value).slice(0, FOLDED)}`));
    const line = el("div", {
      class: `record level-${record.level}${open ? " open" : ""}`, role: "row",
      "aria-level": 1, "aria-expanded": String(open),
    }, el("div", { class: "short", ...fold },
      el("span", { class: "fold", "aria-hidden": "true" }, open ? "▾" : "▸"),
      timeOf(record.at, true),
      el("span", { class: "level", role: "gridcell" }, record.level),
      el("span", { class: "text", role: "gridcell" }, head, cut,
        record.channel === "stderr" && el("span", { class: "pair warn" }, "on stderr only"),
        record.exception && el("span", { class: "pair" }, "stack trace"), pairs)));
    line.querySelector("time").setAttribute("role", "gridcell");
    if (open) line.append(this.whole(record));
    return line;
  }

  whole(record) {
    const fields = Object.entries(record.fields ?? {}).map(([name, value]) =>
      [el("dt", {}, name), el("dd", {}, fieldText(value))]);
    return el("div", { class: "whole", role: "gridcell" },
      el("pre", {}, record.message),
      el("dl", {}, fields, el("dt", {}, "at"), el("dd", {}, utc(record.at))),
      record.exception && el("pre", { class: "trace" }, record.exception));
  }

  toggle(record) {
    if (!this.open.delete(record)) this.open.set(record, 0);
    this.cursor = this.shown.indexOf(record);
    this.lines.get(record)?.remove();
    this.lines.delete(record);
    this.draw();
    this.reveal();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    if (scrollTop < this.before) this.following = false; // and not when the window has shrunk
    if (scrollHeight - scrollTop - clientHeight < 4) this.following = true;
    this.before = scrollTop;
    if (this.following) this.fresh = 0;
    later(drawRecords);
  }

  toEnd() {
    Object.assign(this, { following: true, fresh: 0 });
    drawRecords();
  }

  key(event) {
    const page = Math.floor(this.box.clientHeight / this.row);
    const steps = {
      ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity,
    };
    const record = this.shown[this.cursor];
    if (!record || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in steps) {
      this.cursor = Math.min(this.shown.length - 1, Math.max(0, this.cursor + steps[event.key]));
      this.reveal();
    } else if (["Enter", " "].includes(event.key)) this.toggle(record);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Bring the record of the cursor into view; who reads it does not follow the end. */
  reveal() {
    this.following = false;
    const top = this.top(this.cursor, this.unfolded());
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else {
      const height = this.row + (this.open.get(this.shown[this.cursor]) ?? 0);
      const over = top + height - scrollTop - clientHeight;
      if (over > 0) this.box.scrollTop += Math.min(over, top - scrollTop);
    }
    this.draw();
  }
}

const records = new RecordList($("records"), $("records-canvas"));

function drawRecords() {
  const { all, shown, dropped, fresh } = records;
  if (state.tab === "records") records.draw();
  nameTab("records", all.length);
  const part = shown.length < all.length && `${grouped(shown.length)} of ${grouped(all.length)}`;
  const lost = Math.max(dropped, state.detail?.truncated.records ?? 0);
  const old = lost ? `the first ${grouped(lost)} fell off, ${grouped(RECORDS_KEPT)} are kept` : "";
  $("records-count").textContent = [part, old].filter(Boolean).join(" · ");
  $("fresh").hidden = !fresh;
  $("fresh").textContent = `↓ ${grouped(fresh)} new`;
  $("records-empty").hidden = shown.length > 0;
  const more = openRun()?.stderr ? " What it wrote on stderr is in Output." : "";
  const nothing = state.detail ? `The run has logged nothing.${more}` : "";
  $("records-empty").textContent = all.length ? "No record matches." : nothing;
}

// ---- Faults, settings, the form of a run --------------------------------------------------------

function drawFaults() {
  const on = state.faults.filter((fault) => fault.on).length;
  $("faults-button").textContent = on ? `⚠ Faults ${on}` : "Faults 0";
  $("faults-button").classList.toggle("on-now", on > 0);
  $("faults-empty").hidden = state.faults.length > 0;
  reconcile($("faults-list"), state.faults, (fault) => fault.id, pretty, faultLine);
  reconcile($("fault-kinds"), state.faultKinds, (kind) => kind.text, (kind) => kind.text, (kind) =>
    el("li", {},
      el("button", {
        type: "button", class: "plain", click: () => chooseFault(kind.text),
      }, kind.text),
      el("span", { class: "quiet" }, kind.help)));
}

function faultLine(fault) {
  const left = fault.left === null || fault.left === undefined ? "" : ` · ${fault.left} left`;
  return el("li", {},
    el("button", {
      type: "button", class: "switch mono", role: "switch", "data-act": "switch",
      "aria-checked": String(fault.on),
      click: () => changeFaults(`faults/${encodeURIComponent(fault.id)}`, { on: !fault.on }),
    }, fault.text),
    el("span", { class: "quiet" },
      `${fault.on ? "on" : "off"} · happened ${fault.fired ?? 0} ×${left}`));
}

function chooseFault(text) {
  $("fault-text").value = text;
  $("fault-text").focus();
}

async function changeFaults(path, body) {
  $("fault-problem").textContent = "";
  try {
    const faults = await ask(path, body);
    if (Array.isArray(faults)) EVENTS.faults(faults);
    return true;
  } catch (error) {
    $("fault-problem").textContent = printable(error.message);
    return false;
  }
}

async function drawSettings() {
  const settings = await ask("settings").catch((error) => error);
  if (settings instanceof Error) {
    $("settings-list").replaceChildren(el("p", { class: "bad" }, settings.message));
    return;
  }
  const cell = (role, ...children) => el("span", { role }, ...children);
  const titles = ["key", "value", "layer", "last seen by a task"];
  const row = (setting) => el("div", { role: "row" },
    el("span", { role: "cell", class: "mono" }, setting.key),
    el("span", { role: "cell", class: "mono" }, fieldText(setting.value)),
    cell("cell", setting.layer),
    cell("cell", setting.lastSeen
      ? el("a", { href: runAddress(setting.lastSeen.runId) }, timeOf(setting.lastSeen.at))
      : el("span", { class: "quiet" }, "not yet")));
  const parts = [...Map.groupBy(settings, (setting) => setting.plugin)].map(([plugin, own]) => [
    heading(plugin),
    el("div", { class: "settings", role: "table", "aria-label": plugin },
      el("div", { role: "row" }, titles.map((title) => cell("columnheader", title))), own.map(row)),
  ]);
  $("settings-list").replaceChildren(
    ...(parts.length ? parts.flat() : [calm("No plugin has settings.")]));
}

/** Open the form that starts a job, filled with the *context* of an earlier run. */
function openStarter(jobId, context = {}) {
  const parameters = state.jobs.find((job) => job.id === jobId)?.parameters ?? [];
  const known = new Set(parameters.map((parameter) => parameter.name));
  const rest = Object.entries(context).filter(([name]) => !known.has(name));
  state.filledFor = { jobId, parameters };
  $("starter-title").textContent = `Run ${printable(jobId)}`;
  $("starter-fields").replaceChildren(...(parameters.length
    ? parameters.map((parameter) => field(parameter, context[parameter.name]))
    : [calm("The job has no parameters.")]));
  $("starter-context").value = rest.length ? pretty(Object.fromEntries(rest)) : "";
  $("starter-context").closest("details").open = rest.length > 0;
  $("starter-problem").textContent = "";
  $("starter").showModal();
  ($("starter-fields").querySelector("input, select") ?? $("starter-run")).focus();
}

function field(parameter, given) {
  const { name, type, required, secret, help } = parameter;
  const id = `parameter-${name}`;
  const usual = parameter.default ?? "";
  const choices = type === "bool" ? ["true", "false"] : parameter.choices;
  const shared = { id, name, required, "aria-describedby": help && `${id}-help` };
  const input = choices
    ? el("select", shared, el("option", { value: "" }, usual === "" ? "" : `${usual} (default)`),
      choices.map((choice) => el("option", { value: choice }, choice)))
    : el("input", {
      ...shared, type: secret ? "password" : "text", placeholder: usual, spellcheck: "false",
      autocomplete: "off", inputmode: type === "int" && "numeric",
    });
  if (given !== undefined && given !== null && !secret) input.value = fieldText(given);
  return el("div", { class: "field" },
    el("label", { for: id }, name,
      el("span", { class: "quiet" }, required ? `${type}, required` : type)),
    input, help && el("span", { class: "help", id: `${id}-help` }, help));
}

/** Return the event context that the form holds; raise an Error that says what is wrong with it. */
function contextOfForm() {
  const context = {};
  const more = $("starter-context").value.trim();
  if (more) {
    let parsed = null;
    try { parsed = JSON.parse(more); } catch { /* said below, as for JSON that is no object */ }
    if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
      throw new Error('the further context is not a JSON object, such as {"name": "value"}');
    }
    Object.assign(context, parsed);
  }
  for (const { name, required } of state.filledFor.parameters) {
    const { value } = $(`parameter-${name}`);
    if (value !== "") context[name] = value;
    else if (required) throw new Error(`${name} is required`);
  }
  return context;
}

async function startRun(event) {
  event.preventDefault();
  $("starter-run").disabled = true;
  try {
    const path = `jobs/${encodeURIComponent(state.filledFor.jobId)}/trigger`;
    const { runId } = await ask(path, { context: contextOfForm() });
    $("starter").close();
    go(runId);
  } catch (error) {
    $("starter-problem").textContent = printable(error.message);
  } finally {
    $("starter-run").disabled = false;
  }
}

function runAgain() {
  const run = state.runs.get(state.cursor) ?? openRun();
  const jobId = run?.jobId ?? state.job;
  if (jobId) openStarter(jobId, run?.id === state.open ? state.detail?.context ?? {} : {});
}

// ---- Keys, theme, start -------------------------------------------------------------------------

const KEYS = {
  j: () => moveCursor(1),
  k: () => moveCursor(-1),
  r: runAgain,
  "/": () => { setTab("records"); $("search").focus(); $("search").select(); },
  "?": () => $("keys").showPopover(),
};

function pressed(event) {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.ctrlKey || event.altKey || event.metaKey || typing) return;
  if (event.key in KEYS) {
    event.preventDefault();
    KEYS[event.key]();
  } else if (event.key === "Enter" && state.cursor && event.target.matches("body, #runs-list")) {
    go(state.cursor);
  }
}

function pressedInTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) setTab(TABS[(TABS.indexOf(state.tab) + step + TABS.length) % TABS.length], true);
}

function pressedInRuns(event) {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -LISTED, End: LISTED }[event.key];
  if (!step) return;
  event.preventDefault();
  moveCursor(step);
}

const isDark = () => (document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  $("theme").setAttribute("aria-pressed", String(isDark()));
  $("theme").textContent = isDark() ? "☀" : "☾";
}

function listenToPage() {
  const on = (id, event, act) => $(id).addEventListener(event, act);
  const filter = () => records.filter($("level").value, $("search").value);
  $("level").replaceChildren(...LEVELS.map((level) =>
    el("option", { value: level }, level === "Trace" ? "All levels" : `${level} and above`)));
  on("level", "change", filter);
  on("search", "input", filter);
  on("search", "keydown", (event) => { if (event.key === "Escape") $("records").focus(); });
  on("fresh", "click", () => records.toEnd());
  on("jobs-search", "input", drawJobs);
  on("runs-filter", "click", () => chooseJob(state.job));
  on("runs-list", "keydown", pressedInRuns);
  on("attention-clear", "click", clearAttention);
  on("run-again", "click", () => { state.cursor = state.open; runAgain(); });
  on("starter-form", "submit", startRun);
  on("starter-cancel", "click", () => $("starter").close());
  on("settings", "toggle", (event) => { if (event.newState === "open") drawSettings(); });
  on("fault-form", "submit", async (event) => {
    event.preventDefault();
    if (await changeFaults("faults", { text: $("fault-text").value })) $("fault-text").value = "";
  });
  on("theme", "click", () => {
    setTheme(isDark() ? "light" : "dark");
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  });
  for (const tab of TABS) on(`tab-${tab}`, "click", () => setTab(tab));
  document.querySelector(".tabs").addEventListener("keydown", pressedInTabs);
  document.addEventListener("keydown", pressed);
  document.addEventListener("visibilitychange", shownOrHidden);
  addEventListener("hashchange", () => show(addressed()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme());
  const resized = new ResizeObserver(() => later(drawTimeLine, drawRecords));
  for (const id of ["run", "records"]) resized.observe($(id));
}

setTheme(localStorage.getItem("theme"));
setTab("records");
listenToPage();
setInterval(tick, 1000);
connect();
