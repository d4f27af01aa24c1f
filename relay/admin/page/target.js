// One target: its numbers, what can be done about it, its recent attempts and its deliveries.

import { at, get, isEnd } from "./api.js";
import { enable, pause, resume, retry, sample } from "./actions.js";
import { purge, replay, replayEvent } from "./bulk.js";
import { button, fill, h, match, row, say, table } from "./dom.js";
import { count, several, size, when } from "./format.js";
import { listen, state } from "./live.js";
import { attemptColumns, attemptKey, attemptRow, badge, drawFacts, empty, eventLink, facts,
  lastResult, pager, problem, setBadge, typeName } from "./parts.js";
import { sparks } from "./overview.js";

const attemptsShown = 50;
const pageSize = 50;
const followMilliseconds = 2000;
const tabs = ["attempts", "pending", "exhausted", "delivered"];

export async function target(main, { args: [name, tab = "attempts"], signal }) {
  const shown = tabs.includes(tab) ? tab : "attempts";
  let now = (state.targets || []).find((t) => t.name === name);
  if (!now) now = await get("targets/" + at(name), null, signal);
  const head = makeHead(now);
  const trend = sparks(signal, true);
  const numbers = facts();
  const list = shown === "attempts" ? attempts(name, signal) : deliveries(name, shown, signal);
  const links = makeTabs(name, shown);
  fill(main, head.element, numbers, h("div", { class: "columns" },
    h("section", { class: "panel" }, h("h2", null, "Attempts a second"), trend.attempts),
    h("section", { class: "panel" }, h("h2", null, "Latency"), trend.latency)),
  links.element, list.element);
  const draw = (t) => {
    now = t;
    head.draw(t);
    trend.draw(t);
    links.draw(t);
    drawFacts(numbers, factsOf(t));
    list.follow(t);
  };
  draw(now);
  listen(signal, (what, a) => {
    if (what === "attempt" && a.target === name && list.live) list.live();
    if (what !== "targets") return;
    const t = state.targets.find((other) => other.name === name);
    if (t) draw(t);
    else head.gone();
  });
}

function makeHead(first) {
  const { name } = first;
  const status = badge(first.status);
  let now = first;
  const b = {
    sample: button("Sample…", () => sample(now), { class: "primary" }),
    enable: button("Enable…", () => enable(name)),
    pause: button("Pause…", () => pause(name)),
    resume: button("Resume…", () => resume(name)),
    retry: button("Retry now…", () => retry(name)),
    replay: button("Replay…", () => replay(name)),
    purge: button("Purge…", () => purge(name), { class: "danger" }),
  };
  const about = h("p", { class: "muted wrap" });
  const gone = h("p", { class: "notice bad", role: "alert", hidden: true }, "There is no target “" +
    name + "” any more. What is shown is what was known last.");
  return {
    element: h("header", { class: "head" }, h("nav", { "aria-label": "Up" },
      h("a", { href: "#/" }, "Overview"), " / "), h("h1", { tabindex: "-1" }, name), status,
    h("div", { class: "actions", role: "group", "aria-label": "Actions" }, Object.values(b)),
    about, gone),
    gone() { gone.hidden = false; },
    draw(t) {
      now = t;
      gone.hidden = true;
      setBadge(status, t.status);
      b.enable.hidden = t.status !== "Defective";
      b.resume.hidden = t.status !== "Paused";
      b.pause.hidden = t.status === "Paused" || t.status === "Disabled";
      b.retry.hidden = t.status === "Paused" || t.status === "Disabled";
      say(about, t.orphan ? "Not in the config any more; its deliveries are kept for it."
        : t.url + " · events " + t.events.join(", ") +
          (t.session && t.session !== "any" ? " · only " + t.session + " sessions" : ""));
    },
  };
}

function factsOf(t) {
  return [
    ["Pending", count(t.pending)], ["Oldest pending", { at: t.oldest_pending }],
    ["Failed jobs", count(t.failed_jobs) + " / " + count(t.failed_jobs_max)],
    ["Exhausted", count(t.exhausted)], ["Delivered", count(t.delivered)],
    ["In flight", count(t.in_flight) + (t.job_running ? ", job running" : "")],
    ["Last 200", { at: t.last_success }], ["Last failure", { at: t.last_failure }],
    ["Last status", t.last_status ? String(t.last_status) : "–"],
    ["Defective since", t.defective_since && { at: t.defective_since }],
    ["TLS expires", t.tls_expiry && { at: t.tls_expiry }],
    ["Set aside", t.quarantined ? several(t.quarantined, "record") : null],
    ["Last error", t.last_error]];
}

