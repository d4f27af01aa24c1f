// Pieces that several views show.

import { at, isEnd, session } from "./api.js";
import { button, code, copyButton, fill, h, match, row, say, set } from "./dom.js";
import { count, duration, exact, now, quoted, setWhen, when, zone } from "./format.js";
import { again, heads } from "./heads.js";

export const targetLink = (name) =>
  h("a", { class: "target", href: "#/target/" + at(name) }, name);

// eventLink shows the end of a long id in its title only, so that a column keeps its width.
export const eventLink = (id) =>
  id ? h("a", { class: "id", href: "#/event/" + at(id), title: id }, id)
    : h("span", { class: "muted", title: "The event's record cannot be read" }, "unreadable");

// typeName shows an event's type on one line; its title has all of a long one.
export const typeName = (type) => h("span", { class: "type", title: type }, type);

// statusOf is a target's status in Wati's words, Enabled, Disabled, Paused or Defective; one that
// is not in the config is an orphan, whatever it was before.
export const statusOf = (t) => (t.orphan ? "orphan" : t.status);

// failedJobs says what the number of failed jobs means; nothing is tried for an orphan.
export function failedJobs(t) {
  if (t.orphan) return "–";
  return t.failed_jobs === 0 ? "0" : count(t.failed_jobs) + " in a row, Defective above " +
    count(t.failed_jobs_max);
}

// badge shows such a status.
export function badge(status) {
  const element = h("span", { class: "badge" });
  setBadge(element, status);
  return element;
}

export function setBadge(element, status) {
  set(element, "class", "badge " + status.toLowerCase());
  say(element, status);
}

// stateChip shows a delivery's state, with the target when several stand side by side.
export const stateChip = (state, target) =>
  h("span", { class: "chip " + state, title: (target ? target + ": " : "") + state },
    target ? target : state);

// problem shows a refusal with its hint, or any other failure.
export function problem(error) {
  return h("div", { class: "notice bad", role: "alert" },
    h("p", null, h("strong", null, sentence(error.message))),
    error.hint ? h("p", null, error.hint) : null,
    error.status === 401 ? button("Enter token", session.enter, { class: "small" }) : null,
    error.faults && error.faults.length
      ? h("ul", null, error.faults.map((fault) => h("li", null, fault))) : null);
}

// viewHead is the head of a view: the way up, its title, and what stands beside that.
export const viewHead = ([href, up], title, ...rest) => h("header", { class: "head" },
  h("nav", { "aria-label": "Up" }, h("a", { href }, up), " / "), title, ...rest);

// onError shows in a place what went wrong, unless the view has ended.
export const onError = (place) => (error) => { if (!isEnd(error)) fill(place, problem(error)); };

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// empty is what stands where a list has nothing in it.
export const empty = (...children) => h("div", { class: "empty" }, ...children);

// facts is a list of names and values. A value is a text, an instant {at} or an element; pairs
// without a value are left out.
export function facts(...pairs) {
  const list = h("dl", { class: "facts" });
  drawFacts(list, pairs);
  return list;
}

const isInstant = (value) => Object.hasOwn(value, "at");

// drawFacts changes what changed of such a list.
export function drawFacts(list, pairs) {
  match(list, pairs.filter(([, value]) => value), ([name]) => name, ([name, value]) =>
    h("div", { class: name === "Last error" ? "bad broad" : null }, h("dt", null, name),
      h("dd", null, isInstant(value) ? when(value.at, "full") : value)),
  (element, [, value]) => {
    const place = element.lastElementChild;
    if (typeof value === "string") say(place, value);
    else if (isInstant(value)) setWhen(place.firstElementChild, value.at);
  });
}

// firstEvent tells a newcomer how to send one, to the address where this relay really listens.
export function firstEvent(status) {
  const command = curl(status ? status.listen : []);
  return empty(
    h("h3", null, "No event yet"),
    h("p", null, "Send one from a terminal; it appears here at once."),
    h("div", { class: "command" }, code("Command", command),
      copyButton(() => command)));
}

function curl(listen) {
  const address = listen.find((a) => !a.startsWith("unix:")) || listen[0] || "127.0.0.1:8470";
  const data = "curl -H 'Content-Type: application/json' \\\n" +
    "  -d '{\"eventType\":\"message\",\"waId\":\"491701234567\",\"text\":\"hi\"}' \\\n  ";
  if (address.startsWith("unix:")) {
    return data + "--unix-socket " + address.slice(5) + " http://localhost/v1/events";
  }
  // An address that stands for all of them is reached by the name that this page was reached by.
  const everywhere = /^(\[::\]|0\.0\.0\.0)?:/;
  return data + "http://" + address.replace(everywhere, location.hostname + ":") + "/v1/events";
}

// attemptColumns and attemptRow show attempts. Those of one target leave the target out, those of
// one event the event.
export const attemptColumns = (leaveOut) => [
  ["When", "fixed"], ["Event", "wide"], ["Type", ""], ["Target", ""], ["Attempt", "number"],
  ["Duration", "number"], ["Result", "result"],
].filter(([title]) => title !== leaveOut && !(leaveOut === "Event" && title === "Type"));

