// How numbers, sizes, durations and instants are written.

import { h, say, set } from "./dom.js";

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

// duration writes seconds as people say them.
export function duration(s) {
  if (s === null || s === undefined) return nothing;
  if (s === 0) return "0 ms";
  if (s < 0.001) return (s * 1000).toFixed(1) + " ms";
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

const exactly = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short",
});

function relative(instant) {
  const s = (now() - Date.parse(instant)) / 1000;
  const about = Math.round(Math.abs(s));
  if (about < 2) return "now";
  const text = about < 10 ? about + " s" : duration(about);
  return s < 0 ? "in " + text : text + " ago";
}

// when shows how long ago an instant is, and the instant itself in its title. tickTimes keeps it
// true.
export function when(instant) {
  const element = h("time", { class: "when" });
  setWhen(element, instant);
  return element;
}

// setWhen gives such an element another instant.
export function setWhen(element, instant) {
  set(element, "datetime", instant || null);
  set(element, "title", instant ? exactly.format(Date.parse(instant)) : null);
  say(element, instant ? relative(instant) : nothing);
}

// tickTimes brings all of them up to date.
export function tickTimes() {
  for (const element of document.querySelectorAll("time.when[datetime]")) {
    say(element, relative(element.getAttribute("datetime")));
  }
}
