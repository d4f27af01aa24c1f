// The catalogue: what event types there are, when each is sent, and who would get one.

import { at, get, post } from "./api.js";
import { button, code, copyButton, fill, h, row, table } from "./dom.js";
import { count } from "./format.js";
import { badge, facts, onError, targetLink, typeName, viewHead } from "./parts.js";
import { sampleOf } from "./sample.js";

const link = (type) => h("a", { href: "#/types/" + at(type) }, typeName(type));
const sides = { user: "user", business: "business", none: "–" };

export async function types(main, { args: [type], signal }) {
  if (type) return detail(main, type, signal);
  const { types: list } = await get("types", null, signal);
  const columns = [["Type", "wide"], ["Wrote", ""], ["Targets", "number"], ["When", "result"]];
  const { element, body } = table("Event types", columns, { class: "cards" });
  body.append(...list.map((t) => row(columns, link(t.type), sides[t.side], count(t.wanted_by),
    h("span", { class: "wrap" }, t.when))));
  fill(main, h("h1", { tabindex: "-1" }, "Event types"),
    h("p", { class: "muted" }, "Those that Wati sends. Types of your own are taken as well, and " +
      "have no entry."),
    h("section", { class: "panel" }, element));
}

async function detail(main, type, signal) {
  const d = await get("types/" + at(type), null, signal);
  const pre = code("Sample", d.payload);
  fill(main, viewHead(["#/types", "Event types"], h("h1", { class: "id", tabindex: "-1" }, d.type),
    h("div", { class: "actions", role: "group", "aria-label": "Actions" },
      button("Send to a target…", () => sampleOf(d.type, d.targets)))),
  facts(["When", d.when], ["Session", d.session]),
  h("section", { class: "panel" }, h("h2", null, "Who would get it"), targets(d),
    requests(d.type, signal)),
  h("section", { class: "panel", "aria-labelledby": "sample-title" },
    h("div", { class: "bar" }, h("h2", { id: "sample-title" }, "Sample"),
      h("div", { class: "actions" }, copyButton(() => d.payload))), pre),
  h("section", { class: "panel" }, h("h2", null, "Fields"), fields(d.fields)));
}

function targets(d) {
  const columns = [["Target", "wide"], ["Status", ""], ["Gets it", ""], ["Because", "result"]];
  if (!d.targets.length) return h("p", { class: "muted" }, "There is no target.");
  const { element, body } = table("Targets", columns, { class: "cards" });
  body.append(...d.targets.map((t) => row(columns, targetLink(t.target), badge(t.status),
    t.wanted ? "yes" : "no", h("span", { class: "wrap" }, t.note))));
  return element;
}

// requests shows on demand what each target would be sent now.
function requests(type, signal) {
  const place = h("div", null);
  const ask = button("Explain: show the requests", async () => {
    ask.disabled = true;
    try {
      const x = await post("explain", { sample: type }, signal);
      fill(place, x.session ? facts(["Conversation", x.session.key],
        ["Session", x.session.state_after], ["Because", x.session.why]) : null,
      x.targets.filter((t) => t.request).map((t) => [h("h3", null, t.target),
        t.note ? h("p", null, t.note) : null,
        code("Request to " + t.target, t.request)]).flat(),
      x.targets.some((t) => t.request) ? null : h("p", null, "No target would get it now."));
    } catch (error) {
      onError(place)(error);
    }
    ask.disabled = false;
  }, { class: "small" });
  return h("div", null, ask, place);
}

function fields(list) {
  const columns = [["Field", "wide"], ["Type", ""], ["Example", "result"]];
  const { element, body } = table("Fields", columns, { class: "cards" });
  body.append(...list.map((f) => row(columns, h("code", null, f.name), f.type,
    h("code", { class: "wrap" }, f.example))));
  return element;
}
