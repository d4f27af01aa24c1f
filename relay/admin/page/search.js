// Search: events by what they are, what is in them and what became of them, newest first. What is
// looked for stands in the address, so that a search can be kept and sent.

import { at, get } from "./api.js";
import { replayChosen } from "./bulk.js";
import { asked, choiceFields, select } from "./choice.js";
import { eventRow, eventTable } from "./overview.js";
import { button, fill, h } from "./dom.js";
import { several } from "./format.js";
import { listen, state } from "./live.js";
import { command, empty, firstEvent, instantOf, pager, problem, windowOf } from "./parts.js";

const states = ["", "pending", "delivered", "exhausted", "expired"];
const prefix = "search-";

export function search(main, { query, signal }) {
  const result = h("section", { class: "panel", "aria-label": "Results" });
  const title = h("h2", { class: "hidden" }, "Results");
  fill(main, h("h1", { tabindex: "-1" }, "Search"), makeForm(query, signal), result);
  const { element, body } = eventTable("Events");
  const none = h("div", null);
  const failed = h("p", { class: "notice", role: "status", hidden: true });
  const again = button("Replay these…", () => replayChosen(asked(query)), { hidden: true });
  const talk = query.get("conversation");
  element.hidden = true;
  let failures = 0;
  const pages = pager(async (after, limit) => {
    const page = await get("events", { ...asked(query), limit, after }, signal);
    body.append(...page.events.map(eventRow));
    element.hidden = again.hidden = body.childElementCount === 0;
    if (element.hidden && !page.next) fill(none, nothing(query));
    failures += page.where_errors || 0;
    failed.hidden = failures === 0;
    failed.textContent = "The program failed on " + several(failures, "event") +
      ", which count as no match: " + (page.where_error || failed.textContent.split(": ")[1]);
    return { ...page, shown: page.events.length };
  });
  // What comes later is last.
  fill(result, title, h("div", { class: "actions" }, talk ? h("a", { class: "button",
    href: "#/conversation/" + at(talk) }, "Conversation") : null, again), failed, element, none,
  pages.element);
  pages.start();
}

// asCommand copies the search as a command; an instant as it was typed may be one that only this
// page reads.
function asCommand(query) {
  const words = [...query].filter(([, value]) => value).flatMap(([name, value]) => {
    if (name !== "since" && name !== "until") return ["--" + name, value];
    try {
      return ["--" + name, instantOf(value)];
    } catch {
      return [];
    }
  });
  return command("events", ...words);
}

const nothing = (query) => ([...query.values()].some(Boolean)
  ? empty(h("h3", null, "No event matches"), h("p", null, "Delivered events are kept for " +
      "spool.keep_delivered; one that no target wanted was never spooled."))
  : firstEvent(state.status));

function makeForm(query, signal) {
  const names = () => ["", ...(state.targets || []).map((t) => t.name)];
  const problems = h("div", { role: "status" });
  const form = h("form", { class: "fields panel", "aria-label": "Search events", onsubmit: submit },
    choiceFields(prefix, query, [["target", "Target", names()], ["state", "State", states]]),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Search"),
      h("a", { class: "button", href: "#/search" }, "Reset"), asCommand(query)), problems);
  if (!state.targets) {
    const once = new AbortController();
    signal.addEventListener("abort", () => once.abort());
    listen(once.signal, (what) => {
      if (what !== "targets") return;
      once.abort();
      form.elements.target.replaceWith(select(prefix, "target", query, names()));
    });
  }

  function submit(e) {
    e.preventDefault();
    const values = new FormData(form);
    const pairs = [...values].map(([name, value]) => [name, value.trim()])
      .filter(([, value]) => value);
    const id = values.get("id").trim();
    if (id && pairs.length === 1 && !id.endsWith("*")) {
      location.hash = "#/event/" + at(id);
      return;
    }
    try {
      windowOf(values.get("since"), values.get("until"));
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
