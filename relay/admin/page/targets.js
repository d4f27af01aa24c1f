// The overview's targets: the worst first, or in the order of a column; filtered; a page at a time.
// Few have plots, many have one line each. What is chosen stands in the address.

import { contextual } from "./actions.js";
import { button, fill, h, match, row, say, set, table } from "./dom.js";
import { clockTime, count, duration, now, rate, setWhen, several, when } from "./format.js";
import { state } from "./live.js";
import { badge, empty, failedJobs, pageSize, setBadge, statusOf, targetLink } from "./parts.js";
import { sparks } from "./overview.js";

// plotsMax is how many targets have plots: each is two canvases to draw every second.
const plotsMax = 12;
const narrow = matchMedia("(max-width: 62rem)");
const plotsMaxNarrow = 3;

// troubles are the words of package trouble, which has the rule, worst first. One that is held
// waits for an instant of its own and needs nobody.
const troubles = ["defective", "gone", "paused", "orphan", "held", "failing"];
const words = { defective: "Defective", gone: "paused by 410", orphan: "orphan" };
export const needs = (t) => Boolean(t.trouble) && t.trouble !== "held";

// troubleWords counts the troubles of some targets: "2 Defective, 1 paused".
export const troubleWords = (targets) => troubles
  .map((word) => [targets.filter((t) => t.trouble === word).length, words[word] || word])
  .filter(([n]) => n).map(([n, word]) => count(n) + " " + word).join(", ");

const rank = (t) => (t.trouble ? troubles.indexOf(t.trouble) : troubles.length);
const minutes = (t) => (t.oldest_pending
  ? Math.max(0, Math.floor((now() - Date.parse(t.oldest_pending)) / 60000)) : 0);
const byName = (a, b) => (a.name < b.name ? -1 : 1);
const worstFirst = (a, b) => rank(a) - rank(b) || minutes(b) - minutes(a) || byName(a, b);
const instant = (text) => (text ? Date.parse(text) : 0);
const most = (value) => (a, b) => value(b) - value(a) || worstFirst(a, b);

// columns have, beside a title and a class, the name of their order, how to compare by it, and how
// that is called.
const columns = [
  ["Target", "name", "name", byName, "by name"],
  ["Status", "", "trouble", worstFirst, "worst first"],
  ["Failed jobs", "meter", "failed", most((t) => (t.orphan ? -1 : t.failed_jobs)), "failed jobs"],
  ["Pending", "number", "pending", most((t) => t.pending), "most pending"],
  ["Exhausted", "number", "exhausted", most((t) => t.exhausted), "most exhausted"],
  ["Attempts", "spark", "rate", most((t) => t.rate_success + t.rate_failed), "most attempts"],
  ["Latency", "spark", "latency", most((t) => t.latency_p99_seconds ?? -1), "slowest"],
  ["Last 200", "fixed", "success", most((t) => -instant(t.last_success)), "longest without 200"],
  ["Last error", "error", "error", most((t) => (t.last_error ? instant(t.last_failure) : 0)),
    "newest error"],
  ["", "act"],
];

export function makeTargets(query, signal) {
  const view = { need: query.get("need") || "", q: query.get("q") || "", page: 1,
    sort: query.get("sort") || "trouble" };
  const list = makeList(signal);
  const bar = makeBar(view, change);
  const heads = makeHeads(list.element, view, change);
  const none = empty(h("h3", null, "No target"), h("p", null, "Every event is unmatched and not " +
    "spooled. Add a table like [target.crm] with its url and events to the config; it is read " +
    "again within seconds."));
  const nothing = empty(h("p", null, "No target matches."));
  const pages = makePages(view, change);
  let order = [];
  let fixed = false; // as long as the pointer is on a row, nothing moves away under it
  list.body.addEventListener("pointerenter", (e) => { fixed = e.pointerType === "mouse"; });
  list.body.addEventListener("pointerleave", () => { fixed = false; });

  function change() {
    order = [];
    keep(view);
    draw(state.targets || []);
  }

  function draw(targets) {
    const found = targets.filter((t) => (!view.need || needs(t)) && matches(t, view.q));
    found.sort(compare(view.sort));
    if (fixed || list.body.contains(document.activeElement)) settle(found, order);
    order = found.map((t) => t.name);
    const last = Math.max(1, Math.ceil(found.length / pageSize));
    view.page = Math.min(view.page, last);
    const from = (view.page - 1) * pageSize;
    list.draw(found.slice(from, from + pageSize), targets.length);
    bar.draw(targets, found);
    heads();
    pages.draw(from, found.length);
    list.element.hidden = found.length === 0;
    bar.element.hidden = targets.length === 0;
    none.hidden = targets.length > 0;
    nothing.hidden = targets.length === 0 || found.length > 0;
  }
  return { draw, element: h("section", { id: "targets", "aria-labelledby": "targets-title" },
    h("h2", { id: "targets-title", tabindex: "-1" }, "Targets"), bar.element, list.element, none,
    nothing, pages.element) };
}

