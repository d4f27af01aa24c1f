// Calls of the admin API.

import { clock } from "./format.js";

// Problem is a refusal: what the relay said was wrong, and what to do.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || "the relay answered " + status);
    this.status = status;
    this.hint = body.hint || "";
    this.faults = body.faults || [];
  }
}

// session knows the token that was asked for here; it is gone with the page. A browser that was
// asked when it loaded the page (Basic authentication) sends its own, and there is none here.
// declined is true after nobody wanted to give one: it is not asked for again by itself, but by
// enter. console.js sets both functions.
export const session = { token: "", declined: false, ask: null, enter: null };

// get and post answer what the relay answers. A path is one below /v1, or begins with a slash.
// Query values that are empty are left out.
export const get = (path, query, signal) => call("GET", path, query, signal).then(json);
export const post = (path, query, signal, body) =>
  call("POST", path, query, signal, body).then(json);

const json = (answer) => answer.json();

// bytes is for a payload.
export async function bytes(path, signal) {
  const answer = await call("GET", path, null, signal);
  return new Uint8Array(await answer.arrayBuffer());
}

// at makes a path of parts that may hold anything.
export const at = (...parts) => parts.map(encodeURIComponent).join("/");

// here makes an address beside the page, without the user and token that the page's own may have:
// fetch refuses those.
export const here = (path) => new URL(path, location.origin + location.pathname).href;

async function call(method, path, query, signal, body) {
  const asked = session.token;
  const answer = await request(method, path, query, signal, body);
  if (answer.status === 401 && !session.declined) {
    // Many calls may be refused at once; whoever comes late finds the new token already there.
    if (session.token === asked) await session.ask(asked !== "");
    return call(method, path, query, signal, body);
  }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

async function request(method, path, query, signal, body) {
  // A list is a parameter that is there several times.
  const pairs = Object.entries(query || {}).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, one])).filter(([, value]) => value !== "" &&
    value !== null && value !== undefined && value !== false);
  const base = path.startsWith("/") ? path.slice(1) : "v1/" + path;
  const url = here(base + (pairs.length ? "?" + new URLSearchParams(pairs) : ""));
  const headers = session.token ? { Authorization: "Bearer " + session.token } : {};
  if (body) headers["Content-Type"] = isJSON(body) ? "application/json" : "text/plain";
  if (method === "POST") headers["X-Hookspool-User"] = "console"; // for the log of actions
  const asked = { method, headers, signal, cache: "no-store", body: body || undefined };
  const answer = await fetch(url, asked).catch((error) => {
    throw isEnd(error) ? error : new Error("the relay does not answer");
  });
  const date = Date.parse(answer.headers.get("Date") || "");
  if (date) clock.ahead = date + 500 - Date.now(); // a Date has whole seconds
  return answer;
}

function isJSON(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// isEnd tells the end of a view, whose calls are aborted, from a failure.
export const isEnd = (error) => error.name === "AbortError";
