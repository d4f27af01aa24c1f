// Makes and changes elements. What is shown is set as text, never as markup: names, events, answers
// and errors come from others. Nothing here sets a style attribute, which the policy would refuse.

// What nobody sees, or what turns the text around it, is shown as its number: ‹U+202E›. A joiner of
// letters or emoji stays.
const unseen = /\r(?!\n)|(?![\n\r\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

export const plain = (text) => String(text).replace(unseen, (c) =>
  "‹U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "›");

// seen are the attributes that somebody reads or hears.
const seen = ["title", "aria-label", "data-title", "placeholder"];
const written = (name, value) => (seen.includes(name) ? plain(value) : value);

// h makes an element. Attributes that begin with "on" are listeners; true and false are attributes
// without a value; null leaves one out. Children are elements, texts or null.
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : written(name, value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : plain(child));
  }
}

// fill replaces what is in an element.
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

// say sets a text, and touches nothing when it is the same: a screen reader would say it again.
export function say(element, text) {
  const shown = plain(text);
  if (element.textContent !== shown) element.textContent = shown;
}

// set sets or removes an attribute, if it changes.
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = String(written(name, value));
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

// match makes the children of parent be one a item, in the order of the items. Elements of items
// that were there before stay the same, so that focus, selection and what is unfolded survive.
export function match(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let child = old.get(name);
    if (child) old.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    if (update) update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const child of old.values()) child.remove();
}

// table makes a table of columns [title, class]. Its roles are written out because narrow screens
// lay the rows out as cards, and browsers then forget that it is a table.
export function table(caption, columns, attributes) {
  const body = h("tbody", { role: "rowgroup" });
  const heads = columns.map(([title, kind]) =>
    h("th", { scope: "col", role: "columnheader", class: kind },
      title || h("span", { class: "hidden" }, "Actions")));
  const element = h("table", { role: "table", ...attributes },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body);
  return { element: h("div", { class: "scroll" }, element), body, columns };
}

// row makes a row of cells for a table's columns; a narrow screen shows the titles beside them.
export function row(columns, ...cells) {
  return h("tr", { role: "row" }, cells.map((cell, i) =>
    h("td", { role: "cell", class: columns[i][1], "data-title": columns[i][0] || null }, cell)));
}

// button makes a button that does nothing else.
export function button(text, onclick, attributes) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

// copy puts a text on the clipboard. The clipboard's own API is there on loopback and with TLS
// only.
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// code is text that scrolls, by keys too.
export const code = (label, ...text) => h("pre", { tabindex: "0", "aria-label": label }, ...text);

// part is such a text under its title.
export const part = (title, text) => [h("h3", null, title), code(title, text)];

// copyButton copies what text() returns and says so on itself.
export function copyButton(text, label = "Copy") {
  const b = button(label, async () => {
    await copy(text());
    b.textContent = "Copied";
    setTimeout(() => { b.textContent = label; }, 1500);
  }, { class: "small", "aria-live": "polite" });
  return b;
}

// kept reads or sets a choice in this browser, which may keep nothing.
export function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem("hookspool." + name, value);
    return localStorage.getItem("hookspool." + name);
  } catch {
    return null;
  }
}
