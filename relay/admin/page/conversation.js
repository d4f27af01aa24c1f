// A conversation: its session as of now, and who wrote when, as far as events are kept.

import { at, get } from "./api.js";
import { fill, h, row, table } from "./dom.js";
import { when } from "./format.js";
import { empty, eventLink, facts, pager, typeName, viewHead } from "./parts.js";

const columns = [["When", "fixed"], ["Who", ""], ["Type", ""], ["Event", "wide"], ["Session", ""],
  ["What it did", ""]];

export async function conversation(main, { args: [key], signal }) {
  const head = h("div", null);
  const { element, body } = table("Timeline", columns, { class: "cards" });
  const none = h("div", null);
  element.hidden = true;
  const pages = pager(async (after) => {
    const page = await get("conversations/" + at(key), { limit: 1000, after }, signal);
    drawHead(head, page);
    body.append(...page.timeline.map(moment));
    element.hidden = body.childElementCount === 0;
    if (element.hidden && !page.next) {
      fill(none, empty(h("h3", null, "No event of it is kept"),
        h("p", null, "Delivered events are kept for spool.keep_delivered.")));
    }
    return { ...page, shown: page.timeline.length };
  });
  fill(main, viewHead(["#/search", "Events"], h("h1", { class: "id", tabindex: "-1" }, key),
  h("div", { class: "actions" }, h("a", { class: "button",
    href: "#/search?" + new URLSearchParams({ conversation: key }) }, "Its events"))), head,
  h("section", { class: "panel" }, h("h2", null, "Timeline"), element, none, pages.element));
  await pages.start();
}

function drawHead(head, c) {
  const others = c.keys.filter((k) => k !== c.key);
  fill(head, facts(["Session", c.until ? c.state : "none is open"],
    ["Until", c.until && { at: c.until }], ["Opened", c.opened_at && { at: c.opened_at }],
    ["User wrote last", c.last_user_at && { at: c.last_user_at }], ["Key", c.key],
    ["Also", others.join(", ")]));
}

function moment(m) {
  const did = { opened: "opens a session", activated: "makes it active" }[m.what];
  const words = [did, m.differs && "after events that are not kept"].filter(Boolean);
  return row(columns, when(m.at), m.side || "–", typeName(m.type), eventLink(m.id),
    m.session || "–", words.join(", ") || "–");
}
