// The status page: shows the parts that its socket sends, each in its own section.
import { show } from "./parts.js";

const FIRST_DELAY = 250;
const LONGEST_DELAY = 5000;

let delay = FIRST_DELAY;
let socket;

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}${new URL("ws", location.href).pathname}`);
  socket.onopen = () => { delay = FIRST_DELAY; document.body.classList.remove("offline"); };
  socket.onmessage = (message) => {
    const { part, value } = JSON.parse(message.data);
    show[part]?.(value, actions);
  };
  socket.onclose = ({ target }) => {
    if (target !== socket) return;
    document.body.classList.add("offline");
    show.offline();
    setTimeout(() => target === socket && connect(), delay);
    delay = Math.min(delay * 2, LONGEST_DELAY);
  };
}

const actions = {
  /** @param {string} session */
  restart: (session) => socket?.send(JSON.stringify({ restart: session })),
  /** @param {string} session */
  end: (session) => socket?.send(JSON.stringify({ end: session })),
};

// A browser may keep a page that one has left, and its socket with it.
addEventListener("pagehide", () => {
  const old = socket;
  socket = undefined;
  old?.close();
});
addEventListener("pageshow", ({ persisted }) => persisted && connect());

connect();
