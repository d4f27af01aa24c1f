// The overview: how the relay is, how each target is, and what just happened.

import { get, isEnd } from "./api.js";
import { fill, h, match, row, say, set, table } from "./dom.js";
import { count, countdown, duration, goSeconds, rate, setWhen, several, shortGo, size, when }
  from "./format.js";
import { listen, seed, state } from "./live.js";
import { ageOf, attemptColumns, attemptKey, attemptRow, empty, eventLink, firstEvent, problem,
  stateChip, typeName } from "./parts.js";
import { plot } from "./plot.js";
import { makeTargets, needs, troubleWords } from "./targets.js";

const recentEvents = 8;
const recentAttempts = 8;
const eventsEveryMilliseconds = 2000;

export function overview(main, { query, signal }) {
  const alerts = h("div", { role: "status" });
  const tiles = makeTiles(signal);
  const targets = makeTargets(query, signal);
  const relays = makeRelays();
  const events = makeEvents(signal);
  const attempts = makeAttempts();
  fill(main, h("h1", { class: "hidden", tabindex: "-1" }, "Overview"), alerts, tiles.element,
    targets.element, relays.element,
    h("div", { class: "columns" }, events.element, attempts.element));
  const draw = {
    status: () => {
      drawAlerts(alerts, state.status);
      tiles.draw(state.status);
      relays.draw(state.status);
      events.follow(state.status);
    },
    targets: () => {
      targets.draw(state.targets);
      tiles.need(state.targets);
    },
    attempt: attempts.draw, mode: attempts.draw,
  };
  listen(signal, (what) => draw[what]());
  const beat = setInterval(() => tiles.beat(state.status), 250);
  signal.addEventListener("abort", () => clearInterval(beat));
  if (state.status) draw.status();
  if (state.targets) draw.targets();
  attempts.draw();
  if (query.get("need")) targets.element.scrollIntoView();
}

// drawAlerts shows what nobody must overlook.
function drawAlerts(place, s) {
  const alerts = s.unready.map((reason) => ["bad", "Not ready: " + reason]);
  if (s.reload_failed) {
    alerts.push(["warn", "The config file has faults; the one before is still in use. " +
      "The log and “hookspool check” name them."]);
  }
  for (const r of s.relays || []) {
    if (r.config_differs) {
      alerts.push(["warn", "Relay “" + r.name + "” has another config than this one."]);
    }
  }
  for (const c of s.copies_short || []) {
    alerts.push(["bad", "Server “" + c.server + "” lacks messages. “hookspool status” says more."]);
  }
  if (s.quarantined > 0) {
    alerts.push(["warn", "Unreadable and set aside: " + several(s.quarantined, "record") +
      ". “hookspool spool verify” says more."]);
  }
  match(place, alerts, ([, text]) => text,
    ([kind, text]) => h("p", { class: "notice " + kind }, text));
}

function tile(title, value, ...rest) {
  return h("section", { class: "tile", "aria-label": title }, h("h2", null, title), value, ...rest);
}

