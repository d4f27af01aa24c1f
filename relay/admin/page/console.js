// The console's beginning: which view is shown, and the line that says how fresh it is.

import { isEnd, session } from "./api.js";
import { askToken } from "./dialog.js";
import { conversation } from "./conversation.js";
import { button, fill, h, plain, say, set } from "./dom.js";
import { event } from "./event.js";
import { tickTimes } from "./format.js";
import { startKeys } from "./keys.js";
import { listen, poll, redraw, start, state } from "./live.js";
import { overview } from "./overview.js";
import { empty, problem } from "./parts.js";
import { search } from "./search.js";
import { target } from "./target.js";
import { types } from "./types.js";

const views = { "": overview, target, event, search, conversation, types };
// The page of the manual that goes with a view.
const pages = { "": "console", target: "retrying", event: "finding", search: "finding",
  conversation: "sessions", types: "sending" };
const main = document.getElementById("main");
let shown = null;

// read takes an address apart: #/target/crm/pending?x=y. Every part may hold anything, encoded.
function read(hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...args] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name, args, query: new URLSearchParams(query || "") };
}

// route shows the view of the address. Whatever the view before had under way ends.
async function route(e) {
  if (shown) shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const { name, args, query } = read(location.hash);
  const view = views[name];
  document.title = plain([args[0], name || "overview", "hookspool"].filter(Boolean).join(" · "));
  for (const link of document.querySelectorAll("[data-view]")) {
    set(link, "aria-current", link.dataset.view === name ? "page" : null);
  }
  set(document.getElementById("help"), "href", "help/" + (pages[name] || ""));
  window.scrollTo(0, 0);
  try {
    if (view) await view(main, { args, query, signal });
    else fill(main, empty(h("h1", { tabindex: "-1" }, "There is no such view"),
      h("p", null, h("a", { href: "#/" }, "Overview"))));
  } catch (error) {
    if (isEnd(error) || signal.aborted) return;
    fill(main, h("h1", { tabindex: "-1" }, args[0] || name), problem(error),
      h("p", null, h("a", { href: "#/" }, "Overview"), " · ",
        h("a", { href: "#/search" }, "Search")));
  }
  // A screen reader hears where it is after a change of view, but the first one is not interrupted.
  if (e && !signal.aborted) main.querySelector("h1")?.focus({ preventScroll: true });
}

const words = {
  connecting: "connecting…", live: "live", polling: "every 2 s", paused: "paused",
  lost: "no answer", locked: "locked",
};

const titles = {
  polling: "The live stream cannot be had; status and targets are asked for every two seconds.",
  lost: "The relay does not answer; what is shown is old. It is tried again every two seconds.",
  paused: "Nothing is asked for while this tab is hidden.",
};

function showMode() {
  const place = document.getElementById("live");
  set(place, "class", state.mode);
  set(place, "title", titles[state.mode] || null);
  const word = place.lastElementChild;
  if (state.mode === "locked") {
    fill(word, button("Enter token", enterToken, { class: "small" }));
  } else say(word, words[state.mode]);
}

// enterToken asks again, and shows the view again that could not be shown without.
async function enterToken() {
  session.declined = false;
  await poll();
  route();
}

function find(e) {
  e.preventDefault();
  const id = e.target.elements.id.value.trim();
  if (!id) return;
  e.target.reset();
  location.hash = "#/event/" + encodeURIComponent(id);
}

session.ask = askToken;
session.enter = enterToken;
listen(new AbortController().signal, (what) => { if (what === "mode") showMode(); });
document.getElementById("find").addEventListener("submit", find);
document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address is the view's
  main.focus();
});
window.addEventListener("hashchange", route);
setInterval(() => { if (!document.hidden) tickTimes(); }, 1000);
startKeys(redraw);
start();
route();
