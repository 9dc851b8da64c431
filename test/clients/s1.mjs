// S1: the chat page, a form and a list of messages. node s1.mjs URL

import { runInThisContext } from "node:vm";
import WebSocket from "ws";
import xhr from "xmlhttprequest-ssl";
import { obey, show } from "./page.mjs";

// What a browser would give it: the address it was loaded from, ways to the server, and the two things on the page
// that matter.
Object.assign(globalThis, { location: new URL(process.argv[2]), WebSocket, XMLHttpRequest: xhr.XMLHttpRequest });
const form = new EventTarget();
const input = { value: "" };

// <script src="/socket.io/socket.io.js"></script>
const script = await fetch(new URL("/socket.io/socket.io.js", location));
if (!script.ok) throw new Error(`the script was answered ${script.status} ${await script.text()}`);
runInThisContext(await script.text());

const socket = io();

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!input.value) return;
  socket.emit("chat message", input.value);
  input.value = "";
});

socket.on("chat message", (text) => show("message", text));
socket.on("connect", () => show("connect"));
socket.on("disconnect", () => show("disconnect"));

obey({
  type({ text }) {
    input.value = text;
    form.dispatchEvent(new Event("submit", { cancelable: true }));
  },
});
