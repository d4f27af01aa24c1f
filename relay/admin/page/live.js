// What the relay is doing now: pushed by /v1/stream, asked for every other second where the stream
// cannot be had (a proxy that buffers, a token that was typed into this page: EventSource cannot
// send one). A hidden tab asks for nothing.

import { get, here, isEnd, session } from "./api.js";
import { now } from "./format.js";

const pollMilliseconds = 2000;
const streamAgainMilliseconds = 30000;
const attemptsKept = 50;

// The plots show an hour, the large ones five minutes. Those are kept at one point a second, what
// is before them at one a minute.
export const plotSeconds = 3600;
export const liveSeconds = 300;

// state is what is known. mode: connecting, live, polling, paused, lost or locked.
export const state = {
  mode: "connecting", status: null, targets: null, attempts: [], accepted: newHistory(1),
  history: new Map(),
};

const listeners = new Set();
let stream = null;
let timer = 0;
let asking = false;

// listen calls on(what) at every change, until the signal. what is status, targets, attempt or
// mode.
export function listen(signal, on) {
  listeners.add(on);
  signal.addEventListener("abort", () => listeners.delete(on));
}

function tell(what, detail) {
  for (const on of [...listeners]) on(what, detail);
}

// redraw makes everybody show again what is known.
export function redraw() {
  if (state.status) tell("status");
  if (state.targets) tell("targets");
}

function setMode(mode) {
  if (state.mode === mode) return;
  state.mode = mode;
  tell("mode");
}

// start begins, and follows the tab's visibility.
export function start() {
  document.addEventListener("visibilitychange", follow);
  follow();
}

function follow() {
  if (document.hidden) {
    pause();
    return;
  }
  setMode("connecting");
  poll(); // do not wait for the stream to show something
  openStream();
}

function pause() {
  closeStream();
  clearTimeout(timer);
  breakPlots();
  setMode("paused");
}

function openStream() {
  if (stream || session.token) return;
  stream = new EventSource(here("v1/stream"));
  stream.addEventListener("status", (e) => { setMode("live"); takeStatus(JSON.parse(e.data)); });
  stream.addEventListener("targets", (e) => takeTargets(JSON.parse(e.data).targets));
  stream.addEventListener("attempt", (e) => takeAttempt(JSON.parse(e.data)));
  stream.onerror = () => {
    // The browser tries again by itself after a lost connection, but not after a refusal.
    if (stream.readyState === EventSource.CLOSED) {
      closeStream();
      setTimeout(() => { if (!document.hidden) openStream(); }, streamAgainMilliseconds);
    }
    if (state.mode === "live") setMode("connecting");
    clearTimeout(timer);
    timer = setTimeout(poll, 0);
  };
}

function closeStream() {
  if (stream) stream.close();
  stream = null;
}

// poll asks once, and again later unless the stream runs.
export async function poll() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const [status, list] = await Promise.all([get("status"), get("targets")]);
    if (state.mode !== "live" && !document.hidden) setMode("polling");
    takeStatus(status);
    takeTargets(list.targets);
  } catch (error) {
    if (!isEnd(error) && !document.hidden) setMode(error.status === 401 ? "locked" : "lost");
  }
  asking = false;
  if (state.mode !== "live" && state.mode !== "locked" && !document.hidden) {
    timer = setTimeout(poll, pollMilliseconds);
  }
}

function takeStatus(status) {
  state.status = status;
  remember(state.accepted, [status.accepted_per_second]);
  tell("status");
}

function takeTargets(targets) {
  state.targets = targets;
  for (const t of targets) {
    if (!state.history.has(t.name)) state.history.set(t.name, newHistory(4));
    remember(state.history.get(t.name),
      [t.rate_success, t.rate_failed, t.latency_p50_seconds, t.latency_p99_seconds]);
  }
  const names = new Set(targets.map((t) => t.name));
  for (const name of state.history.keys()) if (!names.has(name)) state.history.delete(name);
  tell("targets");
}

function takeAttempt(attempt) {
  state.attempts.unshift(attempt);
  state.attempts.length = Math.min(state.attempts.length, attemptsKept);
  tell("attempt", attempt);
}

// A history is a list of instants in seconds and one of values for each series, as uPlot wants
// them.
function newHistory(series) {
  const history = Array.from({ length: series + 1 }, () => []);
  history.old = 0; // points of before the last minutes
  return history;
}

const unseeded = [];
const seeded = new Set();
let seeding = false;

// seed asks the relay for the last hour of a target that is shown, or of the relay itself for no
// name: one after the other, each once.
export function seed(name) {
  if (seeded.has(name)) return;
  seeded.add(name);
  unseeded.push(name);
  if (!seeding) sow();
}

async function sow() {
  seeding = true;
  while (unseeded.length) {
    const name = unseeded.shift();
    const history = name ? state.history.get(name) : state.accepted;
    if (!history) continue;
    try {
      prepend(history, await get("history", { target: name, span: "1h" }));
      tell(name ? "targets" : "status");
    } catch {
      seeded.delete(name); // the plot begins now, and is asked for when it is shown again
    }
  }
  seeding = false;
}

// prepend puts the minutes that have ended before what is known.
function prepend(history, past) {
  const first = history[0][0] ?? now() / 1000;
  for (let i = past.accepted.length - 1; i >= 0; i--) {
    const at = Date.parse(past.from) / 1000 + (i + 1) * past.step_seconds;
    if (at >= first) continue;
    const failed = Object.values(past.failed).reduce((sum, list) => sum + list[i], 0);
    const seconds = (ms) => (ms === null ? null : ms / 1000);
    const values = past.target ? [past.delivered[i] / 60, failed / 60, seconds(past.p50_ms[i]),
      seconds(past.p99_ms[i])] : [past.accepted[i] / 60];
    const known = !(at > Date.parse(past.unknown_from) / 1000);
    [at, ...values].forEach((v, k) => history[k].unshift(known || !k ? v : null));
    history.old++;
  }
}

function remember(history, values) {
  const at = now() / 1000;
  // The answer to a poll and the stream's first event may come at once; a gap must not be missed.
  const gap = values.every((value) => value === null);
  if (!gap && at - history[0].at(-1) < 0.5) return;
  history[0].push(at);
  values.forEach((value, i) => history[i + 1].push(value ?? null));
  const drop = (i) => { for (const list of history) list.splice(i, 1); };
  while (history[0][history.old] < at - liveSeconds) {
    const { old } = history;
    if (old && history[0][old] - history[0][old - 1] < 55) drop(old);
    else history.old++;
  }
  while (history[0][0] < at - plotSeconds - 60) {
    drop(0);
    history.old--;
  }
}

// breakPlots leaves a gap where nothing was measured.
function breakPlots() {
  for (const history of [state.accepted, ...state.history.values()]) {
    remember(history, history.slice(1).map(() => null));
  }
}
