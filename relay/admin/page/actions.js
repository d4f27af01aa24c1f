// What the console can do to a target: each action asks first and shows what came of it. after() is
// called when something changed.

import { at, get, post } from "./api.js";
import { h } from "./dom.js";
import { confirm, open } from "./dialog.js";
import { duration, several } from "./format.js";
import { facts } from "./parts.js";
import { poll } from "./live.js";

const path = (name, verb) => "targets/" + at(name) + "/" + verb;

// steer makes a confirmation of an order that answers with what the target is then.
function steer(verb, title, text, label, told) {
  return (name, after) => confirm({
    title: title + " " + name, text, label,
    act: async (signal) => {
      const target = await post(path(name, verb), null, signal);
      poll();
      if (after) after();
      return h("p", { class: "notice good" }, told(target));
    },
  });
}

export const enable = steer("enable", "Enable",
  "This lifts the defect and runs a job now: one attempt for each delivery that is due. Live " +
  "attempts go on at once.", "Enable",
  (t) => t.name + " is " + t.status + ". A job runs now; " +
    several(t.pending, "delivery is", "deliveries are") + " pending.");

export const pause = steer("pause", "Pause",
  "Its events go on being spooled, and nothing is sent until you resume it. Nothing is lost, and " +
  "no attempt is spent.", "Pause",
  (t) => t.name + " is " + t.status + ". Its deliveries are held.");

export const resume = steer("resume", "Resume",
  "What was held is sent from now on.", "Resume",
  (t) => t.name + " is " + t.status + "; " + several(t.pending, "delivery", "deliveries") +
    " pending.");

export const retry = steer("retry", "Retry now:",
  "This runs a job now instead of at the next tick: one attempt for each delivery that failed " +
  "before. It counts like any other job.", "Retry now",
  (t) => "A job runs now for " + t.name + "; " +
    several(t.pending, "delivery is", "deliveries are") + " pending.");

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
    const go = h("button", { type: "submit", class: "primary" }, "Send sample");
    go.addEventListener("click", () => d.run(go, async () =>
      sampleResult(await post(path(target.name, "sample"), { type: select.value }, d.signal))));
    return [h("p", null, "One request, whatever the target's status. It is not spooled and " +
      "touches no counter."),
    h("label", { for: "sample-type" }, "Event type"), select, d.result,
    h("footer", null, go)];
  });
}

async function offerTypes(select, target) {
  const wanted = (type) => target.events.some((pattern) => matches(pattern, type));
  const all = await sampleTypes();
  for (const [label, list] of [["wanted by the target", all.filter(wanted)],
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
    facts(["Type", s.type], ["Status line", s.status_line || "–"],
      ["Latency", duration(s.latency_seconds)], ["Remote", s.remote || "–"],
      ["TLS", s.tls || "none"], ["Id", h("span", { class: "id" }, s.id)]),
    s.body ? h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, s.body) : null);
}

// contextual is the one action that a target's status calls for.
export function contextual(target) {
  if (target.status === "Defective") return ["Enable", () => enable(target.name)];
  if (target.status === "Paused") return ["Resume", () => resume(target.name)];
  return ["Sample", () => sample(target)];
}
