// The same broadcast as people write it with socket.io: a room per conference, and POST /push sends its body there.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (request.method !== "POST" || pathname !== "/push") return response.writeHead(404).end();
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  io.to(searchParams.get("room")).emit("note_tree", JSON.parse(body));
  response.writeHead(200).end();
});

// The heartbeat is that of rollcall, and compression is off everywhere.
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, pingInterval: 10_000, pingTimeout: 10_000 });
io.on("connection", (socket) => {
  const { conferenceId } = socket.handshake.query;
  if (conferenceId) socket.join(conferenceId);
});

http.listen(0, "127.0.0.1", () => console.log(`open http://127.0.0.1:${http.address().port}/`));