function makeTiles(signal) {
  const v = {};
  for (const name of ["ready", "targets", "tick", "accepted", "pending", "spool"]) {
    v[name] = h("p", { class: "figure" }, "–");
    v[name + "Note"] = h("p", { class: "muted" }, "\u00a0");
  }
  const since = when(null, "past");
  const wait = h("progress", { "aria-label": "Until the next tick", max: "1", value: "0" });
  const used = h("progress", { "aria-label": "Spool in use", max: "1", value: "0" });
  const chart = plot({ label: "Accepted events a second, last hour", value: rate, signal,
    series: [{ label: "accepted", color: "accent", fill: true }] });
  const up = h("span", null, "up since ", since);
  const link = h("a", { href: "#/?need=you" });
  let bad = 0;
  fill(v.readyNote, up);
  const element = h("div", { class: "tiles" },
    tile("Relay", v.ready, v.readyNote), tile("Who needs you", v.targets, v.targetsNote),
    tile("Next tick", v.tick, wait, v.tickNote),
    tile("Accepted", v.accepted, chart.element, v.acceptedNote),
    tile("Pending", v.pending, v.pendingNote), tile("Spool", v.spool, used, v.spoolNote));

  function draw(s) {
    say(v.ready, s.ready ? "Ready" : "Not ready");
    set(v.ready, "class", "figure " + (!s.ready ? "bad" : bad ? "warn" : "good"));
    setWhen(since, s.started_at);
    set(v.readyNote, "title", "version " + s.version + ", config " + s.config);
    say(v.accepted, rate(s.accepted_per_second));
    say(v.acceptedNote, count(s.accepted) + " since the start");
    seed("");
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

  // need tells how many targets need somebody, in a tile and beside “Ready”.
  function need(targets) {
    const inTrouble = targets.filter((t) => t.trouble);
    const n = several(targets.length, "target");
    bad = inTrouble.filter(needs).length;
    set(v.targets, "class", "figure words " + (bad ? "bad" : targets.length ? "good" : ""));
    if (bad) {
      say(link, count(bad) + " of " + n + (bad === 1 ? " needs you" : " need you"));
      if (link.parentNode !== v.targets) fill(v.targets, link);
    } else say(v.targets, targets.length > 1 ? "all " + n + " are well"
      : targets.length ? "the target is well" : "no target");
    say(v.targetsNote, troubleWords(inTrouble) || "\u00a0");
    set(v.targetsNote, "title", troubleWords(inTrouble) || null);
    if (bad) say(v.readyNote, several(bad, "target needs you", "targets need you"));
    else if (up.parentNode !== v.readyNote) fill(v.readyNote, up);
    if (state.status) draw(state.status);
  }

  function beat(s) {
    if (!s) return;
    const every = goSeconds(s.interval);
    const left = s.next_tick ? -ageOf(s.next_tick) : every;
    say(v.tick, s.next_tick ? countdown(left) : "–");
    wait.value = every > 0 ? Math.min(1, Math.max(0, 1 - left / every)) : 0;
    say(v.tickNote, "every " + shortGo(s.interval));
  }
  return { element, draw, beat, need };
}

const relayColumns = [["Relay", "name"], ["Version", ""], ["Targets", "number"],
  ["Seen", "fixed"], ["Admin", ""], ["Notes", ""]];

// makeRelays shows the relays that share the spool, if any do.
function makeRelays() {
  const { element, body } = table("Relays", relayColumns, { class: "cards" });
  const section = h("section", { class: "panel", "aria-labelledby": "relays-title", hidden: true },
    h("h2", { id: "relays-title" }, "Relays"), element);
  return {
    element: section,
    draw(s) {
      const relays = s.relays || [];
      section.hidden = relays.length === 0;
      const make = () => row(relayColumns, "", "", "", "", "", "");
      match(body, relays, (r) => r.name, make, (tr, r) => {
        [r.name, r.version, count(r.lanes), Math.max(0, Math.round(r.seen_ago)) + " s ago", r.admin,
          relayNotes(s, r).join(", ")].forEach((text, i) => say(tr.children[i], text || "–"));
      });
    },
  };
}

function relayNotes(s, r) {
  const notes = [];
  if (r.leads) notes.push("leads");
  if (r.config_differs) notes.push("another config");
  if (Math.abs(r.clock_ahead) > Math.max(goSeconds(s.interval), 1)) {
    notes.push("its clock is " + duration(Math.abs(r.clock_ahead)) +
      (r.clock_ahead > 0 ? " ahead" : " behind"));
  }
  return notes;
}

// sparks are the two plots of a target, with their numbers.
export function sparks(signal, big) {
  const span = big ? "last five minutes" : "last hour";
  const attempts = plot({ label: "Attempts a second, " + span, value: rate, big, signal,
    series: [{ label: "success", color: "good", fill: true }, { label: "failed", color: "bad" }] });
  const latency = plot({ label: "Latency, " + span, value: duration, big, signal,
    series: [{ label: "p50", color: "accent", fill: true }, { label: "p99", color: "warn" }] });
  const words = { attempts: h("p", null), latency: h("p", null) };
  function draw(t) {
    seed(t.name);
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

const eventColumns = [["Accepted", "fixed"], ["Event", "wide"], ["Type", ""], ["Session", "fixed"],
  ["Deliveries", ""]];

// chipsMax is how many deliveries have a chip each; more are counted.
const chipsMax = 4;

function chips(list) {
  if (list.length <= chipsMax) return list.map((d) => stateChip(d.state, d.target));
  const names = new Map();
  for (const d of list) names.set(d.state, [...names.get(d.state) || [], d.target]);
  return [...names].map(([state, all]) => h("span", { class: "chip " + state,
    title: all.slice(0, 20).join(", ") + (all.length > 20 ? ", …" : "") },
  count(all.length), h("span", { class: "word" }, " " + state)));
}

// eventRow is one event of a list.
export function eventRow(e) {
  return row(eventColumns, when(e.accepted_at, "past"), eventLink(e.id), typeName(e.type),
    e.session || "–",
    h("span", { class: "chips" }, chips(e.deliveries)));
}

export const eventTable = (caption) => table(caption, eventColumns, { class: "cards" });

// makeEvents lists the newest events, and asks again when something moved, every other second.
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
