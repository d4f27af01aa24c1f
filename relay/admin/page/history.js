// What happened in the last hour, day or month, as the relay has kept it, and what fails now.

import { at, get, isEnd } from "./api.js";
import { replayChosen } from "./bulk.js";
import { button, fill, h, match, row, say, set, table } from "./dom.js";
import { clockTime, count, duration, exact, several, when } from "./format.js";
import { bars } from "./plot.js";
import { state } from "./live.js";
import { empty, eventLink, onError, problem, sentence } from "./parts.js";

// A span is drawn in so many bars, and asked for again after so many seconds.
const spans = [["1h", "1 h", 60, 15], ["24h", "24 h", 96, 60], ["30d", "30 d", 120, 300]];

const sum = (list) => list.reduce((a, b) => a + b, 0);
const most = (list) => list.reduce((a, b) => (b === null ? a : Math.max(a ?? b, b)), null);

// gather makes of many values as many as there are bars.
function gather(list, n, how) {
  const size = Math.max(1, list.length / n);
  return Array.from({ length: n }, (_, i) => how(list.slice(i * size, (i + 1) * size)));
}

// gathered is a history in as many bars.
function gathered(past, n) {
  const failed = past.accepted.map((_, i) => sum(Object.values(past.failed).map((f) => f[i])));
  const step = past.step_seconds * past.accepted.length / n;
  const begin = Date.parse(past.from) / 1000;
  const seconds = (list) => gather(list, n, most).map((ms) => (ms === null ? null : ms / 1000));
  return { step, begins: Array.from({ length: n }, (_, i) => begin + i * step),
    accepted: gather(past.accepted, n, sum), delivered: gather(past.delivered, n, sum),
    failed: gather(failed, n, sum), p50: seconds(past.p50_ms), p99: seconds(past.p99_ms) };
}

// searchFor is the search for what was accepted in a bar.
function searchFor(name, data, i) {
  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  return "#/search?" + new URLSearchParams({ target: name, since: iso(data.begins[i]),
    until: iso(data.begins[i] + data.step) });
}

