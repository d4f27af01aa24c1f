// What helps a delivery: the command of its verdict, to be copied, or done here.

import { at, get } from "./api.js";
import { resume, retry } from "./actions.js";
import { purge } from "./bulk.js";
import { button, copyButton, h } from "./dom.js";
import { state } from "./live.js";
import { eventLink } from "./parts.js";
import { sample } from "./sample.js";

// doers are the verbs that the console has. A replay has a button of its own in the same row.
const doers = {
  sample: ["Sample…", async (name) => sample((state.targets || []).find((t) => t.name === name) ||
    await get("targets/" + at(name)))],
  retry: ["Retry now…", retry], resume: ["Resume…", resume], purge: ["Purge…", purge],
};

// helps shows it; after() is called when something changed.
export function helps({ hint, target }, after) {
  if (!hint) return [];
  const commands = hint.replace(/^.*; or | goes on now$/g, "").split(", then ")
    .filter((words) => words.startsWith("hookspool "));
  const act = (words) => {
    const [, verb, word] = words.split(" ");
    if (verb === "events") return eventLink(word.replace(/^'|'$/g, "").replaceAll("'\\''", "'"));
    return doers[verb] && button(doers[verb][0], () => doers[verb][1](target, after),
      { class: "small", "aria-label": doers[verb][0].replace("…", " " + target) });
  };
  return [h("div", { class: "muted" }, "Helps: " + hint), h("div", { class: "actions" },
    commands.map(act), commands.length > 0 && copyButton(() => commands.join(" && "),
      "Copy command"))];
}
