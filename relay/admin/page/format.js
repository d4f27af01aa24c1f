// How numbers, sizes, durations and instants are written.

import { h, kept, say, set } from "./dom.js";

const nothing = "–";
const thin = "\u202f"; // a narrow space that does not break

// clock is how far the relay's clock is ahead of this one, in milliseconds; api.js measures it.
// Differences below some seconds are the resolution of the measurement.
export const clock = { ahead: 0, tolerance: 3000 };

export function now() {
  return Date.now() + (Math.abs(clock.ahead) > clock.tolerance ? clock.ahead : 0);
}

// count writes 1234567 as 1 234 567.
export function count(n) {
  if (n === null || n === undefined) return nothing;
  return String(n).replace(/\B(?=(\d{3})+$)/g, thin);
}

// several writes "1 event", "2 events".
export function several(n, one, many) {
  return count(n) + " " + (n === 1 ? one : many || one + "s");
}

// size writes bytes.
export function size(bytes) {
  if (bytes === null || bytes === undefined) return nothing;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = bytes;
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? count(Math.round(n)) : n.toFixed(1)) + " " + units[i];
}

// rate writes something a second.
export function rate(x) {
  if (x === null || x === undefined) return nothing;
  if (x < 0.005) return "0/s";
  return (x < 10 ? x.toFixed(x < 0.095 ? 2 : 1) : count(Math.round(x))) + "/s";
}

// duration writes seconds for people.
export function duration(s) {
  if (s === null || s === undefined) return nothing;
  if (s === 0) return "0 ms";
  if (s < 0.001) return Math.max(.1, s * 1000).toFixed(1) + " ms";
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 10) return s.toFixed(2) + " s";
  if (s < 120) return Math.round(s) + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.round(s / 3600) + " h";
  return count(Math.round(s / 86400)) + " d";
}

// countdown writes seconds as 9:41.
export function countdown(s) {
  const n = Math.max(0, Math.ceil(s));
  const two = (x) => String(x).padStart(2, "0");
  const hours = Math.floor(n / 3600);
  const minutes = Math.floor(n / 60) % 60;
  return (hours > 0 ? hours + ":" + two(minutes) : minutes) + ":" + two(n % 60);
}

// goSeconds reads a duration as Go writes it, 10m0s.
export function goSeconds(text) {
  const units = { h: 3600, m: 60, s: 1, ms: 1e-3, "µs": 1e-6, ns: 1e-9 };
  let sum = 0;
  for (const [, n, unit] of (text || "").matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)) {
    sum += Number(n) * units[unit];
  }
  return sum;
}

// shortGo writes 10m0s as 10m.
export function shortGo(text) {
  return (text || "").replace(/(\D)0s$/, "$1").replace(/(\D)0m$/, "$1");
}

// zone says whether instants are written in UTC or in the time of this machine.
export const zone = { utc: kept("utc") === "yes" };

export function setUTC(utc) {
  zone.utc = utc;
  kept("utc", utc ? "yes" : "no");
  tickTimes();
}

// inZone makes a formatter that follows it.
export function inZone(options) {
  const [utc, local] = ["UTC", undefined].map((timeZone) =>
    new Intl.DateTimeFormat(undefined, { timeZone, ...options }));
  return { format: (instant) => (zone.utc ? utc : local).format(instant) };
}

const whole = inZone({ year: "numeric", month: "short", day: "numeric", hour: "2-digit",
  minute: "2-digit", second: "2-digit", hourCycle: "h23", fractionalSecondDigits: 3,
  timeZoneName: "short" });
const clockFace = inZone({ timeStyle: "medium", hourCycle: "h23" });

// exact writes an instant with its zone, clockTime its time of the day only.
export const exact = (instant) => whole.format(new Date(instant));
export const clockTime = (instant) => clockFace.format(new Date(instant));

// future is how far ahead an instant must be to be told as such: two clocks are never the same.
const future = 5;

function relative(instant, past) {
  const s = (now() - Date.parse(instant)) / 1000;
  const about = Math.round(Math.abs(s));
  if (about < 2 || (s < 0 && (past || about < future))) return "now";
  const text = about < 10 ? about + " s" : duration(about);
  return s < 0 ? "in " + text : text + " ago";
}

// when shows how long ago an instant is, and the instant itself in its title. tickTimes keeps it
// true. kind has "past" for what cannot lie ahead, whatever the clocks say, and "full" where the
// instant is to be read without a pointer.
export function when(instant, kind = "") {
  const element = h("time", { class: "when " + kind });
  setWhen(element, instant);
  return element;
}

// setWhen gives such an element another instant.
export function setWhen(element, instant) {
  set(element, "datetime", instant || null);
  draw(element);
}

function draw(element) {
  const instant = element.getAttribute("datetime");
  const words = instant ? relative(instant, element.matches(".past")) : nothing;
  set(element, "title", instant && exact(instant));
  if (!element.matches(".full")) {
    say(element, words);
    return;
  }
  if (!element.firstElementChild) element.append(h("span"), " ", h("span", { class: "exact" }));
  say(element.firstElementChild, words);
  say(element.lastElementChild, instant ? exact(instant) : "");
}

// tickTimes brings all of them up to date.
export function tickTimes() {
  for (const element of document.querySelectorAll("time.when[datetime]")) draw(element);
}

// quoted makes one word of a text for a shell.
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text
  : "'" + String(text).replaceAll("'", "'\\''") + "'");
