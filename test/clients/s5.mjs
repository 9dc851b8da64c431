// S5: a chat of two, by function: a user with a target, and the number of people online. node s5.mjs URL USER TARGET

import { io } from "socket.io-client";
import { obey, show } from "./page.mjs";

const [url, userId, target] = process.argv.slice(2);
const socket = io(url, { query: { userId } });
let sent = 0;

socket.on("connect", () => show("connect"));
socket.on("disconnect", () => show("disconnect"));
socket.on("direct_message", ({ from, body, id }) => show("message", from, body, id));
// What was said while he was away.
socket.on("push_message", ({ items }) => {
  for (const item of items.filter((i) => i.event === "direct_message")) show("missed", item.senderId, item.data, item.id);
});

const online = async () => {
  const { users } = await (await fetch(`${url}/api/v1/presence/summary`)).json();
  show("online", users);
};

obey({
  say({ text }) {
    const message = { to: target, body: text, clientMsgId: `${userId}-${++sent}` };
    socket.emit("direct_message", message, (answer) => {
      show(answer.reason === "offline" ? "the other side is not online" : "told", text, answer);
    });
  },
  count: online,
});
