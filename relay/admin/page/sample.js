// A sample callback: one test event to one target, with a payload that can be edited.

import { at, get, post } from "./api.js";
import { code, h, part } from "./dom.js";
import { open } from "./dialog.js";
import { duration } from "./format.js";
import { facts } from "./parts.js";

// matches reports whether a target's pattern wants a type; a star stands for anything.
export function matches(pattern, type) {
  const parts = pattern.split("*").map((p) => p.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp("^" + parts.join(".*") + "$").test(type);
}

// sampleTypes are the types that the relay has a payload for; without them the first can be sent.
const sampleTypes = () => get("/sample-types.json").catch(() => []);

// sample sends one test event and shows the answer. It is not spooled and not counted.
export function sample(target) {
  open("Sample callback to " + target.name, (d) => {
    const select = h("select", { id: "sample-type" }, h("option", { value: "" },
      "the first that the target wants"));
    offerTypes(select, target);
    return form(d, [h("label", { for: "sample-type" }, "Event type"), select], select,
      () => target.name);
  });
}

// sampleOf does it with a type and a choice of targets.
export function sampleOf(type, targets) {
  open("Sample of " + type, (d) => {
    const select = h("select", { id: "sample-target" },
      targets.map((t) => h("option", null, t.target)));
    return form(d, [h("label", { for: "sample-target" }, "Target"), select], { value: type },
      () => select.value);
  });
}

function form(d, choice, type, target) {
  const edit = editor(type, d.signal);
  const go = h("button", { type: "submit", class: "primary" }, "Send sample");
  go.addEventListener("click", () => d.run(go, async () => sampleResult(await post("targets/" +
    at(target()) + "/sample", { type: type.value }, d.signal, edit.text()))));
  return [h("p", null, "One request, whatever the target's status. It is not spooled and " +
    "touches no counter."), ...choice, edit.element, d.result, h("footer", null, go)];
}

// editor holds the payload of a type, to be changed. Untouched, the relay sends its own.
function editor(type, signal) {
  const area = h("textarea", { id: "sample-payload", rows: "10", spellcheck: "false",
    placeholder: "Choose a type, or write a payload" });
  const element = h("details", { class: "edit" }, h("summary", null, "Edit the payload"),
    h("label", { for: "sample-payload" }, "Payload"), area);
  let own = "";
  async function load() {
    const wanted = type.value;
    if (!element.open || area.value !== own) return; // what was written stays
    const d = wanted ? await get("types/" + at(wanted), null, signal).catch(() => null) : null;
    if (type.value !== wanted || area.value !== own) return;
    own = d ? d.payload : "";
    area.value = own;
    own = area.value; // the browser has its own ends of lines
  }
  element.addEventListener("toggle", load);
  if (type.addEventListener) type.addEventListener("change", load);
  return { element, text: () => (element.open && area.value !== own ? area.value : null) };
}

async function offerTypes(select, target) {
  const wanted = (type) => target.events.some((pattern) => matches(pattern, type));
  const all = await sampleTypes();
  const named = target.events.filter((p) => !p.includes("*") && p && !all.includes(p));
  for (const [label, list] of [["wanted by the target", [...named, ...all.filter(wanted)]],
    ["others", all.filter((type) => !wanted(type))]]) {
    if (list.length) {
      select.append(h("optgroup", { label }, list.map((type) => h("option", null, type))));
    }
  }
}

function sampleResult(s) {
  return h("div", null,
    h("p", { class: "notice " + (s.acknowledged ? "good" : "bad") }, s.acknowledged
      ? "Acknowledged" : "Not acknowledged: " + (s.error || s.outcome)),
    s.made_up ? h("p", null, "The payload was made up: there is no sample of this type.") : null,
    facts(["Type", s.type], ["Status line", s.status_line || "–"],
      ["Latency", duration(s.latency_seconds)], ["Remote", s.remote || "–"],
      ["TLS", s.tls || "none"], ["Id", h("span", { class: "id" }, s.id)]),
    s.payload ? part("Before the transform", s.payload) : null,
    s.sent ? part("Sent", s.sent) : null,
    s.body ? code("Body of the answer", s.body) : null);
}