// charts shows the history of a target, with live as the shortest span. A click on a bar is a
// search.
export function charts(name, live, signal) {
  const place = h("div", { class: "columns" });
  let span = null;
  let data = null;
  let timer = 0;
  const pick = (i) => { if (data) location.hash = searchFor(name, data, i); };
  const sums = h("p", null);
  const worst = h("p", { class: "muted" });
  const took = h("p", null);
  const common = { signal, pick, step: () => (data ? data.step : 60) };
  const attempts = bars({ ...common, label: "Attempts", value: count, series: [
    { label: "failed", color: "bad", bar: true, of: () => data.failed },
    { label: "delivered", color: "good", bar: true }, { label: "accepted", color: "accent" }] });
  const latency = bars({ ...common, label: "Latency", value: duration, series: [
    { label: "p50", color: "accent" }, { label: "p99", color: "warn" }] });
  const past = [h("section", { class: "panel" }, h("h2", null, "Attempts"), sums, attempts.element,
    worst), h("section", { class: "panel" }, h("h2", null, "Latency"), took, latency.element)];
  const choices = [["live", "5 min"], ...spans].map(([id, words]) =>
    button(words, () => choose(id), { class: "small", "aria-pressed": "false", "data-span": id }));

  function choose(id) {
    span = spans.find(([other]) => other === id) || null;
    for (const b of choices) set(b, "aria-pressed", String(b.dataset.span === id));
    data = null;
    fill(place, span ? past : live);
    load();
  }

  async function load() {
    clearTimeout(timer);
    if (!span) return;
    const asked = span;
    try {
      const answer = state.mode === "paused" && data ? null
        : await get("history", { target: name, span: asked[0] }, signal);
      if (asked !== span) return;
      if (answer) draw(gathered(answer, asked[2]), answer);
    } catch (error) {
      if (isEnd(error) || asked !== span) return;
      if (!data) fill(place, problem(error));
    }
    timer = setTimeout(load, asked[3] * 1000);
  }

  function draw(next, answer) {
    data = next;
    const [accepted, delivered, failed] = [data.accepted, data.delivered, data.failed].map(sum);
    const outcomes = Object.entries(answer.failed).map(([outcome, list]) => [sum(list), outcome])
      .sort(([a], [b]) => b - a).map(([n, outcome]) => count(n) + " " + outcome);
    say(sums, count(accepted) + " accepted · " + count(delivered) + " delivered · " +
      count(failed) + " failed" + (outcomes.length ? ": " + outcomes.join(", ") : "") +
      (answer.unknown_from ? " · since " + clockTime(answer.unknown_from) + " not known: " +
        answer.unknown_why : ""));
    const p99 = most(data.p99);
    say(took, p99 === null ? "–" : "p50 " + duration(most(data.p50)) + " · p99 " + duration(p99) +
      " at most");
    const i = data.failed.indexOf(Math.max(...data.failed));
    if (failed > 0) {
      fill(worst, "Most failures: ", h("a", { href: searchFor(name, data, i) },
        exact(data.begins[i] * 1000)), ", " + count(data.failed[i]));
    } else say(worst, "\u00a0");
    const both = data.delivered.map((n, k) => n + data.failed[k]);
    const end = Date.parse(answer.unknown_from) / 1000;
    const known = (list) => list.map((v, k) => (data.begins[k] + data.step > end ? null : v));
    data.failed = known(data.failed);
    attempts.draw([data.begins, ...[both, data.delivered, data.accepted].map(known)],
      sums.textContent);
    latency.draw([data.begins, ...[data.p50, data.p99].map(known)], took.textContent);
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  choose("1h");
  return h("div", null, h("div", { class: "actions spans", role: "group", "aria-label": "Span" },
    choices), place);
}

const columns = [["Count", "number"], ["Exhausted", "number"], ["What came back", "result"],
  ["First", "fixed"], ["Last", "fixed"], ["Newest", "wide"], ["", "act"]];

// failing shows what fails at a target now, by what came back.
export function failing(name, signal) {
  const { element, body } = table("Failures", columns, { class: "failing cards" });
  const note = h("p", { class: "muted", role: "status" });
  const more = button("Look on", () => load(), { class: "small", hidden: true });
  const again = button("Look again", () => { next = ""; load(); }, { class: "small" });
  const place = h("div", null);
  const groups = new Map();
  let next = "";
  let looked = 0;
  const key = (g) => g.failure;

  async function load() {
    more.disabled = again.disabled = true;
    try {
      const enough = (next ? looked : 0) + 20000;
      do {
        const page = await get("targets/" + at(name) + "/failures", { after: next }, signal);
        if (!next) {
          groups.clear();
          looked = 0;
        }
        looked += page.looked_at;
        for (const g of page.groups) add(g);
        next = page.next;
        draw(page.others);
      } while (next && looked < enough);
    } catch (error) {
      onError(place)(error);
    }
    more.disabled = again.disabled = false;
    more.hidden = !next;
  }

  function add(g) {
    const known = groups.get(key(g));
    if (!known) {
      groups.set(key(g), g);
      return;
    }
    for (const sort of ["count", "pending", "exhausted", "expired"]) known[sort] += g[sort];
    if (g.first_seen < known.first_seen) known.first_seen = g.first_seen;
    if (g.last_seen > known.last_seen) [known.last_seen, known.example] = [g.last_seen, g.example];
  }

  function draw(others) {
    const list = [...groups.values()].sort((a, b) => b.count - a.count);
    const make = (g) => row(columns, count(g.count), count(g.exhausted + g.expired), told(g),
      when(g.first_seen), when(g.last_seen), eventLink(g.example), show(g));
    body.replaceChildren();
    match(body, list, key, make);
    fill(place, list.length ? element : empty(h("p", null, "Nothing fails.")));
    say(note, next ? "Of the oldest " + several(looked, "delivery", "deliveries") +
      " looked at." : others ? "And " + count(others) + " in smaller groups." : "");
  }

  function told(g) {
    const what = sentence(g.outcome) + (g.status ? " " + g.status : "");
    return h("span", { class: "wrap" }, h("strong", { class: "bad" }, what), " ",
      g.line || g.error);
  }

  // show are the search for a group and its replay: the state of what is kept is one in all of it.

  function show(g) {
    const choice = { target: name, state: g.exhausted ? "exhausted" : g.expired ? "expired"
      : "pending", status: g.by_status, error: g.by_error, failure: g.failure };
    const href = "#/search?" + new URLSearchParams(Object.entries(choice).filter(([, v]) => v));
    return h("div", { class: "actions" }, h("a", { class: "button small", href }, "Show"),
      choice.state !== "pending" && button("Replay these…", () => replayChosen(choice,
        [choice.state], told(g).textContent), { class: "small" }));
  }

  load();
  return h("section", { class: "panel", "aria-labelledby": "failing-title" },
    h("h2", { id: "failing-title" }, "What fails now"), h("p", { class: "bar" }, again, more, note),
    place);
}
