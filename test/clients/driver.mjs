// Drives real Socket.IO clients for the Go tests (internal/clienttest).
//
// One JSON command per line on standard input, one JSON object per line on standard output. A command carries
// its number as "n" and is answered by {n, ok: true, ...} or {n, error}. What happens to a client is reported
// unasked: {id, type, at, ...}, in the order in which it happened.

import { Agent } from "node:http";
import { createInterface } from "node:readline";
import { io as connect4 } from "socket.io-client";
import connect2 from "socket.io-client-2";

const clients = new Map(); // id -> {socket, version, acks}

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

const commands = {
  open(c) {
    if (clients.has(c.id)) throw new Error(`client ${c.id} is open already`);
    const { id, url, version = 4, autoAck = false, query = {}, auth, path, transports, upgrade = true } = c;
    const { reconnection = false, reconnectionDelay = 100, extraHeaders } = c;
    const options = { query, path, transports, upgrade, reconnection, reconnectionDelay, extraHeaders, forceNew: true };
    options.reconnectionDelayMax = reconnectionDelay * 5;
    // An option that is there but undefined would replace the client's own default.
    for (const key of Object.keys(options)) if (options[key] === undefined) delete options[key];
    options.agent = new Agent(); // knows the TCP connections of this client alone, for abort
    const socket = version === 2 ? connect2(url, options) : connect4(url, { ...options, auth });
    const client = { socket, version, autoAck, acks: [], agent: options.agent };
    clients.set(id, client);
    watch(id, client);
  },

  async emit({ id, event, args = [], ack = false, timeout = 10_000 }) {
    const { socket } = find(id);
    if (!ack) return void socket.emit(event, ...args);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no acknowledgement of ${event} in ${timeout} ms`)), timeout);
      socket.emit(event, ...args, (...answer) => {
        clearTimeout(timer);
        resolve({ answer });
      });
    });
  },

  // answer acknowledges an event that was reported with a number "ack".
  answer({ id, ack, args = [] }) {
    const { acks } = find(id);
    if (!acks[ack - 1]) throw new Error(`client ${id} was asked for no acknowledgement ${ack}`);
    acks[ack - 1](...args);
  },

  connect({ id }) {
    find(id).socket.connect();
  },

  close({ id }) {
    find(id).socket.disconnect();
  },

  // abort takes the connection away without a word, as a dead battery or a pulled plug with a reset does. The
  // client notices at once, and comes back if it was opened with reconnection.
  abort({ id }) {
    const { transport } = engine(id);
    if (transport.ws) return void transport.ws.terminate();
    find(id).agent.destroy(); // aborting the request would leave its TCP connection open here, which no browser does
    transport.onClose();
  },

  // freeze keeps the connection and stops reading from it, as a laptop that is shut does: pings stay unanswered.
  freeze({ id }) {
    const { transport } = engine(id);
    if (!transport.ws) throw new Error("only a WebSocket can be frozen");
    reading(transport.ws).pause();
  },

  // thaw reads again.
  thaw({ id }) {
    reading(engine(id).transport.ws).resume();
  },

  stats() {
    const all = [...clients.values()];
    return { clients: all.length, connected: all.filter((c) => c.socket.connected).length };
  },
};

// reading is what can be told to stop reading: the WebSocket itself, or what is below it in the older one of 2.x.
const reading = (ws) => (ws.pause ? ws : ws._socket);

function find(id) {
  const client = clients.get(id);
  if (!client) throw new Error(`no client ${id}`);
  return client;
}

function engine(id) {
  const found = find(id).socket.io.engine;
  if (!found?.transport) throw new Error(`client ${id} has no connection`);
  return found;
}

// watch reports everything that happens to a client from now on.
function watch(id, client) {
  const { socket, version } = client;
  const report = (type, more) => say({ id, type, at: Date.now(), ...more });
  const received = ([event, ...args], answer) => {
    const more = { event, args };
    if (answer && client.autoAck) answer();
    else if (answer) more.ack = client.acks.push(answer);
    report("event", more);
  };

  socket.on("connect", () => report("connect", { sid: socket.id, transport: socket.io.engine.transport.name }));
  socket.on("disconnect", (reason) => report("disconnect", { reason }));
  socket.on("connect_error", (err) => report("connect_error", failure(err)));
  socket.io.on("reconnect", () => report("reconnect"));
  socket.io.on("open", () => {
    socket.io.engine.on("upgrade", (transport) => report("upgrade", { transport: transport.name }));
  });

  if (version === 2) {
    // 2.x has no listener for every event. What it does with a packet of the kind EVENT is this one function.
    socket.onevent = ({ data, id: asked }) => received(data ?? [], asked == null ? undefined : socket.ack(asked));
    socket.on("error", (data) => report("error", data instanceof Error ? failure(data) : { data, message: data?.message }));
    return;
  }
  socket.onAny((...args) => {
    const answer = typeof args.at(-1) === "function" ? args.pop() : undefined;
    received(args, answer);
  });
}

// failure tells what an error says: data is what the server gave with it, cause what the transport found, as the
// status of an HTTP answer.
function failure(err) {
  const cause = err.description?.message ?? err.description;
  return { message: err.message, data: err.data, cause: cause === undefined ? undefined : String(cause) };
}

async function run(line) {
  const { n, do: name, ...rest } = JSON.parse(line);
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no command ${name}`);
    say({ n, ok: true, ...(await commands[name](rest)) });
  } catch (err) {
    say({ n, error: err.message });
  }
}

createInterface({ input: process.stdin }).on("line", run).on("close", () => process.exit(0));
