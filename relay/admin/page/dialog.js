// Dialogs: one question, one action, one visible result. The browser keeps the focus inside, closes
// on Escape, and the focus is where it was afterwards.

import { button, fill, h } from "./dom.js";
import { isEnd, session } from "./api.js";
import { problem } from "./parts.js";

// open shows a dialog with a title. build(d) returns what stands in it; d has element, signal
// (which ends with the dialog), result (a place that is read out), close and run.
export function open(title, build) {
  const end = new AbortController();
  const result = h("div", { class: "result", role: "status", "aria-live": "polite" });
  const element = h("dialog", { "aria-labelledby": "dialog-title" });
  const d = { element, result, signal: end.signal, close: () => element.close() };
  d.run = (b, action) => run(d, b, action);
  const before = document.activeElement;
  element.addEventListener("close", () => {
    end.abort();
    element.remove();
    giveBack(before);
  });
  const form = h("form", { method: "dialog", onsubmit: (e) => e.preventDefault() },
    h("header", null, h("h2", { id: "dialog-title" }, title),
      button("×", d.close, { class: "plain close", "aria-label": "Close" })), build(d));
  element.append(form);
  document.body.append(element);
  element.showModal();
  begin(form)?.focus();
  return d;
}

// begin is what has the focus first: the first field, or else the button that does no harm.
const begin = (form) => [...form.querySelectorAll("input, select, textarea")].find(usable) ||
  [...form.querySelectorAll("footer button")].find(usable);

const usable = (e) => !e.disabled && e.checkVisibility();

// giveBack puts the focus where it was. What was there may be gone by what was done: then it is on
// what stands beside it, or on the title.
export function giveBack(before) {
  if (document.activeElement !== document.body && document.activeElement !== before) return;
  if (before.isConnected && usable(before)) before.focus();
  else {
    const beside = [...before.parentElement?.querySelectorAll("button, a") || []].find(usable);
    (before.isConnected && beside || document.querySelector("main h1"))?.focus();
  }
}

// run does an action for a button, which waits meanwhile, and shows what came of it.
async function run(d, b, action) {
  b.disabled = true;
  d.element.setAttribute("aria-busy", "true");
  try {
    const shown = await action();
    if (shown) fill(d.result, shown);
    return true;
  } catch (error) {
    if (!isEnd(error)) fill(d.result, problem(error));
    return false;
  } finally {
    b.disabled = false;
    d.element.removeAttribute("aria-busy");
  }
}

// confirm asks before act, which answers what is shown as the result. The button is gone then.
export function confirm({ title, text, label, danger, act }) {
  open(title, (d) => {
    const leave = button("Cancel", d.close);
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, label);
    go.addEventListener("click", async () => {
      if (!await d.run(go, () => act(d.signal, d.result))) return;
      go.remove();
      leave.textContent = "Close";
      leave.focus();
    });
    return [h("p", null, text), d.result, h("footer", null, leave, go)];
  });
}

// askToken asks for the admin token; again is true when the one before was refused. Whoever asks
// while it is asked waits for the same answer.
let asked = null;

export function askToken(again) {
  asked ||= new Promise((resolve, reject) => {
    let given = false;
    const d = open("Admin token", () => {
      const input = h("input", { type: "password", autocomplete: "current-password", required: true,
        id: "token", "aria-describedby": "token-why" });
      const go = h("button", { type: "submit", class: "primary", onclick: () => {
        if (!input.value) return;
        session.token = input.value;
        given = true;
        d.close();
      } }, "Continue");
      return [h("p", { id: "token-why" }, again ? "The relay refused that token."
        : "The relay asks for its admin token (server.admin_token). It is kept until this page " +
          "is closed."),
      h("label", { for: "token" }, "Token"), input, h("footer", null, go)];
    });
    d.element.addEventListener("close", () => {
      asked = null;
      session.declined = !given;
      if (given) resolve();
      else reject(Object.assign(new Error("the admin token is needed"), { status: 401 }));
    });
  });
  return asked;
}
