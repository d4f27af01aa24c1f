// The overview: how the relay is, how each target is, and what just happened.

import { get, isEnd } from "./api.js";
import { contextual } from "./actions.js";
import { fill, h, match, row, say, set, table } from "./dom.js";
import { count, countdown, duration, goSeconds, rate, setWhen, several, shortGo, size, when }
  from "./format.js";
import { listen, state } from "./live.js";
import { ageOf, attemptColumns, attemptKey, attemptRow, badge, empty, eventLink, firstEvent,
  problem, setBadge, stateChip, targetLink, typeName } from "./parts.js";
import { plot } from "./plot.js";

const recentEvents = 8;
const recentAttempts = 8;
const eventsEveryMilliseconds = 2000;

export function overview(main, { signal }) {
  const alerts = h("div", { role: "status" });
  const tiles = makeTiles(signal);
  const targets = makeTargets(signal);
  const events = makeEvents(signal);
  const attempts = makeAttempts();
  fill(main, h("h1", { class: "hidden", tabindex: "-1" }, "Overview"), alerts, tiles.element,
    targets.element, h("div", { class: "columns" }, events.element, attempts.element));
  const draw = {
    status: () => {
      drawAlerts(alerts, state.status);
      tiles.draw(state.status);
      events.follow(state.status);
    },
    targets: () => targets.draw(state.targets), attempt: attempts.draw, mode: attempts.draw,
  };
  listen(signal, (what) => draw[what]());
  const beat = setInterval(() => tiles.beat(state.status), 250);
  signal.addEventListener("abort", () => clearInterval(beat));
  if (state.status) draw.status();
  if (state.targets) draw.targets();
  attempts.draw();
}

// drawAlerts shows what an operator must not overlook.
function drawAlerts(place, s) {
  const alerts = s.unready.map((reason) => ["bad", "Not ready: " + reason]);
  if (s.reload_failed) {
    alerts.push(["warn", "The config file has faults; the one before is still in use. " +
      "The log and “hookspool check” name them."]);
  }
  if (s.quarantined > 0) {
    alerts.push(["warn", several(s.quarantined, "record") + " could not be read and " +
      (s.quarantined === 1 ? "was" : "were") + " set aside. “hookspool spool verify” says more."]);
  }
  match(place, alerts, ([, text]) => text,
    ([kind, text]) => h("p", { class: "notice " + kind }, text));
}

function tile(title, value, ...rest) {
  return h("section", { class: "tile", "aria-label": title }, h("h2", null, title), value, ...rest);
}

function makeTiles(signal) {
  const v = {};
  for (const name of ["ready", "tick", "accepted", "pending", "spool"]) {
    v[name] = h("p", { class: "figure" }, "–");
    v[name + "Note"] = h("p", { class: "muted" }, "\u00a0");
  }
  const since = when(null);
  const wait = h("progress", { "aria-label": "Until the next tick", max: "1", value: "0" });
  const used = h("progress", { "aria-label": "Spool in use", max: "1", value: "0" });
  const chart = plot({ label: "Accepted events a second, last five minutes", value: rate, signal,
    series: [{ label: "accepted", color: "accent", fill: true }] });
  fill(v.readyNote, "up since ", since);
  const element = h("div", { class: "tiles" },
    tile("Relay", v.ready, v.readyNote), tile("Next tick", v.tick, wait, v.tickNote),
    tile("Accepted", v.accepted, chart.element, v.acceptedNote),
    tile("Pending", v.pending, v.pendingNote), tile("Spool", v.spool, used, v.spoolNote));

  function draw(s) {
    say(v.ready, s.ready ? "Ready" : "Not ready");
    set(v.ready, "class", "figure " + (s.ready ? "good" : "bad"));
    setWhen(since, s.started_at);
    set(v.readyNote, "title", "version " + s.version + ", config " + s.config);
    say(v.accepted, rate(s.accepted_per_second));
    say(v.acceptedNote, count(s.accepted) + " since the start");
    chart.draw(state.accepted, rate(s.accepted_per_second));
    say(v.pending, count(s.pending));
    say(v.pendingNote, several(s.exhausted, "exhausted", "exhausted"));
    say(v.spool, size(s.spool_bytes));
    say(v.spoolNote, (s.spool_limit > 0 ? "of " + size(s.spool_limit) + ", " : "no limit, ") +
      size(s.free_bytes) + " free on disk");
    used.value = s.spool_limit > 0 ? s.spool_bytes / s.spool_limit : 0;
    set(used, "class", used.value > 0.9 ? "bad" : used.value > 0.8 ? "warn" : null);
    beat(s);
  }

  function beat(s) {
    if (!s) return;
    const every = goSeconds(s.interval);
    const left = s.next_tick ? -ageOf(s.next_tick) : every;
    say(v.tick, s.next_tick ? countdown(left) : "–");
    wait.value = every > 0 ? Math.min(1, Math.max(0, 1 - left / every)) : 0;
    say(v.tickNote, "every " + shortGo(s.interval));
  }
  return { element, draw, beat };
}

