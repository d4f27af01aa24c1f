// What the console can do to a target: each action asks first and shows what came of it. after() is
// called when something changed.

import { at, get, post } from "./api.js";
import { fill, h, say } from "./dom.js";
import { confirm } from "./dialog.js";
import { count, several } from "./format.js";
import { poll } from "./live.js";
import { sample } from "./sample.js";

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

// jobOf makes a confirmation of an order that runs a job. It waits for that and shows what it came
// to; closing the dialog ends the waiting only.
function jobOf(verb, query, title, text, label) {
  return (name, after) => confirm({
    title: title + " " + name, text, label,
    act: async (signal, result) => {
      let t = await post(path(name, verb), query, signal);
      const asked = t.job_asked || 0;
      const line = h("p", { class: "notice" });
      fill(result, line);
      const ended = () => t.last_job && t.last_job.number >= asked && t.last_job.ended_at;
      for (let idle = 0; asked && !ended() && idle < jobLostLooks;) {
        const j = t.last_job;
        say(line, j && !j.ended_at
          ? count(j.tried) + " of " + count(j.due) + ": " + j.summary + "…" : "A job begins…");
        await new Promise((resolve) => setTimeout(resolve, jobLookMilliseconds));
        t = await get("targets/" + at(name), null, signal);
        idle = t.job_running ? 0 : idle + 1;
      }
      poll();
      if (after) after();
      if (!asked) {
        return h("p", { class: "notice" }, t.name + " is " + t.status +
          "; nothing waits for a job. A sample tests it.");
      }
      if (!ended()) {
        throw new Error("the job was cut off: the relay was started again, or another one serves " +
          "the target now");
      }
      const good = t.last_job.acknowledged || !t.last_job.outcomes.length;
      return h("p", { class: "notice " + (good ? "good" : "bad") }, t.last_job.summary + ".");
    },
  });
}

const jobLookMilliseconds = 400;
const jobLostLooks = 40;

export const force = jobOf("enable", { force: true }, "Lift the defect of",
  "This makes it Enabled although nothing was acknowledged, and ends its alarm until as many " +
  "jobs in a row have failed again. The first success of any job lifts the defect by itself.",
  "Lift by force");

export const pause = steer("pause", "Pause",
  "Its events go on being spooled, and nothing is sent until you resume it. Nothing is lost, and " +
  "no attempt is spent.", "Pause",
  (t) => t.name + " is " + t.status + ". Its deliveries are held.");

export const resume = steer("resume", "Resume",
  "What was held is sent from now on.", "Resume",
  (t) => t.name + " is " + t.status + "; " + several(t.pending, "delivery", "deliveries") +
    " pending.");

export const retry = jobOf("retry", null, "Retry now:",
  "This runs a job now instead of at the next tick: one attempt for each delivery that failed " +
  "before. It counts like any other job, and its first success lifts a defect.", "Retry now");

// contextual is the one action that a target's status calls for.
export function contextual(target) {
  if (target.orphan) {
    return ["Open", () => { location.hash = "#/target/" + at(target.name) + "/pending"; }];
  }
  if (target.status === "Defective") return ["Retry", () => retry(target.name)];
  if (target.status === "Paused") return ["Resume", () => resume(target.name)];
  return ["Sample", () => sample(target)];
}
