// S6: a page that the Java backend pushes to. It connects bare and says afterwards who it is. TOKEN is JSON: some
// pages have a number. node s6.mjs URL TOKEN [USER]

import { io } from "socket.io-client";
import { obey, show } from "./page.mjs";

globalThis.location = new URL(process.argv[2]); // where the page was loaded from
const tokenId = JSON.parse(process.argv[3]);
const userId = process.argv[4];

const socket = io();

socket.on("connect", () => {
  show("connect");
  socket.emit("user_login", { userId, socketId: socket.id, tokenId }, (answer) => show("login", answer));
});
socket.on("disconnect", () => show("disconnect"));
socket.on("receive_message", ({ entityType, data }) => show("message", entityType, data));

obey({
  close() {
    socket.close();
  },
});
