// Small live plots of the last minutes, drawn by uPlot. Their words, for those who do not see them,
// are the numbers beside them.

/* global uPlot */
import { h, set } from "./dom.js";
import { exact, inZone, now } from "./format.js";
import { liveSeconds, plotSeconds } from "./live.js";

const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

const faint = (name) => color(name) + "22"; // the colors are #rrggbb

// plot makes a plot of series {label, color, fill} over time. A big one has axes and a legend that
// follows the pointer; a small one is only a line. It ends with the signal.
export function plot({ label, series, value, big, signal }) {
  const host = h("div", { class: big ? "plot big" : "plot", role: "img", "aria-label": label });
  const lines = series.map((s) => ({
    label: s.label, width: 1.5, spanGaps: false, points: { show: false },
    stroke: () => color(s.color), fill: s.fill ? () => faint(s.color) : null,
    value: (_, v) => (v === null || v === undefined ? "–" : value(v)),
  }));
  const chart = new uPlot({
    width: 160, height: big ? 150 : 34, pxAlign: 0,
    padding: big ? [8, roomForLabel, 0, 0] : [3, 0, 1, 0],
    legend: { show: Boolean(big) }, cursor: { show: Boolean(big), y: false, drag: { x: false } },
    scales: {
      x: { time: true, range: (_, first) => [beginning(first, big), now() / 1000] },
      y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] },
    },
    axes: axes(big, value), series: [{ value: (_, v) => clockTime(v) }, ...lines],
  }, [[], ...series.map(() => [])], host);
  follow(host, chart, big, signal);
  return {
    element: host,
    draw(data, words) {
      chart.setData(data);
      if (words) set(host, "aria-label", label + ": " + words);
    },
  };
}

// roomForLabel is what the last label of an axis has beyond its end.
const roomForLabel = 28;

// beginning is that of the time shown: as much as is known, but a minute at least.
function beginning(first, big) {
  const end = now() / 1000;
  return end - Math.min(big ? liveSeconds : plotSeconds, Math.max(60, end - (first || end)));
}

// bars makes a plot of what happened from each instant on for step() seconds: series {label, color,
// bar}, one that is not a bar is a line. of() are the numbers to be told of one that is drawn
// otherwise. pick(i) is called for a click on bar i. It ends with the signal.
export function bars({ label, series, value, step, pick, signal }) {
  const host = h("div", { class: "plot big picks", role: "img", "aria-label": label });
  const lines = series.map((s) => ({
    label: s.label, width: s.bar ? 0 : 1.5, spanGaps: false, points: { show: false },
    stroke: () => color(s.color), fill: s.bar ? () => color(s.color) : null,
    paths: s.bar ? uPlot.paths.bars({ size: [0.8], align: 1 }) : null,
    value: (_, v, __, i) => tell(i === null ? null : s.of ? s.of()[i] : v, value),
  }));
  const chart = new uPlot({
    width: 160, height: 150, pxAlign: 0, padding: [8, roomForLabel, 0, 0], legend: { show: true },
    cursor: { y: false, drag: { x: false }, points: { show: false } },
    scales: {
      x: { time: true, range: (_, first, last) => [first, last + step()] },
      y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] },
    },
    axes: axes(true, value, () => step() > 900),
    series: [{ value: (_, v) => (v ? exact(v * 1000) : "–") }, ...lines],
  }, [[], ...series.map(() => [])], host);
  // uPlot ends a click at its own element where it takes it for a drag.
  host.addEventListener("click", (e) => {
    if (e.target !== chart.over) return;
    // A bar is to the right of its instant; the nearest instant may be the next one's. A finger has
    // no cursor.
    const left = e.clientX - chart.over.getBoundingClientRect().left;
    const seconds = chart.posToVal(left, "x");
    const i = chart.data[0].findLastIndex((begin) => begin <= seconds);
    if (i >= 0) pick(i);
  }, true);
  follow(host, chart, true, signal);
  return {
    element: host,
    draw(data, words) {
      chart.setData(data);
      set(host, "aria-label", label + ": " + words);
    },
  };
}

const tell = (v, value) => (v === null || v === undefined ? "–" : value(v));

function axes(big, value, days) {
  if (!big) return [{ show: false }, { show: false }];
  const common = { stroke: () => color("muted"), ticks: { show: false },
    grid: { stroke: () => color("line"), width: 1 }, font: "11px system-ui, sans-serif" };
  const named = (list) => list.map(days && days() ? dayTime : days ? minuteTime : clockTime);
  return [{ ...common, size: 26, space: 70, values: (_, list) => named(list) },
    { ...common, size: 58, space: 30, values: (_, list) => list.map(value) }];
}

const time = inZone({ timeStyle: "medium", hourCycle: "h23" });

const minute = inZone({ timeStyle: "short", hourCycle: "h23" });
const day = inZone({ month: "short", day: "numeric" });
const minuteTime = (seconds) => minute.format(seconds * 1000);
const dayTime = (seconds) => day.format(seconds * 1000);

function clockTime(seconds) {
  return seconds ? time.format(seconds * 1000) : "–";
}

// follow keeps the plot as wide as its place and in the colors of the day.
function follow(host, chart, big, signal) {
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== chart.width) chart.setSize({ width, height: big ? 150 : 34 });
  });
  observer.observe(host);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", () => chart.redraw(), { signal });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    chart.destroy();
  });
}
