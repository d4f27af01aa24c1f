// Actions on many deliveries at once: replay and purge. Both count first.

import { at, get, post } from "./api.js";
import { button, fill, h, say, set } from "./dom.js";
import { open } from "./dialog.js";
import { count, several } from "./format.js";
import { instantOf } from "./parts.js";
import { poll } from "./live.js";

const deliveries = (n) => several(n, "delivery", "deliveries");

// mustExist fails when a target is gone, of which there is nothing to be found either.
const mustExist = (name) => get("targets/" + at(name));

// pages calls path for each query until there is no next page: a call handles a bounded number. It
// stops between two calls when stopped() says so; one that is under way is waited for, as nobody
// would know what an aborted one did. on(sum) tells how far it is.
async function pages(path, queries, stopped, on) {
  let sum = 0;
  for (const query of queries) {
    let after = "";
    do {
      if (stopped()) return { sum, unfinished: true };
      const page = await post(path, { ...query, after });
      sum += page.count;
      after = page.next;
      on(sum);
    } while (after);
  }
  return { sum, unfinished: false };
}

// replay asks which deliveries of a target, counts them, and sends them again.
export function replay(name, after) {
  open("Replay deliveries of " + name, (d) => {
    const form = {
      state: h("select", { id: "replay-state" }, h("option", null, "exhausted"),
        h("option", null, "delivered")),
      type: h("input", { id: "replay-type", placeholder: "any, or like templateMessage*" }),
      since: h("input", { id: "replay-since", placeholder: "any, 24h or 2026-07-26 14:00" }),
      until: h("input", { id: "replay-until", placeholder: "now" }),
    };
    const queries = () => [{ target: name, state: form.state.value, type: form.type.value.trim(),
      since: instantOf(form.since.value), until: instantOf(form.until.value) }];
    return [h("p", null, "They are sent again with the same id, from attempt 0 and with all " +
      "retries of their own. What is pending already is left alone."),
    fields(["State", form.state], ["Type", form.type], ["Accepted since", form.since],
      ["Until", form.until]), ...twoSteps(d, name, form, queries, after)];
  });
}

// replayEvent replays some deliveries of one event.
export function replayEvent(id, list, after) {
  const queries = list.filter((d) => d.state !== "pending")
    .map((d) => ({ id, target: d.target, state: d.state }));
  open("Replay to " + queries.map((q) => q.target).join(", "), (d) => [
    h("p", null, "The event ", h("code", { class: "id" }, id), " is sent again with the same id. " +
      "A delivery that is pending already is left alone."),
    ...twoSteps(d, queries[0].target, {}, () => queries, after),
  ]);
}

function fields(...pairs) {
  return h("div", { class: "fields" }, pairs.map(([label, input]) =>
    h("div", null, h("label", { for: input.id }, label), input)));
}

// twoSteps makes the buttons of a replay: count, and then send again with progress.
function twoSteps(d, name, form, queries, after) {
  const progress = h("progress", { "aria-label": "Progress", hidden: true });
  const go = h("button", { type: "submit", class: "primary" }, "Count");
  const stop = button("Stop", () => { stopped = true; }, { hidden: true });
  let stopped = false;
  let total = 0;
  const settle = (n) => {
    total = n;
    go.textContent = n ? "Replay " + count(n) : "Count";
  };
  for (const input of Object.values(form)) {
    input.addEventListener("input", () => {
      settle(0);
      fill(d.result);
    });
  }
  d.signal.addEventListener("abort", () => { stopped = true; });
  go.addEventListener("click", () => (total ? send() : look()));

  const look = () => d.run(go, async () => {
    const line = notice(d, "Counting…");
    const { sum } = await pages("replay", queries().map((q) => ({ ...q, dry_run: true })),
      () => d.signal.aborted, (n) => say(line, "Counting… " + count(n)));
    if (!sum) await mustExist(name);
    settle(sum);
    say(line, sum ? deliveries(sum) + " would be replayed." : "There is nothing to replay.");
  });

  async function send() {
    stopped = false;
    const line = notice(d, "Replaying…");
    progress.max = total;
    progress.value = 0;
    progress.hidden = stop.hidden = false;
    await d.run(go, async () => {
      const { sum, unfinished } = await pages("replay", queries(), () => stopped, (n) => {
        progress.value = n;
        say(line, "Replaying… " + count(n) + " of " + count(total));
      });
      set(line, "class", "notice " + (unfinished ? "" : "good"));
      say(line, deliveries(sum) + " replayed" + (unfinished
        ? "; stopped, they are sent at the next tick." : "."));
    });
    settle(0);
    stop.hidden = progress.hidden = true;
    if (after) after();
    poll();
  }
  return [d.result, progress, h("footer", null, stop, go)];
}

function notice(d, text) {
  const line = h("p", { class: "notice" }, text);
  fill(d.result, line);
  return line;
}

// purge deletes undelivered deliveries: it counts them and wants the target's name typed.
export function purge(name, after) {
  open("Purge deliveries of " + name, (d) => {
    const state = h("select", { id: "purge-state" }, h("option", null, "exhausted"),
      h("option", null, "pending"));
    const type = h("input", { id: "purge-type", placeholder: "any" });
    const typed = h("input", { id: "purge-name", autocomplete: "off", spellcheck: "false" });
    const go = h("button", { type: "submit", class: "danger", disabled: true }, "Purge");
    const counting = h("button", { type: "button" }, "Count");
    const progress = h("progress", { "aria-label": "Progress", hidden: true });
    const stop = button("Stop", () => { stopped = true; }, { hidden: true });
    let stopped = false;
    let total = 0;
    d.signal.addEventListener("abort", () => { stopped = true; });
    const purgePages = (dry, on) => pages("targets/" + at(name) + "/purge", [{ limit: 1000,
      state: state.value, type: type.value.trim(), dry_run: dry }], () => stopped, on);
    const judge = () => { go.disabled = total === 0 || typed.value !== name; };
    const settle = (n) => {
      total = n;
      go.textContent = n ? "Purge " + count(n) : "Purge";
      judge();
    };
    for (const input of [state, type]) input.addEventListener("input", () => settle(0));
    typed.addEventListener("input", judge);
    counting.addEventListener("click", () => d.run(counting, async () => {
      const line = notice(d, "Counting…");
      const { sum } = await purgePages(true, (n) => say(line, "Counting… " + count(n)));
      if (!sum) await mustExist(name);
      settle(sum);
      say(line, sum ? deliveries(sum) + " would be deleted." : "There is nothing to purge.");
    }));
    go.addEventListener("click", async () => {
      stopped = false;
      progress.max = total;
      progress.value = 0;
      progress.hidden = stop.hidden = false;
      await d.run(go, async () => {
        const line = notice(d, "Deleting…");
        const { sum, unfinished } = await purgePages(false, (n) => {
          progress.value = n;
          say(line, "Deleting… " + count(n) + " of " + count(total));
        });
        set(line, "class", "notice " + (unfinished ? "" : "good"));
        say(line, deliveries(sum) + " deleted" + (unfinished ? "; stopped." : "."));
      });
      settle(0);
      stop.hidden = progress.hidden = true;
      if (after) after();
      poll();
    });
    return [h("p", null, "This is the only way in which an undelivered event is ever deleted by " +
      "hand, and it cannot be undone."),
    fields(["State", state], ["Type", type], ["Type the target's name to confirm", typed]),
    d.result, progress, h("footer", null, stop, counting, go)];
  });
}
