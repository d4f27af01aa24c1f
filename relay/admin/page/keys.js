// Keys: one press goes somewhere. They do nothing while somebody types or a dialog is open, and can
// be switched off, because those who speak to their computer press them by accident.

import { open } from "./dialog.js";
import { button, h, kept, set } from "./dom.js";
import { setUTC, zone } from "./format.js";
import { facts } from "./parts.js";

const list = [["/", "to the filter of the overview, or to “Find an event”"],
  ["g o", "to the overview"], ["g s", "to the search"], ["?", "these keys"],
  ["Esc", "close a dialog, empty the filter"]];
const views = { o: "#/", s: "#/search" };
const togetherMilliseconds = 1500;

let first = 0; // when g was pressed

// startKeys listens to the keys, and makes the two buttons of the frame work. redraw shows again
// what format.js does not keep true.
export function startKeys(redraw) {
  document.addEventListener("keydown", press);
  document.getElementById("keys").addEventListener("click", help);
  const utc = document.getElementById("zone");
  const show = () => set(utc, "aria-pressed", String(zone.utc));
  utc.addEventListener("click", () => {
    setUTC(!zone.utc);
    show();
    redraw();
  });
  show();
}

const off = () => kept("keys") === "off";

function press(e) {
  if (e.ctrlKey || e.altKey || e.metaKey || e.isComposing || off()) return;
  if (e.target.closest("input, select, textarea, [contenteditable]")) return;
  if (document.querySelector("dialog[open]")) return;
  const second = Date.now() - first < togetherMilliseconds;
  first = e.key === "g" ? Date.now() : 0;
  if (second && views[e.key]) location.hash = views[e.key];
  else if (e.key === "/") (document.getElementById("filter") || find()).focus();
  else if (e.key === "?") help();
  else return;
  e.preventDefault();
}

const find = () => document.querySelector("#find input");

function help() {
  open("Keys", (d) => {
    const on = h("input", { type: "checkbox", id: "keys-on", checked: !off() });
    on.addEventListener("change", () => kept("keys", on.checked ? "on" : "off"));
    return [facts(...list.map(([key, what]) => [key, what])),
      h("p", null, on, " ", h("label", { for: "keys-on" }, "Keys of one letter are on")),
      h("footer", null, button("Close", d.close))];
  });
}