function makeTabs(name, shown) {
  const numbers = new Map(tabs.map((tab) => [tab, h("span", { class: "muted" })]));
  return {
    element: h("nav", { class: "tabs", "aria-label": "Lists of " + name }, tabs.map((tab) =>
      h("a", { href: "#/target/" + at(name) + "/" + tab, "aria-current": tab === shown && "page" },
        tab.charAt(0).toUpperCase() + tab.slice(1), " ", numbers.get(tab)))),
    draw(t) {
      for (const tab of tabs.slice(1)) say(numbers.get(tab), count(t[tab]));
    },
  };
}

// attempts shows the recent attempts and follows new ones.
function attempts(name, signal) {
  const columns = attemptColumns("Target");
  const { element, body } = table("Recent attempts", columns, { class: "cards" });
  const place = h("div", null);
  let asked = 0;
  let timer = 0;
  async function load() {
    asked = Date.now();
    try {
      const path = "targets/" + at(name) + "/attempts";
      const { attempts: list } = await get(path, { limit: attemptsShown }, signal);
      match(body, list, attemptKey, (a) => attemptRow(columns, a));
      fill(place, list.length ? element : empty(h("h3", null, "No attempt is kept"),
        h("p", null, "Attempts appear here as they are made.")));
    } catch (error) {
      if (!isEnd(error)) fill(place, problem(error));
    }
  }
  // soon asks again, once, when two seconds have passed since the last time.
  function soon() {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; load(); },
      Math.max(0, asked + followMilliseconds - Date.now()));
  }
  signal.addEventListener("abort", () => clearTimeout(timer));
  load();
  let seen = null;
  return {
    element: h("section", { class: "panel", "aria-label": "Recent attempts" }, place),
    live: soon,
    follow(t) {
      const moved = [t.last_success, t.last_failure, t.failed_jobs, t.delivered].join();
      if (seen !== null && moved !== seen) soon();
      seen = moved;
    },
  };
}

const deliveryColumns = [["Event", "wide"], ["Type", ""], ["Accepted", "fixed"], ["Size", "number"],
  ["Failures", "number"], ["Last attempt", "fixed"], ["Last result", "result"], ["", "act"]];

function deliveryRow(d, reload) {
  const result = lastResult(d);
  const again = d.state !== "pending" && d.id &&
    button("Replay", () => replayEvent(d.id, [d], reload), { class: "small" });
  return row(deliveryColumns, eventLink(d.id), typeName(d.type),
    when(d.accepted_at), size(d.bytes), count(d.attempts), when(d.last_attempt),
    h("span", { class: "clip", title: result }, result), again);
}

// deliveries lists those in one state, page by page. It does not move by itself, because somebody
// may be reading; it says when it is out of date.
function deliveries(name, shown, signal) {
  const { element, body } = table(shown + " deliveries", deliveryColumns, { class: "cards" });
  const stale = h("span", { class: "muted", role: "status" });
  const none = empty(h("p", null, "No " + shown + " delivery."));
  none.hidden = element.hidden = true;
  const pages = pager(async (after) => {
    const query = { target: name, state: shown, limit: pageSize, after };
    const page = await get("deliveries", query, signal);
    body.append(...page.deliveries.map((d) => deliveryRow(d, reload)));
    const any = body.childElementCount > 0;
    element.hidden = !any;
    none.hidden = any || page.next !== "";
    return { next: page.next, shown: page.deliveries.length };
  });
  let seen = null;
  function reload() {
    body.replaceChildren();
    say(stale, "");
    seen = null;
    return pages.start();
  }
  reload();
  return {
    element: h("section", { class: "panel", "aria-label": shown + " deliveries" },
      h("p", { class: "bar" }, button("Refresh", reload, { class: "small" }), stale),
      element, none, pages.element),
    follow(t) {
      if (seen !== null && t[shown] !== seen) say(stale, "The list has changed since.");
      seen ??= t[shown];
    },
  };
}
