// S2: the meeting page, socket.io-client 2.x with everything in the address, as it spoke to netty-socketio.
// node s2.mjs URL USER CONFERENCE [IS_SYSTEM]

import io from "socket.io-client-2";
import { obey, show } from "./page.mjs";

const [url, userId, conferenceId, isSystem = ""] = process.argv.slice(2);
const socket = io.connect(`${url}?userId=${userId}&conferenceId=${conferenceId}&is_system=${isSystem}`);

socket.on("connect", () => show("connect"));
socket.on("disconnect", (reason) => show("disconnect", reason));
socket.on("error", (problem) => show("error", problem));

socket.on("note_tree", (tree) => show("note_tree", tree));
socket.on("online_notice", ({ userName }) => show("came", userName));
socket.on("offline_notice", ({ userName }) => show("went", userName));

// Names that only this system's backend knows.
for (const destination of ["vote_start", "speak_apply", "attend_login"]) {
  socket.on(destination, (...args) => show(destination, ...args));
}

obey({
  report({ text }) {
    socket.emit("receive_client_event", text, (...answer) => show("reported", ...answer));
  },
  leave() {
    socket.disconnect();
  },
});
