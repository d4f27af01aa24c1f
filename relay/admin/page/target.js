// One target: its numbers, what can be done about it, its recent attempts and its deliveries.

import { at, get } from "./api.js";
import { force, pause, resume, retry } from "./actions.js";
import { acts } from "./acts.js";
import { purge, replay, replayEvent } from "./bulk.js";
import { giveBack } from "./dialog.js";
import { button, fill, h, match, row, say, table } from "./dom.js";
import { count, several, size, when } from "./format.js";
import { listen, state } from "./live.js";
import { attemptColumns, attemptKey, attemptRow, badge, command, drawFacts, empty,
  eventLink, facts, failedJobs, lastResult, onError, pager, sentence, setBadge, statusOf,
  typeName, viewHead } from "./parts.js";
import { charts, failing } from "./history.js";
import { sample } from "./sample.js";
import { sparks } from "./overview.js";

const attemptsShown = 50;
const followMilliseconds = 2000;
const tabs = ["attempts", "pending", "exhausted", "delivered", "expired"];

export async function target(main, { args: [name, tab = "attempts"], signal }) {
  const shown = tabs.includes(tab) ? tab : "attempts";
  let now = (state.targets || []).find((t) => t.name === name);
  if (!now) now = await get("targets/" + at(name), null, signal);
  const head = makeHead(now);
  const trend = sparks(signal, true);
  const numbers = facts();
  const list = shown === "attempts" ? attempts(name, signal) : deliveries(name, shown, signal);
  const links = makeTabs(name, shown);
  const done = acts(name, signal);
  const live = [
    h("section", { class: "panel" }, h("h2", null, "Attempts a second"), trend.attempts),
    h("section", { class: "panel" }, h("h2", null, "Latency"), trend.latency)];
  fill(main, head.element, numbers, charts(name, live, signal), failing(name, signal),
    links.element, list.element, done.element);
  const draw = (t) => {
    now = t;
    head.draw(t);
    trend.draw(t);
    links.draw(t);
    drawFacts(numbers, factsOf(t));
    list.follow(t);
    done.follow(t);
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
  const status = badge(statusOf(first));
  let now = first;
  const b = {
    sample: button("Sample…", () => sample(now), { class: "primary" }),
    pause: button("Pause…", () => pause(name)),
    resume: button("Resume…", () => resume(name)),
    retry: button("Retry now…", () => retry(name)),
    force: button("Lift by force…", () => force(name)),
    replay: button("Replay…", () => replay(name)),
    purge: button("Purge…", () => purge(name), { class: "danger" }),
  };
  const about = h("p", { class: "muted wrap" });
  const gone = h("p", { class: "notice bad", role: "alert", hidden: true }, "There is no target “" +
    name + "” any more. What is shown is what was known last.");
  return {
    element: viewHead(["#/", "Overview"], h("h1", { tabindex: "-1" }, name), status,
    h("div", { class: "actions", role: "group", "aria-label": "Actions" }, Object.values(b)),
    about, gone),
    gone() { gone.hidden = false; },
    draw(t) {
      now = t;
      gone.hidden = true;
      const before = document.activeElement;
      setBadge(status, statusOf(t));
      b.force.hidden = t.status !== "Defective";
      b.resume.hidden = t.status !== "Paused" && !t.held_until;
      b.pause.hidden = t.status === "Paused" || t.status === "Disabled";
      b.retry.hidden = t.status === "Paused" || t.status === "Disabled";
      if (t.orphan) {
        for (const name of ["sample", "force", "pause", "resume", "retry"]) b[name].hidden = true;
      }
      if (before.hidden) giveBack(before);
      say(about, t.orphan ? "Orphan: not in the config any more. Nothing is sent; its deliveries " +
        "are kept until the name returns to the config, or a purge."
        : (t.method === "POST" ? "" : t.method + " ") + t.url + " · events " + t.events.join(", ") +
          (t.session && t.session !== "any" ? " · only " + t.session + " sessions" : "") +
          (t.where ? " · where " + t.where : "") +
          (t.transform ? " · transformed by " + t.transform : "") +
          (t.order === "all" ? " · in order" : "") +
          (t.order && t.order.startsWith("by") ? " · in order " + t.order : "") +
          (t.http ? " · HTTP " + t.http : "") +
          (t.gone ? " · paused by 410" : "") +
          (t.proxy ? " · through " + t.proxy : "") +
          (t.token_url ? " · tokens of " + t.token_url : ""));
    },
  };
}

function factsOf(t) {
  return [
    ["Pending", count(t.pending)], ["Oldest pending", { at: t.oldest_pending }],
    ["Failed jobs", t.orphan ? null : failedJobs(t)],
    ["Exhausted", count(t.exhausted)],
    ["Expired", t.expired || t.expire ? count(t.expired || 0) : null],
    ["Delivered", count(t.delivered)],
    ["In flight", (t.in_flight === null ? "?" : count(t.in_flight)) +
      (t.job_running ? ", " + job(t) : "")],
    ["At most", t.rate || null],
    ["Last 200", { at: t.last_success }], ["Last failure", { at: t.last_failure }],
    ["Last job", t.last_job && t.last_job.summary],
    ["Paused since", !t.gone_since && t.paused_since && { at: t.paused_since }],
    ["Paused by", t.paused_by], ["Paused by 410", t.gone_since && { at: t.gone_since }],
    ["Held until", t.held_until && { at: t.held_until }], ["Retries", retries(t)],
    ["Last status", t.last_status ? String(t.last_status) : "–"],
    ["Defective since", !t.orphan && t.defective_since && { at: t.defective_since }],
    ["TLS expires", t.tls_expiry && { at: t.tls_expiry }],
    ["Set aside", t.quarantined ? several(t.quarantined, "record") : null],
    ["Served by", t.relay || null], ["Last error", t.last_error]];
}

// job says that a job runs, and for how many ticks already.
const job = (t) => "job running" +
  (t.ticks_outlasted ? " beyond " + several(t.ticks_outlasted, "tick") : "");

// retries is the schedule that a target has of its own.
function retries(t) {
  return [t.early_retries && "early after " + t.early_retries.join(", "),
    t.max_attempts && "at most " + count(t.max_attempts),
    t.every_ticks && "a job at one of " + count(t.every_ticks) + " ticks"]
    .filter(Boolean).join(", ") || null;
}

function makeTabs(name, shown) {
  const numbers = new Map(tabs.map((tab) => [tab, h("span", { class: "muted" })]));
  return {
    element: h("nav", { class: "tabs", "aria-label": "Lists of " + name }, tabs.map((tab) =>
      h("a", { href: "#/target/" + at(name) + "/" + tab, "aria-current": tab === shown && "page" },
        tab.charAt(0).toUpperCase() + tab.slice(1), " ", numbers.get(tab)))),
    draw(t) {
      for (const tab of tabs.slice(1)) say(numbers.get(tab), count(t[tab] || 0));
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
      onError(place)(error);
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

const deliveryColumns = [["Event", "wide"], ["Type", ""], ["Session", "session"],
  ["Accepted", "fixed"], ["Size", "number"],
  ["Attempts", "number"], ["Last attempt", "fixed"], ["What next", "result"], ["", "act"]];

function deliveryRow(d, reload) {
  const result = d.why ? sentence(d.why) : lastResult(d);
  const again = d.state !== "pending" && d.id &&
    button("Replay", () => replayEvent(d.id, [d], reload), { class: "small" });
  return row(deliveryColumns, eventLink(d.id), typeName(d.type), d.session || "–",
    when(d.accepted_at, "past"), size(d.bytes), count(d.attempts), when(d.last_attempt, "past"),
    h("span", { class: "clip", title: result }, result), again);
}

// deliveries lists those in one state, page by page. It does not move by itself, because somebody
// may be reading; it says when it is out of date.
function deliveries(name, shown, signal) {
  const { element, body } = table(shown + " deliveries", deliveryColumns, { class: "cards" });
  const stale = h("span", { class: "muted", role: "status" });
  const none = empty(h("p", null, "No " + shown + " delivery."));
  none.hidden = element.hidden = true;
  const pages = pager(async (after, limit) => {
    const query = { target: name, state: shown, limit, after };
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
      h("p", { class: "bar" }, button("Refresh", reload, { class: "small" }),
        command("deliveries", "--target", name, "--state", shown), stale),
      element, none, pages.element),
    follow(t) {
      const now = t[shown] || 0;
      if (seen !== null && now !== seen) say(stale, "The list has changed since.");
      seen ??= now;
    },
  };
}
