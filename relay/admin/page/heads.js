// What an attempt sent and was answered, as far as it is kept, and how to make it again.

import { copyButton, h, part } from "./dom.js";
import { quoted } from "./format.js";

const lines = (first, head) => [first, ...head.headers.map((f) => f.name + ": " + f.value),
  head.cut ? "…" : null].filter((line) => line !== null).join("\n");

// heads shows both heads of an attempt; one that has none is told by its answer alone.
export function heads(a) {
  return [
    a.request ? part("Sent", lines(a.request.method + " " + a.request.url, a.request)) : null,
    a.response ? part("Answered", lines(a.response.status_line, a.response)) : null,
  ].flat();
}

// again are the buttons that copy an attempt at an event as commands.
export function again(a, id) {
  if (!id) return null;
  const verb = "hookspool attempts " + quoted(id) + " --target " + quoted(a.target) + " --headers";
  return h("div", { class: "actions" }, a.curl ? copyButton(() => a.curl, "Copy as curl") : null,
    copyButton(() => verb, "Copy as command"));
}

// withGaps puts between the attempts of each target what is not kept of it. A replay begins again.
export function withGaps(attempts) {
  const last = new Map();
  return attempts.flatMap((a) => {
    const before = last.get(a.target);
    last.set(a.target, a);
    const from = before && before.replay === a.replay ? before.attempt + 1 : 0;
    const gap = a.attempt - from;
    return gap > 0 ? [{ ...a, gap, attempt: a.attempt - 0.5 }, a] : [a];
  });
}
