// Actions on many deliveries at once: replay and purge. Both count first.

import { at, get, post } from "./api.js";
import { asked, choiceFields } from "./choice.js";
import { button, fill, h, say, set } from "./dom.js";
import { open } from "./dialog.js";
import { count, several } from "./format.js";
import { poll, state as live } from "./live.js";

const deliveries = (n) => several(n, "delivery", "deliveries");
const settled = ["exhausted", "expired", "delivered"];

// mustExist fails when a target is gone, of which there is nothing to be found either.
const mustExist = (name) => get("targets/" + at(name));

// pages calls path for each query until there is no next page: a call handles a bounded number. It
// stops between two calls when stopped() says so; one that is under way is waited for, as nobody
// would know what an aborted one did. on(sum) tells how far it is. What it answers has sends,
// whether all of a replay will be sent, and why, what is in the way of that, and of counting.
async function pages(path, queries, stopped, on) {
  const all = { sum: 0, unfinished: false, sends: true, why: "" };
  let failed = 0;
  for (const query of queries) {
    let after = "";
    let run = ""; // the pages are one action
    do {
      if (stopped()) {
        if (run) post("actions/" + run + "/stop").catch(() => {}); // as far as it came
        return { ...all, unfinished: true };
      }
      const page = await post(path, { ...query, after, run });
      all.sum += page.count;
      failed += page.where_errors || 0;
      if (page.count && page.sends === false) all.sends = false;
      if (page.count && page.why_not && !all.why.includes(page.why_not)) {
        all.why += "; " + page.why_not;
      }
      after = page.next;
      run = page.run || run;
      on(all.sum);
    } while (after);
  }
  if (failed) all.why += "; the program failed on " + several(failed, "event") + ", which " +
    "count as no match";
  return all;
}

// The words of both.
const verbs = {
  replay: { path: () => "replay", go: "Replay ", doing: "Replaying… ", done: " replayed",
    stopped: "; stopped, they wait for the next tick" },
  purge: { path: (name) => "targets/" + at(name) + "/purge", go: "Purge ", doing: "Deleting… ",
    done: " deleted", stopped: "; stopped" },
};

// replay asks which deliveries of a target, counts them, and sends them again.
export function replay(name, after) {
  open("Replay deliveries of " + name, (d) => [h("p", null, "They are queued again with the same " +
    "id, from attempt 0 and with all retries of their own. What is pending already is left alone."),
  ...chooser(d, "replay", name, settled, { target: name }, after)]);
}

// purge deletes undelivered deliveries: it counts them and wants the target's name typed.
export function purge(name, after) {
  open("Purge deliveries of " + name, (d) => [h("p", null, "This is the only way in which an " +
    "undelivered event is ever deleted by hand, and it cannot be undone."),
  ...chooser(d, "purge", name, ["exhausted", "expired", "pending"], { limit: 1000 }, after)]);
}

// chooser asks what a search asks for, but for the target.
function chooser(d, verb, name, states, more, after) {
  const none = new URLSearchParams();
  const form = fields(choiceFields(verb + "-", none, [["state", "State", states]]));
  const queries = () => [{ ...asked(new URLSearchParams(new FormData(form.closest("form")))),
    ...more }];
  return [form, ...twoSteps(d, verb, name, form, queries, after)];
}

// replayChosen replays what a search has found, of one target or of all; or what is in a group of
// failures, told in other words, and in one state.
export function replayChosen(chosen, states = settled, told = "") {
  const targets = chosen.target ? [chosen.target] : (live.targets || []).map((t) => t.name);
  const words = told ? [told] : Object.entries(chosen)
    .filter(([name]) => name !== "state" && name !== "target")
    .flatMap(([name, value]) => [value].flat().filter(Boolean).map((one) => name + " " + one));
  open("Replay to " + (chosen.target || "all targets"), (d) => {
    const select = h("select", { id: "replay-state" }, states.map((name) =>
      h("option", { selected: name === chosen.state }, name)));
    const form = fields(h("div", null, h("label", { for: select.id }, "State"), select));
    const queries = () => targets.map((target) => ({ ...chosen, target, state: select.value }));
    return [h("p", { class: "wrap" }, words.length ? "Deliveries with " + words.join(", ") + ". "
      : "", "They are sent with the same id, from attempt 0 and with all retries of their own."),
    form, ...twoSteps(d, "replay", targets[0], form, queries)];
  });
}

