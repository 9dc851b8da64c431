// S3: one of the several clients of an instant messenger's user. node s3.mjs URL USER CLIENT_TYPE VERSION

import { io as connect4 } from "socket.io-client";
import connect2 from "socket.io-client-2";
import { obey, show } from "./page.mjs";

const [url, userId, clientType, version] = process.argv.slice(2);
const heartbeat = 300; // 30 s in the field; a test does not wait so long

const connect = version === "2" ? connect2 : connect4;
const socket = connect(url, { query: { userId, clientType }, reconnection: true });

let alive = false;

socket.on("connect", () => show("connect"));
socket.on("disconnect", () => {
  alive = false;
  show("disconnect");
});
setInterval(() => {
  if (!socket.connected) return;
  socket.emit("jywsping", (answer) => {
    if (!alive) show("alive", answer);
    alive = true;
  });
}, heartbeat);

let deaf = false;
socket.on("notice", (notice, acknowledge) => {
  show("notice", notice);
  if (!deaf) acknowledge("received");
});

obey({
  // From now on nothing is acknowledged, as by a client that fails while it handles a notice.
  fail() {
    deaf = true;
  },
});
