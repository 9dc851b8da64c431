// A meeting backend with nothing but Node 20. What it is for: examples/README.md.
//
//   node backend.mjs tree 42 '{"topicInfo":{"title":"Budget"}}'
//   node backend.mjs notice lunch-1 '{"to":{"users":["anna"]},"title":"Lunch","body":"At noon"}'
//   node backend.mjs listen
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const { RC_URL = "http://127.0.0.1:8080", RC_API_KEY, RC_WEBHOOK_SECRET = "", RC_LISTEN = "127.0.0.1:8000" } = process.env;

const patchTree = (conferenceId, sections) => send("PATCH", `/conferences/${encodeURIComponent(conferenceId)}/tree`, sections);
const notify = (key, notice) => send("POST", "/notices", notice, { "Idempotency-Key": key });

// send returns the answer, or throws what is wrong. What rollcall has no time for now (429, 503), or what was not answered by it, is sent again, after
// as many seconds as Retry-After says. That is safe for both calls above: a merge patch may be applied twice, and a
// notice with the same Idempotency-Key goes out once.
async function send(method, path, body, headers = {}) {
  if (RC_API_KEY) headers = { ...headers, Authorization: `Bearer ${RC_API_KEY}` };
  const request = { method, body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } };
  for (let attempt = 1; ; attempt++) {
    let status = 0, seconds = 1, answer;
    try {
      const response = await fetch(`${RC_URL}/api/v1${path}`, { ...request, signal: AbortSignal.timeout(15_000) });
      status = response.status;
      if (/^\d+$/.test(response.headers.get("retry-after"))) seconds = Number(response.headers.get("retry-after"));
      answer = await response.json();
      if (response.ok) return answer;
    } catch (e) {
      answer = { code: "no answer", detail: e.cause?.message ?? e.message };
    }
    const inFlight = answer.code === "idempotency_in_flight"; // an earlier attempt is still being worked on
    const again = status === 0 || status === 429 || status >= 500 || inFlight;
    const more = answer.errors?.map((e) => `; ${e.location}: ${e.message}`).join("") ?? "";
    if (!again || attempt === 5) throw new Error(`${status} ${answer.code}: ${answer.detail}${more}`);
    console.error(`${status}, again in ${seconds} s`);
    await pause(seconds * 1000);
  }
}

// verify throws unless one of the signatures is that of rollcall (Standard Webhooks), and no older than five minutes.
function verify(secret, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!id || !/^\d{1,11}$/.test(timestamp) || !signatures) throw new Refused(400);
  if (Math.abs(Date.now() / 1000 - timestamp) > 300) throw new Refused(401); // somebody may have recorded it
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64"));
  const right = signatures.split(" ").map((text) => Buffer.from(text)) // several while the secret changes
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
  if (!right) throw new Refused(401);
}

class Refused extends Error {
  constructor(status) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

async function receive(request) {
  if (request.method !== "POST") throw new Refused(405);
  const parts = []; // as bytes: parsed and printed again, it has another signature
  let size = 0;
  for await (const part of request) {
    if ((size += part.length) > 1 << 20) throw new Refused(413);
    parts.push(part);
  }
  const body = Buffer.concat(parts);
  verify(RC_WEBHOOK_SECRET, request.headers, body);
  // The same event may come again, with the same id: keep ids where you keep what came of the event. Answer when that is stored.
  const event = JSON.parse(body); // {type, timestamp, data}
  console.log(request.headers["webhook-id"], JSON.stringify(event));
}

function listen() {
  if (!/^whsec_[A-Za-z0-9+/]+=*$/.test(RC_WEBHOOK_SECRET)) throw new Error("RC_WEBHOOK_SECRET is whsec_ and base64");
  const [, host, port] = /^(.*):(\d+)$/.exec(RC_LISTEN);
  const server = createServer((request, response) => receive(request).then(
    () => response.writeHead(204).end(),
    (e) => response.writeHead(e.status ?? 500, { Connection: "close" }).end(),
  ));
  server.listen(Number(port), host, () => console.log(`listening on http://${RC_LISTEN}`));
}

const [command, id, json] = process.argv.slice(2);
try {
  if (command === "tree") console.log(JSON.stringify(await patchTree(id, JSON.parse(json))));
  else if (command === "notice") console.log(JSON.stringify(await notify(id, JSON.parse(json))));
  else if (command === "listen") listen();
  else throw new Error("usage: node backend.mjs tree CONFERENCE JSON | notice IDEMPOTENCY-KEY JSON | listen");
} catch (e) {
  console.error(e.message);
  process.exitCode = 1;
}
