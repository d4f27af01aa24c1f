// What operators did to a target.

import { get } from "./api.js";
import { fill, h, row, table } from "./dom.js";
import { count, when } from "./format.js";
import { empty, onError } from "./parts.js";

const actsShown = 20;
const lookMilliseconds = 10000; // a sample changes nothing of a target
const columns = [["When", "fixed"], ["Who", ""], ["Verb", ""], ["Count", "number"],
  ["Result", "result"], ["Filter", ""]];

// acts lists the last of them, and asks again when the target shows that there are others.
export function acts(name, signal) {
  const { element, body } = table("Actions", columns, { class: "cards" });
  const place = h("div", null);
  async function load() {
    try {
      const { actions } = await get("actions", { target: name, limit: actsShown }, signal);
      fill(body, ...actions.map(act));
      fill(place, h("h2", null, "Actions"), actions.length ? element
        : empty(h("p", null, "Nobody did anything to it in 90 days.")));
    } catch (error) {
      onError(place)(error);
    }
  }
  let asked = 0;
  let seen = null;
  return {
    element: h("section", { class: "panel", "aria-label": "Actions" }, place),
    follow(t) {
      const j = t.last_job || {};
      const moved = [t.status, t.paused_since, j.number, j.ended_at, t.exhausted].join();
      if (moved === seen && Date.now() - asked < lookMilliseconds) return;
      asked = Date.now();
      load();
      seen = moved;
    },
  };
}

function act(a) {
  const who = a.by || a.remote || "–";
  const how = { socket: "as the system says", claimed: "as the caller says" }[a.how] ||
    "nobody said";
  return row(columns, when(a.at),
    h("span", { title: [how, "from " + a.remote, a.token ? "with the token" : "without a token"]
      .join(", ") }, who),
    a.verb, a.count ? count(a.count) : "–",
    h("span", { class: "clip", title: a.result }, (a.ended_at ? "" : "not ended: ") + a.result),
    a.filter || "–");
}
