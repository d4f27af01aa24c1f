// Fills the table of targets every few seconds. Everything that is shown is set as text, never as
// markup: names, events and errors come from others.
"use strict";

const refreshMilliseconds = 3000;

const byId = (id) => document.getElementById(id);

function age(instant) {
  if (!instant) return "–";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 90) return seconds + "s ago";
  if (seconds < 90 * 60) return Math.round(seconds / 60) + "m ago";
  if (seconds < 48 * 3600) return Math.round(seconds / 3600) + "h ago";
  return Math.round(seconds / 86400) + "d ago";
}

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function show(target) {
  const row = document.createElement("tr");
  cell(row, target.orphan ? target.name + " (not in the config)" : target.name);
  cell(row, target.status, "status " + target.status.toLowerCase());
  cell(row, target.url || "–");
  cell(row, target.events.join(", ") || "–");
  cell(row, target.failed_jobs + "/" + target.failed_jobs_max, "number");
  cell(row, target.pending, "number");
  cell(row, age(target.oldest_pending)).title = target.oldest_pending || "";
  cell(row, target.exhausted, "number");
  cell(row, age(target.last_success)).title = target.last_success || "";
  cell(row, target.last_error || "–");
  return row;
}

async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error("the relay answered " + answer.status);
  return answer.json();
}

async function refresh() {
  try {
    const [status, list] = await Promise.all([get("v1/status"), get("v1/targets")]);
    byId("targets").replaceChildren(...list.targets.map(show));
    byId("none").hidden = list.targets.length > 0;
    const ready = status.ready ? "ready" : "not ready: " + status.unready.join("; ");
    byId("state").textContent = ready + " · version " + status.version + " · tick every " +
      status.interval + " · accepted " + status.accepted + " since " +
      new Date(status.started_at).toLocaleString();
    byId("state").className = status.ready ? "" : "bad";
  } catch (error) {
    byId("state").textContent = "no answer from the relay (" + error.message +
      "); what is shown is old";
    byId("state").className = "bad";
  }
  setTimeout(refresh, refreshMilliseconds);
}

refresh();
