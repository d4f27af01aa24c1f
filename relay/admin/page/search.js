// Search: events by type, target, state and time, newest first. What is looked for stands in the
// address, so that a search can be kept and sent.

import { at, get } from "./api.js";
import { eventRow, eventTable } from "./overview.js";
import { fill, h } from "./dom.js";
import { listen, state } from "./live.js";
import { empty, firstEvent, instantOf, pager, problem } from "./parts.js";

const pageSize = 50;
const states = ["pending", "delivered", "exhausted"];

export function search(main, { query, signal }) {
  const result = h("section", { class: "panel", "aria-label": "Results" });
  fill(main, h("h1", { tabindex: "-1" }, "Search"), makeForm(query, signal), result);
  const { element, body } = eventTable("Events");
  const none = h("div", null);
  element.hidden = true;
  const pages = pager(async (after) => {
    const page = await get("events", { ...asked(query), limit: pageSize, after }, signal);
    body.append(...page.events.map(eventRow));
    element.hidden = body.childElementCount === 0;
    if (element.hidden && !page.next) fill(none, nothing(query));
    return { next: page.next, shown: page.events.length };
  });
  fill(result, element, none, pages.element);
  pages.start();
}

// asked reads the address; an instant that cannot be read is told by the pager as any other
// failure.
function asked(query) {
  try {
    return { type: query.get("type"), target: query.get("target"), state: query.get("state"),
      since: instantOf(query.get("since") || ""), until: instantOf(query.get("until") || "") };
  } catch (error) {
    throw Object.assign(error, { hint: "Write 15m, 24h, 7d or 2026-07-26 14:00." });
  }
}

const nothing = (query) => ([...query.values()].some(Boolean)
  ? empty(h("h3", null, "No event matches"), h("p", null, "Delivered events are kept for " +
      "spool.keep_delivered; one that no target wanted was never spooled."))
  : firstEvent(state.status));

function makeForm(query, signal) {
  const input = (name, placeholder, list) => h("input", { id: "search-" + name, name, placeholder,
    value: query.get(name) || null, autocomplete: "off", spellcheck: "false", list });
  const target = select("target", query, (state.targets || []).map((t) => t.name));
  if (!state.targets) {
    const once = new AbortController();
    signal.addEventListener("abort", () => once.abort());
    listen(once.signal, (what) => {
      if (what !== "targets") return;
      once.abort();
      target.replaceWith(select("target", query, state.targets.map((t) => t.name)));
    });
  }
  const problems = h("div", { role: "status" });
  const form = h("form", { class: "fields panel", "aria-label": "Search events", onsubmit: submit },
    field("id", "Id", input("id", "exact")),
    field("type", "Type", input("type", "templateMessage*")),
    field("target", "Target", target), field("state", "State", select("state", query, states)),
    field("since", "Accepted since", input("since", "24h or 2026-07-26 14:00", "ages")),
    field("until", "Until", input("until", "now", "ages")),
    h("datalist", { id: "ages" }, ["15m", "1h", "24h", "7d"].map((age) => h("option", null, age))),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Search"),
      h("a", { class: "button", href: "#/search" }, "Reset")), problems);

  function submit(e) {
    e.preventDefault();
    const values = new FormData(form);
    if (values.get("id").trim()) {
      location.hash = "#/event/" + at(values.get("id").trim());
      return;
    }
    const pairs = [...values].filter(([, value]) => value.trim());
    try {
      for (const name of ["since", "until"]) instantOf(values.get(name));
      fill(problems);
    } catch (error) {
      fill(problems, problem(error));
      return;
    }
    const next = "#/search" + (pairs.length ? "?" + new URLSearchParams(pairs) : "");
    if (next === location.hash) window.dispatchEvent(new Event("hashchange"));
    else location.hash = next;
  }
  return form;
}

const field = (name, label, input) =>
  h("div", null, h("label", { for: "search-" + name }, label), input);

function select(name, query, values) {
  const chosen = query.get(name) || "";
  // A target that is gone may still be asked for.
  const all = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
  return h("select", { id: "search-" + name, name }, h("option", { value: "" }, "any"),
    all.map((value) => h("option", { selected: value === chosen }, value)));
}
