// S4: the letter box in the corner of a portal. node s4.mjs URL USER PATH TRANSPORTS ORIGIN

import { io } from "socket.io-client";
import { obey, show } from "./page.mjs";

const [url, userId, path, transports, origin] = process.argv.slice(2);
const socket = io(url, {
  path,
  transports: transports.split(","),
  auth: { token: `portal-${userId}` },
  extraHeaders: { origin }, // which a browser adds by itself
});

socket.on("connect", () => {
  show("connect", socket.io.engine.transport.name);
  socket.emit("user_login", { userId });
});
socket.on("disconnect", () => show("disconnect"));
socket.on("push_message", (box) => show("push_message", box));
socket.on("todo_message", (task) => show("todo_message", task));

obey({
  todo({ task }) {
    socket.emit("todo", task, (answer) => show("todo answer", answer));
  },
  read({ ids }) {
    socket.emit("notice_read", { ids }, (answer) => show("read answer", answer));
  },
  look(query) {
    socket.emit("inbox", query, (answer) => show("inbox", answer));
  },
});