const targetColumns = [["Target", "name"], ["Status", ""], ["Failed jobs", "meter"],
  ["Pending", "number"], ["Exhausted", "number"], ["Attempts", "spark"], ["Latency", "spark"],
  ["Last 200", "fixed"], ["Last error", "error"], ["", "act"]];

function makeTargets(signal) {
  const { element, body } = table("Targets", targetColumns, { class: "targets cards" });
  const none = empty(h("h3", null, "No target"), h("p", null, "Every event is unmatched and not " +
    "spooled. Add a table like [target.crm] with its url and events to the config; it is read " +
    "again within seconds."));
  none.hidden = true;
  const rows = new Map();
  const make = (t) => {
    const r = makeTarget(t, signal);
    rows.set(t.name, r);
    return r.element;
  };
  return {
    element: h("section", { "aria-labelledby": "targets-title" },
      h("h2", { id: "targets-title" }, "Targets"), element, none),
    draw(targets) {
      match(body, targets, (t) => t.name, make, (_, t) => rows.get(t.name).draw(t));
      element.hidden = targets.length === 0;
      none.hidden = targets.length > 0;
    },
  };
}

// sparks are the two plots of a target, with their numbers.
export function sparks(signal, big) {
  const attempts = plot({ label: "Attempts a second, last five minutes", value: rate, big, signal,
    series: [{ label: "success", color: "good", fill: true }, { label: "failed", color: "bad" }] });
  const latency = plot({ label: "Latency, last five minutes", value: duration, big, signal,
    series: [{ label: "p50", color: "accent", fill: true }, { label: "p99", color: "warn" }] });
  const words = { attempts: h("p", null), latency: h("p", null) };
  function draw(t) {
    const [x, success, failed, p50, p99] = state.history.get(t.name) || [[], [], [], [], []];
    const sum = t.rate_success + t.rate_failed;
    say(words.attempts, rate(sum) + (sum >= 0.005
      ? " · " + Math.floor(t.rate_success / sum * 100) + " % succeed" : ""));
    say(words.latency, t.latency_p50_seconds === null ? "–"
      : "p50 " + duration(t.latency_p50_seconds) + " · p99 " + duration(t.latency_p99_seconds));
    attempts.draw([x, success, failed], words.attempts.textContent);
    latency.draw([x, p50, p99], words.latency.textContent);
  }
  return { attempts: h("div", { class: "trend" }, words.attempts, attempts.element),
    latency: h("div", { class: "trend" }, words.latency, latency.element), draw };
}

