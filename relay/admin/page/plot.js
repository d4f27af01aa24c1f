// Small live plots of the last minutes, drawn by uPlot. Their words, for those who do not see them,
// are the numbers beside them.

/* global uPlot */
import { h, set } from "./dom.js";
import { now } from "./format.js";
import { plotSeconds } from "./live.js";

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
    padding: big ? [8, 8, 0, 0] : [3, 0, 1, 0],
    legend: { show: Boolean(big) }, cursor: { show: Boolean(big), y: false, drag: { x: false } },
    scales: {
      x: { time: true, range: (_, first) => [beginning(first), now() / 1000] },
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

// beginning is that of the time shown: as much as is known, but a minute at least.
function beginning(first) {
  const end = now() / 1000;
  return end - Math.min(plotSeconds, Math.max(60, end - (first || end)));
}

function axes(big, value) {
  if (!big) return [{ show: false }, { show: false }];
  const common = { stroke: () => color("muted"), ticks: { show: false },
    grid: { stroke: () => color("line"), width: 1 }, font: "11px system-ui, sans-serif" };
  return [{ ...common, size: 26, space: 70, values: (_, list) => list.map(clockTime) },
    { ...common, size: 58, space: 30, values: (_, list) => list.map(value) }];
}

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

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
