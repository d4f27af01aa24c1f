// Uses a relay through openapi-fetch and the types that openapi-typescript makes of its OpenAPI
// document, whole: every call but the stream, the console and the document itself. The test
// TestClients of testenv generates the types, checks this against them, and runs it:
//
//   node built/main.js ADMIN_URL EVENTS_URL TOKEN
//
// The relay has the targets "good", which acknowledges, and "bad", which answers 503.
import createClient from "openapi-fetch";
import { setTimeout } from "node:timers/promises";
import type { components, paths } from "./schema.js";

const id = "from-typescript";
const patience = 30_000;

const [admin, events, token] = process.argv.slice(2);
if (!admin || !events || !token) {
  console.error("usage: node main.js ADMIN_URL EVENTS_URL TOKEN");
  process.exit(2);
}
const headers = { Authorization: `Bearer ${token}` };
const relay = createClient<paths>({ baseUrl: admin, headers });
const faults: string[] = [];

/** Notes that something else came of a call than what was wanted. */
function must(call: string, holds: boolean | undefined, got?: unknown): void {
  if (!holds) {
    faults.push(`${call}: ${JSON.stringify(got)} is not what was wanted`);
  }
}

/** Sends the event; the document is about the admin listener only. */
async function post(): Promise<void> {
  const res = await fetch(`${events}/v1/events/message`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "webhook-id": id },
    body: '{"n":1}',
  });
  must("the post", res.status === 200, await res.text());
}

/** Waits until both deliveries were attempted and settled. */
async function settled(): Promise<void> {
  const good = (d: components["schemas"]["DeliveryProgress"]) =>
    d.target === "good" ? d.state === "delivered" : d.state === "pending" && d.attempts > 0;
  for (const deadline = Date.now() + patience; ; await setTimeout(20)) {
    const { data } = await relay.GET("/v1/events/{id}", { params: { path: { id } } });
    if (data && data.deliveries.length === 2 && data.deliveries.every(good)) return;
    if (Date.now() > deadline) throw new Error(`not settled: ${JSON.stringify(data)}`);
  }
}

/** Asks for what is there by name. */
async function look(): Promise<void> {
  const status = (await relay.GET("/v1/status")).data;
  must("getStatus", status?.ready && status.accepted === 1 && status.last_event !== null, status);
  const params = { path: { name: "good" } };
  const target = (await relay.GET("/v1/targets/{name}", { params })).data;
  must("getTarget", target?.status === "Enabled" && target.last_error === null, target);
  const attempts = (await relay.GET("/v1/attempts/{id}", { params: { path: { id } } })).data;
  must("getAttempts", attempts?.attempts.some((a) => a.outcome === "status"), attempts);
  const payload = await relay.GET("/v1/events/{id}/payload", {
    params: { path: { id } },
    parseAs: "text",
  });
  must("getPayload", payload.response.ok, payload);
  const verbose = { params: { query: { verbose: "" } } };
  for (const path of ["/livez", "/readyz", "/healthz"] as const) {
    const { response } = await relay.GET(path, verbose);
    must(path, response.ok);
  }
  const metrics = await relay.GET("/metrics", { parseAs: "text" });
  must("metrics", metrics.data?.includes("hookspool_events_accepted_total 1\n"));
  const types = (await relay.GET("/sample-types.json")).data;
  must("sampleTypes", types?.includes("message"), types);
}

/** Asks for pages, with every kind of parameter. */
async function list(): Promise<void> {
  const targets = (await relay.GET("/v1/targets")).data;
  must("listTargets", targets?.targets.length === 2, targets);
  const deliveries = (
    await relay.GET("/v1/deliveries", {
      params: { query: { target: "bad", state: "pending", type: "mess*", since: "1h" } },
    })
  ).data;
  const first = deliveries?.deliveries[0];
  must("listDeliveries", first?.id === id && first.last_status === 503, deliveries);
  const found = (await relay.GET("/v1/events", { params: { query: { limit: 1 } } })).data;
  must("searchEvents", found?.events[0]?.id === id, found);
  const params = { path: { name: "bad" } };
  const recent = (await relay.GET("/v1/targets/{name}/attempts", { params })).data;
  must("listRecentAttempts", recent?.attempts[0]?.id === id, recent);
}

/** Changes what the targets do. */
async function steer(): Promise<void> {
  const good = { params: { path: { name: "good" } } };
  const bad = { params: { path: { name: "bad" } } };
  const paused = (await relay.POST("/v1/targets/{name}/pause", good)).data;
  must("pause", paused?.status === "Paused", paused);
  const resumed = (await relay.POST("/v1/targets/{name}/resume", good)).data;
  must("resume", resumed?.status === "Enabled", resumed);
  const retried = (await relay.POST("/v1/targets/{name}/retry", bad)).data;
  must("retry", retried?.name === "bad", retried);
  const enabled = (await relay.POST("/v1/targets/{name}/enable", bad)).data;
  must("enable", enabled?.status === "Enabled", enabled);
  const reloaded = (await relay.POST("/v1/reload")).data;
  must("reload", reloaded?.reload_failed === false, reloaded);
  const sample = (
    await relay.POST("/v1/targets/{name}/sample", {
      params: { path: { name: "bad" }, query: { type: "message" } },
    })
  ).data;
  must("sendSample", sample?.outcome === "status" && !sample.acknowledged, sample);
  const explained = await relay.POST("/v1/explain", {
    params: { query: { type: "message" } },
    body: { waId: "1" } as never,
  });
  must("explain", explained.data?.session?.state_after === "inactive", explained);
}

/** Says what would be sent again and what would be deleted. */
async function again(): Promise<void> {
  const query = { target: "good", state: "delivered", dry_run: true } as const;
  const replayed = (await relay.POST("/v1/replay", { params: { query } })).data;
  must("replay", replayed?.count === 1 && replayed.dry_run, replayed);
  const params = { path: { name: "bad" }, query: { dry_run: true } };
  const purged = (await relay.POST("/v1/targets/{name}/purge", { params })).data;
  must("purge", purged?.count === 1 && purged.state === "pending", purged);
}

/** Looks after the spool. */
async function care(): Promise<void> {
  const stat = (await relay.GET("/v1/spool")).data;
  must("spoolStat", stat?.events === 1 && stat.targets.length === 2, stat);
  const verified = await relay.POST("/v1/spool/verify", { parseAs: "text" });
  must("verify", verified.response.ok);
  const exported = await relay.POST("/v1/spool/export", {
    params: { query: { all: true } },
    parseAs: "text",
  });
  const line: unknown = exported.data;
  must("exportEvents", typeof line === "string" && line.includes(`"${id}"`), line);
  const imported = await relay.POST("/v1/spool/import", {
    body: line as components["schemas"]["Exported"],
    bodySerializer: (body) => body as unknown as string,
    headers: { "Content-Type": "application/x-ndjson" },
  });
  must("importEvents", imported.data?.duplicates === 1, imported);
  const backup = await relay.POST("/v1/spool/backup", { parseAs: "arrayBuffer" });
  must("backup", backup.response.ok);
}

/** Asks for what is not there, and without the token. */
async function refused(): Promise<void> {
  const none = await relay.GET("/v1/targets/{name}", { params: { path: { name: "none" } } });
  must("getTarget of none", none.error?.code === "not_found" && none.error.status === 404, none);
  const stranger = createClient<paths>({ baseUrl: admin! });
  const got = await stranger.GET("/v1/status");
  must("getStatus without the token", got.error?.code === "unauthorized", got);
}

await post();
await settled();
for (const part of [look, list, steer, again, care, refused]) {
  await part();
}
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log("the relay is as its document says");
