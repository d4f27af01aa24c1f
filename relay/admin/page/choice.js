// What search, replay and purge ask for alike: the fields of it, and how they are read.

import { h } from "./dom.js";
import { windowOf } from "./parts.js";

const texts = ["id", "type", "target", "state", "conversation", "session", "status", "error",
  "failure"];

// asked is a choice for the API, from an address or a form.
export function asked(query) {
  try {
    const of = { where: query.getAll("where") };
    for (const name of texts) of[name] = (query.get(name) || "").trim();
    return { ...of, ...windowOf(query.get("since") || "", query.get("until") || "") };
  } catch (error) {
    throw Object.assign(error, { hint: "Write 15m, 24h, 7d, 22:00 or 2026-07-26 14:00." });
  }
}

const labelled = (id, label, control) => h("div", null, h("label", { for: id }, label), control);

// choiceFields are its fields, filled with what a query has; a select has a list of values beside
// its label, the first of which may be empty.
export function choiceFields(prefix, query, selects) {
  const field = (name, label, placeholder, list, n = "", value = query.get(name)) =>
    labelled(prefix + name + n, label, h("input", { id: prefix + name + n, name, placeholder,
      value: value || null, autocomplete: "off", spellcheck: "false",
      list: list && prefix + list }));
  const choose = ([name, label, values]) => labelled(prefix + name, label,
    select(prefix, name, query, values));
  const wheres = query.getAll("where").length ? query.getAll("where") : [""];
  return [
    field("id", "Id", "exact, or order-17*"), field("type", "Type", "templateMessage*"),
    selects.map(choose),
    field("since", "Accepted since", "24h, 22:00, date", "ages"),
    field("until", "Until", "now", "ages"),
    wheres.map((value, i) => field("where", i ? "And where" : "Where",
      "waId=4917… or a jq program", null, i || "", value)),
    field("conversation", "Conversation", "waId, conversationId…"),
    choose(["session", "Session", ["", "active", "inactive", "none"]]),
    field("status", "Last status", "503 or 5xx"),
    field("error", "Last error", "timeout, or some of its text"),
    query.get("failure") && field("failure", "Group of failures", ""),
    h("datalist", { id: prefix + "ages" },
      ["15m", "1h", "24h", "7d"].map((age) => h("option", null, age))),
  ].flat();
}

export function select(prefix, name, query, values) {
  const chosen = query.get(name) || "";
  // A target that is gone may still be asked for.
  const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  return h("select", { id: prefix + name, name }, all.map((value) =>
    h("option", { value, selected: value === chosen }, value || "any")));
}
