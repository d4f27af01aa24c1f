// One event: what it is, who got it, every attempt, and its payload.

import { at, bytes, get, isEnd } from "./api.js";
import { replayEvent } from "./bulk.js";
import { button, code, copyButton, fill, h, match, row, say, table } from "./dom.js";
import { count, several, size, when } from "./format.js";
import { withGaps } from "./heads.js";
import { helps } from "./helps.js";
import { listen } from "./live.js";
import { attemptColumns, attemptKey, attemptRow, command, empty, facts, lastResult, onError,
  problem, sentence, stateChip, targetLink, viewHead } from "./parts.js";

const followMilliseconds = 2000;

// shownMax bounds what is laid out as text; the rest is in the download.
const shownMax = 200000;

export async function event(main, { args: [id], signal }) {
  const first = await get("events/" + at(id), null, signal);
  let now = first;
  const all = button("Replay…", () => replayEvent(id, now.deliveries, load));
  const who = deliveries(id, load);
  const tried = attempts(id, signal, () => now.deliveries.some((d) => d.state === "delivered" ||
    d.attempts > 0));
  const head = viewHead(["#/search", "Events"], h("h1", { class: "id", tabindex: "-1" }, id),
    h("div", { class: "actions", role: "group", "aria-label": "Actions" },
      copyButton(() => id, "Copy id"), command("events", id),
      // A listener that stands for every address is where this page is.
      first.curl && copyButton(() => first.curl.replace("//localhost:",
        "//" + location.hostname + ":"), "Copy event as curl"), all));
  fill(main, head, facts(["Type", first.type], ["Content type", first.content_type || "–"],
    ["Accepted", { at: first.accepted_at }], ["Size", size(first.bytes)],
    ["Session", first.session || "none"]),
  h("section", { class: "panel" }, h("h2", null, "Deliveries"), who.element),
  h("section", { class: "panel" }, h("h2", null, "Attempts"), tried.element),
  first.unwanted ? null : payload(id, first, signal));
  const pending = (d) => d.state === "pending";
  function draw(e) {
    now = e;
    all.disabled = e.deliveries.every(pending);
    who.draw(e);
  }
  async function load() {
    try {
      draw(await get("events/" + at(id), null, signal));
      await tried.load();
    } catch (error) {
      if (!isEnd(error)) head.after(problem(error));
    }
  }
  draw(first);
  if (first.unwanted) return;
  tried.load();
  follow(id, signal, load, () => now.deliveries.some(pending));
}

// follow loads again when an attempt of this event is told, and every other second while it is
// pending.
function follow(id, signal, load, isPending) {
  let asked = Date.now();
  listen(signal, (what, a) => {
    const about = what === "attempt" ? a.id === id : what === "status" && isPending();
    if (!about || Date.now() - asked < (what === "attempt" ? 200 : followMilliseconds)) return;
    asked = Date.now();
    load();
  });
}

const deliveryColumns = [["Target", ""], ["State", ""], ["Attempts", "number"],
  ["First failure", "fixed"], ["Last attempt", "fixed"], ["What next", "result"], ["", "act"]];

function deliveries(id, reload) {
  const { element, body } = table("Deliveries", deliveryColumns, { class: "cards" });
  const none = empty();
  const key = (d) => JSON.stringify(d);
  const make = (d) => row(deliveryColumns, targetLink(d.target),
    [stateChip(d.state), d.replay ? h("span", { class: "muted" }, " replay") : null],
    count(d.attempts), when(d.first_failure, "past"), when(d.last_attempt, "past"),
    h("div", { class: "wrap" }, sentence(d.why || lastResult(d)), ...helps(d, reload)),
    d.state === "pending" ? null : button("Replay", () => replayEvent(id, [d], reload),
      { class: "small", "aria-label": "Replay to " + d.target }));
  return {
    element: h("div", null, element, none),
    draw(e) {
      const list = e.deliveries;
      match(body, list, key, make);
      element.hidden = list.length === 0;
      none.hidden = list.length > 0;
      if (list.length > 0) return;
      const why = e.why || "the targets that it was owed to were forgotten";
      fill(none, h("p", null, sentence(why)), e.unwanted && h("ul", null, e.unwanted.map((u) =>
        h("li", null, targetLink(u.target), ": " + u.note))));
    },
  };
}

function attempts(id, signal, isTried) {
  const columns = attemptColumns("Event");
  const { element, body } = table("Attempts", columns, { class: "cards" });
  const note = h("div", null);
  async function load() {
    const answer = await get("attempts/" + at(id), null, signal);
    const list = withGaps(answer.attempts).map((a) => ({ ...a, id }));
    match(body, list, (a) => attemptKey(a) + " " + Boolean(a.request), (a) => (a.gap
      ? row(columns, "", targetLink(a.target), "–", "–",
        h("span", { class: "muted" }, several(a.gap, "attempt") + " not kept"))
      : attemptRow(columns, { ...a, id: null, of: id })));
    element.hidden = list.length === 0;
    fill(note, list.length ? null : empty(h("p", null, isTried()
      ? "No attempt was made, or none is kept." : "Nothing was tried yet.")));
  }
  return { element: h("div", null, element, note),
    load: () => load().catch(onError(note)) };
}

// payload shows the bytes as text, laid out when they are JSON; what is no text can be downloaded.
function payload(id, e, signal) {
  const place = h("div", null, h("p", { class: "muted" }, "Loading…"));
  const bar = h("div", { class: "actions" });
  bytes("events/" + at(id) + "/payload", signal).then((raw) => {
    const text = textOf(raw);
    const save = button("Download", () => download(raw, id), { class: "small" });
    if (text === null) {
      fill(place, empty(h("p", null, "These bytes are no text.")));
      fill(bar, save);
      return;
    }
    const pre = code("Payload");
    const pretty = layOut(text);
    const show = (laidOut) => { say(pre, cut(laidOut ? pretty : text)); };
    const toggle = pretty !== null && pretty !== text && button("As sent", () => {
      const on = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", on);
      show(!on);
    }, { class: "small", "aria-pressed": "false" });
    show(pretty !== null);
    fill(place, text === "" ? empty(h("p", null, "It is empty.")) : pre);
    fill(bar, toggle, copyButton(() => text), save);
  }).catch(onError(place));
  return h("section", { class: "panel", "aria-labelledby": "payload-title" },
    h("div", { class: "bar" }, h("h2", { id: "payload-title" }, "Payload"),
      h("span", { class: "muted" }, size(e.bytes)), bar), place);
}

function textOf(raw) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(raw);
  } catch {
    return null;
  }
}

// layOut indents JSON without reading numbers: 10000000000000001 must not be shown as another. It
// works on the text, and only on one that is JSON.
export function layOut(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+|[{[]\s*[}\]]|[{}[\],:]/g, (token, string) => {
    if (string) return string;
    if (/^\s+$/.test(token)) return "";
    if (/^[{[]\s*[}\]]$/.test(token)) return token[0] + token.at(-1);
    if (token === ":") return ": ";
    if (token === ",") return token + line();
    if (token === "{" || token === "[") {
      depth++;
      return token + line();
    }
    depth--;
    return line() + token;
  });
}

function cut(text) {
  return text.length <= shownMax ? text
    : text.slice(0, shownMax) + "\n… " + count(text.length - shownMax) + " more characters";
}

function download(raw, id) {
  const url = URL.createObjectURL(new Blob([raw], { type: "application/octet-stream" }));
  h("a", { href: url, download: id.replace(/[^\w.-]+/g, "_") + ".payload" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
