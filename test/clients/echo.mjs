// A small server on the original Node implementation, for the test of the driver itself. Prints its port.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { allowEIO3: true });

io.use((socket, next) => {
  if (!socket.handshake.query.refuse) return next();
  next(Object.assign(new Error("not you"), { data: { code: "forbidden" } }));
});

io.on("connection", (socket) => {
  socket.on("say", (...args) => {
    if (typeof args.at(-1) === "function") args.pop()("heard");
    socket.emit("said", ...args);
  });
  socket.on("ask me", () => socket.emit("question", "how are you", (...answer) => socket.emit("said", ...answer)));
  socket.on("throw me out", () => socket.disconnect(true));
});

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
// It ends with the test that started it, whose end of this pipe closes.
process.stdin.resume().on("end", () => process.exit(0));