export function attemptRow(columns, a) {
  const cells = {
    When: when(a.at, "past"), Event: a.id ? eventLink(a.id) : "",
    Type: typeName(a.type),
    Target: a.target ? targetLink(a.target) : "", Attempt: attemptNumber(a),
    Result: outcome(a), Duration: duration(a.duration_seconds),
  };
  return row(columns, ...columns.map(([title]) => cells[title]));
}

function attemptNumber(a) {
  const text = a.attempt === 0 ? "live" : count(a.attempt);
  return a.replay ? h("span", { title: "of a replay" }, text + " ↻") : text;
}

// outcome says what an attempt learned; what else is known of it unfolds.
function outcome(a) {
  const good = a.outcome === "success";
  const word = h("span", { class: "outcome " + (good ? "good" : "bad") },
    (good ? "✓ " : "✗ ") + (a.status || sentence(a.outcome)));
  const error = a.error && !good && h("span", { class: "muted" },
    " " + a.error.replace("answered " + a.status + " ", ""));
  const buttons = again(a, a.id || a.of);
  if (!a.snippet && !a.remote && !buttons) {
    return h("span", { class: "clip", title: a.error || null }, word, error);
  }
  return h("details", null, h("summary", null, word, error),
    a.error ? h("p", null, a.error) : null,
    a.remote ? h("p", { class: "muted" }, "from " + a.remote) : null,
    heads(a),
    a.snippet ? code("Answer", a.snippet) : null, buttons);
}

// lastResult puts status and error of a delivery together; most errors name the status themselves.
// Of one that was delivered it tells when, to the millisecond.
export function lastResult(d) {
  if (d.delivered_at) return exact(d.delivered_at) + ", " + d.status + ", " +
    duration(d.duration_ms / 1000);
  const status = d.last_status ? String(d.last_status) : "";
  if (!status || d.last_error.includes(status)) return d.last_error || "–";
  return status + " " + d.last_error;
}

export const attemptKey = (a) => [a.id, a.target, a.attempt, a.at].join(" ");

// command makes a button that copies what is on the screen as a command of the CLI.
export const command = (...words) => copyButton(() => "hookspool " + words.map(quoted).join(" "),
  "Copy as command");

export const pageSize = 50;

// pager fills a list page by page: load(after, most) shows so many at most and answers its next. It
// may be fewer though more follow, as the relay looks at a bounded number of records for each
// answer; then the next are asked for until a page is full or somebody stops it.
export function pager(load) {
  const status = h("span", { class: "muted", role: "status" });
  const more = button("More", () => { if (walking) walking = false; else go(); });
  const failure = h("div", null);
  const element = h("div", null, failure, h("p", { class: "pager" }, more, status));
  let next = "";
  let looked = 0;
  let walking = false;
  async function go() {
    walking = true;
    more.textContent = "Stop";
    say(status, "Looking…");
    failure.replaceChildren();
    try {
      let text = "";
      let left = pageSize;
      while (walking) {
        const page = await load(next, left);
        next = page.next;
        looked += page.looked_at || 0;
        text = next && page.left ? "looked at " + count(looked) + " of about " +
          count(looked + page.left) : "";
        say(status, text || "Looking…");
        if ((left -= page.shown) <= 0 || !next) break;
        more.hidden = false;
      }
      say(status, next ? text : "That is all.");
    } catch (error) {
      if (error.name !== "AbortError") failure.append(problem(error));
      say(status, "");
    }
    walking = false;
    more.textContent = "More";
    more.hidden = !next;
  }
  more.hidden = true;
  return { element, start() { next = ""; looked = 0; return go(); } };
}

// since reads "15m", "24h" or an instant as people write it, for the API.
export function instantOf(text) {
  const trimmed = text.trim();
  if (trimmed === "" || /^[\d.]+(ms|s|m|h)([\d.]+(ms|s|m|h))*$/.test(trimmed)) return trimmed;
  const days = /^(\d+)d$/.exec(trimmed);
  if (days) return days[1] * 24 + "h";
  const clock = /^(\d\d?):(\d\d)(?::(\d\d))?$/.exec(trimmed);
  if (clock) { // the last time that it was that
    const day = new Date(now());
    day[zone.utc ? "setUTCHours" : "setHours"](clock[1], clock[2], clock[3] || 0, 0);
    if (day > now()) day.setDate(day.getDate() - 1);
    return day.toISOString();
  }
  // A day begins in the zone in which instants are shown, and so does a time without one.
  const bare = /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/.exec(trimmed);
  const at = Date.parse(trimmed.replace(" ", "T") +
    (bare ? (bare[1] ? "" : "T00:00") + (zone.utc ? "Z" : "") : ""));
  if (Number.isNaN(at)) throw new Error("“" + trimmed + "” is neither like 15m nor an instant");
  return new Date(at).toISOString();
}

// windowOf reads both ends. A time of day that would come before since is the next one after it.
export function windowOf(since, until) {
  const from = instantOf(since);
  let to = instantOf(until);
  if (/^\d\d?:/.test(until.trim()) && Date.parse(to) < Date.parse(from)) {
    const day = new Date(to);
    while (day < Date.parse(from)) day.setDate(day.getDate() + 1);
    to = day.toISOString();
  }
  return { since: from, until: to };
}

export const ageOf = (instant) => (now() - Date.parse(instant)) / 1000;