// settle keeps the order of before; what is new comes last.
function settle(found, order) {
  const place = new Map(order.map((name, i) => [name, i]));
  found.sort((a, b) => (place.get(a.name) ?? order.length) - (place.get(b.name) ?? order.length));
}

function compare(sort) {
  const column = columns.find(([, , name]) => name === sort.replace("-", "")) || columns[1];
  return sort.startsWith("-") ? (a, b) => column[3](b, a) : column[3];
}

// matches reports whether each word is in a target's name, URL, status or trouble.
function matches(t, text) {
  const all = [t.name, t.url, statusOf(t), t.trouble, words[t.trouble]].join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

// keep writes what is chosen into the address, without a step back for each letter.
function keep(view) {
  const pairs = Object.entries(view).filter(([name, value]) => value && name !== "page" &&
    value !== "trouble");
  history.replaceState(history.state, "", "#/" + (pairs.length ? "?" + new URLSearchParams(pairs)
    : ""));
}

function makeBar(view, change) {
  const filter = h("input", { id: "filter", type: "search", placeholder: "name, URL or status",
    "aria-label": "Filter targets", "aria-keyshortcuts": "/", autocomplete: "off",
    spellcheck: "false", value: view.q || null });
  filter.addEventListener("input", () => {
    view.q = filter.value.trim();
    view.page = 1;
    change();
  });
  const need = button("Need you", () => {
    view.need = view.need ? "" : "you";
    view.page = 1;
    change();
  }, { class: "small" });
  const sort = h("select", { "aria-label": "Order" }, columns.filter(([, , name]) => name)
    .map(([, , name, , title]) => h("option", { value: name }, title)));
  sort.addEventListener("change", () => { view.sort = sort.value; change(); });
  const shown = h("span", { class: "muted", role: "status" });
  return {
    element: h("div", { class: "bar" }, filter, need, h("span", { class: "order" }, sort), shown),
    draw(targets, found) {
      const n = targets.filter(needs).length;
      need.hidden = n === 0 && !view.need;
      say(need, "Need you " + count(n));
      set(need, "aria-pressed", String(Boolean(view.need)));
      sort.value = view.sort.replace("-", "");
      say(shown, found.length === targets.length ? several(targets.length, "target")
        : count(found.length) + " of " + several(targets.length, "target"));
    },
  };
}

// makeHeads turns the titles of the columns into buttons: once for the first order of a column,
// again for the other way round.
function makeHeads(element, view, change) {
  const heads = [...element.querySelectorAll("th")];
  columns.forEach(([title, , name, , words], i) => {
    if (!name) return;
    fill(heads[i], button(title, () => {
      view.sort = view.sort === name ? "-" + name : name;
      view.page = 1;
      change();
    }, { class: "plain sort", title: "Order: " + words }));
  });
  return () => columns.forEach(([, , name], i) => {
    const way = name === "name" ? ["ascending", "descending"] : ["descending", "ascending"];
    set(heads[i], "aria-sort", view.sort === name ? way[0] : view.sort === "-" + name ? way[1]
      : null);
  });
}

function makePages(view, change) {
  const turn = (by) => () => { view.page += by; change(); };
  const back = button("‹ Before", turn(-1), { class: "small" });
  const on = button("Next ›", turn(1), { class: "small" });
  const shown = h("span", { class: "muted" });
  const element = h("p", { class: "pager" }, back, on, shown);
  return { element, draw(from, all) {
    element.hidden = all <= pageSize;
    back.disabled = from === 0;
    on.disabled = from + pageSize >= all;
    say(shown, count(from + 1) + "–" + count(Math.min(all, from + pageSize)) + " of " + count(all));
  } };
}

// makeList shows rows. Those with plots are kept, as a plot ends with the view; the others are made
// when they are to be seen.
function makeList(signal) {
  const { element, body } = table("Targets", columns, { class: "targets cards" });
  const rows = new Map();
  let plots = null;
  set(element, "tabindex", "0");
  set(element, "role", "region");
  set(element, "aria-label", "Table of targets");
  return { element, body, draw(shown, all) {
    const big = all <= (narrow.matches ? plotsMaxNarrow : plotsMax);
    if (big !== plots) {
      plots = big;
      rows.clear();
      body.replaceChildren();
      set(element, "class", "scroll tower" + (big ? "" : " compact"));
    }
    const make = (t) => {
      if (!rows.has(t.name)) rows.set(t.name, makeTarget(t, big && sparks(signal, false)));
      return rows.get(t.name).element;
    };
    match(body, shown, (t) => t.name, make, (_, t) => rows.get(t.name).draw(t));
    if (big) return;
    const names = new Set(shown.map((t) => t.name));
    for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
  } };
}

// numbers are what the plots of a target tell, where it has none.
function numbers() {
  const attempts = h("p", null);
  const latency = h("p", null);
  return { attempts, latency, draw(t) {
    const sum = t.rate_success + t.rate_failed;
    say(attempts, sum < 0.005 ? "–" : rate(sum) + " · " +
      Math.floor(t.rate_success / sum * 100) + " %");
    set(attempts, "title", sum < 0.005 ? null : "attempts a second, and how many succeed");
    say(latency, t.latency_p99_seconds === null ? "–" : "p99 " + duration(t.latency_p99_seconds));
  } };
}

function makeTarget(target, plots) {
  const trend = plots || numbers();
  const status = badge(statusOf(target));
  const note = h("p", { class: "muted clip" });
  const running = h("p", { class: "muted" });
  const failed = h("p", null);
  const limit = h("p", { class: "muted" });
  const meter = h("progress", { "aria-label": "Failed jobs in a row" });
  const pending = h("p", null);
  const oldest = when(null, "past");
  const exhausted = h("p", null);
  const success = when(null, "past");
  const error = h("p", { class: "clip" });
  const failure = when(null, "past");
  const act = h("button", { type: "button", class: "small" });
  let is = target;
  act.addEventListener("click", () => contextual(is)[1]());
  const element = row(columns, [h("p", null, targetLink(target.name)), note],
    [status, running], [failed, limit, meter], [pending, h("p", { class: "muted" }, oldest)],
    exhausted, trend.attempts, trend.latency, success,
    [error, h("p", { class: "muted" }, failure)], act);

  function draw(t) {
    is = t;
    setBadge(status, statusOf(t));
    say(note, t.orphan ? "not in the config" : t.events.join(", "));
    set(note, "title", t.url || null);
    say(running, doing(t));
    const [jobs, above] = failedJobs(t).split(", ");
    say(failed, jobs);
    set(failed, "title", above ? jobs + ", " + above : null);
    say(limit, above || "");
    meter.max = t.failed_jobs_max || 1;
    meter.value = t.orphan ? 0 : Math.min(t.failed_jobs, t.failed_jobs_max);
    meter.hidden = t.orphan;
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
    oldest.hidden = !t.oldest_pending;
    const [label] = contextual(t);
    say(act, label);
    set(act, "aria-label", label + " " + t.name);
    trend.draw(t);
  }
  return { element, draw };
}

// doing says what a target is at, beside its status.
const doing = (t) => (t.gone_since ? "answered 410 Gone"
  : t.held_until ? "held until " + clockTime(t.held_until)
  : t.job_running ? "job running"
  : t.in_flight === null ? "not known"
  : t.in_flight ? t.in_flight + " in flight"
  : t.trouble === "failing" ? "failing" : "\u00a0");