// replayEvent replays some deliveries of one event.
export function replayEvent(id, list, after) {
  const queries = list.filter((d) => d.state !== "pending")
    .map((d) => ({ id, target: d.target, state: d.state }));
  open("Replay to " + queries.map((q) => q.target).join(", "), (d) => [
    h("p", null, "The event ", h("code", { class: "id" }, id), " is queued again with the same " +
      "id. A delivery that is pending already is left alone."),
    ...twoSteps(d, "replay", queries[0].target, null, () => queries, after),
  ]);
}

const fields = (...children) => h("div", { class: "fields" }, ...children);

// twoSteps makes the buttons: count, and then do it with progress. What is deleted wants the
// target's name typed.
function twoSteps(d, verb, name, form, queries, after) {
  const words = verbs[verb];
  const path = words.path(name);
  const typed = verb === "purge" && h("input", { id: "purge-name", autocomplete: "off",
    spellcheck: "false", oninput: () => judge() });
  const progress = h("progress", { "aria-label": "Progress", hidden: true });
  const go = button("Count", () => (total ? act() : look()), { class: "primary" });
  const counting = typed ? button("Count", () => look()) : go;
  if (typed) go.className = "danger";
  const stop = button("Stop", () => { stopped = true; }, { hidden: true });
  let stopped = false;
  let total = 0;
  const judge = () => { go.disabled = Boolean(typed) && (!total || typed.value !== name); };
  const settle = (n, sends) => {
    total = n;
    go.textContent = n ? (sends ? words.go : "Queue ") + count(n) : typed ? words.go : "Count";
    judge();
  };
  const inputs = form ? [...form.querySelectorAll("input, select")] : [];
  for (const input of [...inputs, typed].filter(Boolean)) {
    // Enter counts; it does not do what was counted.
    input.addEventListener("keydown", (e) => e.key === "Enter" && !total && counting.click());
  }
  for (const input of inputs) {
    input.addEventListener("input", () => {
      settle(0);
      fill(d.result);
    });
  }
  settle(0);
  d.signal.addEventListener("abort", () => { stopped = true; });

  async function look() {
    await d.run(counting, async () => {
      const line = notice(d, "Counting…");
      const { sum, sends, why } = await pages(path,
        queries().map((q) => ({ ...q, dry_run: true })), () => d.signal.aborted,
        (n) => say(line, "Counting… " + count(n)));
      if (!sum) await mustExist(name);
      settle(sum, sends);
      set(line, "class", "notice " + (sum && !sends ? "bad" : ""));
      const would = sends ? " would be" + words.done : " would be queued, and not sent";
      say(line, sum ? deliveries(sum) + would + why + "."
        : "There is nothing to " + verb + why + ".");
    });
  }

  async function act() {
    stopped = false;
    const line = notice(d, words.doing);
    progress.max = total;
    progress.value = 0;
    progress.hidden = stop.hidden = false;
    await d.run(go, async () => {
      const done = await pages(path, queries(), () => stopped, (n) => {
        progress.value = n;
        say(line, words.doing + count(n) + " of " + count(total));
      });
      set(line, "class", "notice " + (done.unfinished || !done.sends ? "" : "good"));
      say(line, deliveries(done.sum) + (done.sends ? words.done : " queued") +
        (done.unfinished ? words.stopped : "") + done.why + ".");
    });
    settle(0);
    stop.hidden = progress.hidden = true;
    if (after) after();
    poll();
  }
  return [typed && fields(h("div", null, h("label", { for: typed.id },
    "Type the target's name to confirm"), typed)), d.result, progress, h("footer", null, stop,
    typed && counting, go)];
}

function notice(d, text) {
  const line = h("p", { class: "notice" }, text);
  fill(d.result, line);
  return line;
}