function makeTarget(target, signal) {
  const trend = sparks(signal, false);
  const status = badge(target.status);
  const note = h("p", { class: "muted clip" });
  const running = h("p", { class: "muted" });
  const failed = h("p", null);
  const meter = h("progress", { "aria-label": "Failed jobs in a row" });
  const pending = h("p", null);
  const oldest = when(null);
  const exhausted = h("p", null);
  const success = when(null);
  const error = h("p", { class: "clip" });
  const failure = when(null);
  const act = h("button", { type: "button", class: "small" });
  let now = target;
  act.addEventListener("click", () => contextual(now)[1]());
  const element = row(targetColumns, [h("p", null, targetLink(target.name)), note],
    [status, running], [failed, meter], [pending, h("p", { class: "muted" }, oldest)], exhausted,
    trend.attempts, trend.latency, success, [error, h("p", { class: "muted" }, failure)], act);

  function draw(t) {
    now = t;
    setBadge(status, t.status);
    say(note, t.orphan ? "not in the config" : t.events.join(", "));
    set(note, "title", t.url || null);
    say(running, t.job_running ? "job running"
      : t.in_flight ? t.in_flight + " in flight" : "\u00a0");
    say(failed, count(t.failed_jobs) + " / " + count(t.failed_jobs_max));
    meter.max = t.failed_jobs_max || 1;
    meter.value = Math.min(t.failed_jobs, t.failed_jobs_max);
    set(meter, "class", t.failed_jobs >= t.failed_jobs_max / 2 ? "bad" : "warn");
    say(pending, count(t.pending));
    setWhen(oldest, t.oldest_pending);
    say(exhausted, count(t.exhausted));
    set(exhausted, "class", t.exhausted ? "bad" : null);
    setWhen(success, t.last_success);
    say(error, t.last_error || "–");
    set(error, "title", t.last_error);
    setWhen(failure, t.last_error ? t.last_failure : null);
    failure.hidden = !t.last_error;
    const [label] = contextual(t);
    say(act, label);
    set(act, "aria-label", label + " " + t.name);
    trend.draw(t);
  }
  return { element, draw };
}

const eventColumns = [["Accepted", "fixed"], ["Event", "wide"], ["Type", ""], ["Deliveries", ""]];

// eventRow is one event of a list, with a chip a delivery.
export function eventRow(e) {
  return row(eventColumns, when(e.accepted_at), eventLink(e.id),
    typeName(e.type),
    h("span", { class: "chips" }, e.deliveries.map((d) => stateChip(d.state, d.target))));
}

export const eventTable = (caption) => table(caption, eventColumns, { class: "cards" });

// makeEvents lists the newest events, and asks again when something moved, not more often than
// every other second.
function makeEvents(signal) {
  const { element, body } = eventTable("Newest events");
  const place = h("div", null);
  let seen = "";
  let asked = 0;
  const key = (e) => e.id + e.deliveries.map((d) => d.target + d.state).join();
  async function follow(s) {
    const moved = [s.accepted, s.pending, s.exhausted, s.last_event].join();
    if (moved === seen || Date.now() - asked < eventsEveryMilliseconds) return;
    asked = Date.now();
    try {
      const { events } = await get("events", { limit: recentEvents }, signal);
      seen = moved;
      match(body, events, key, eventRow);
      const shown = events.length ? element : firstEvent(s);
      if (place.firstElementChild?.className !== shown.className) fill(place, shown);
    } catch (error) {
      if (!isEnd(error) && !place.firstElementChild) fill(place, problem(error));
    }
  }
  return { follow, element: h("section", { class: "panel tall", "aria-labelledby": "events-title" },
    h("h2", { id: "events-title" }, "Newest events"), place) };
}

function makeAttempts() {
  const columns = attemptColumns().filter(([title]) => title !== "Type" && title !== "Duration");
  const { element, body } = table("Newest attempts", columns, { class: "cards" });
  const none = empty(h("p", null));
  const draw = () => {
    const list = state.attempts.slice(0, recentAttempts);
    match(body, list, attemptKey, (a) => attemptRow(columns, a));
    element.hidden = list.length === 0;
    none.hidden = list.length > 0;
    say(none.firstElementChild, state.mode === "live" || state.mode === "connecting"
      ? "Attempts appear here as they are made."
      : "Attempts are shown while the live stream is connected.");
  };
  return { draw, element: h("section", { class: "panel tall", "aria-labelledby": "attempts-title" },
    h("h2", { id: "attempts-title" }, "Live attempts"), element, none) };
}
