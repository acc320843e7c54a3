// A server that serves the client and says over the WebSocket what a test tells it to.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";

export const SESSION = "0123456789abcdef0123456789abcdef";
const CLIENT = new URL("../../src/web/client/", import.meta.url);
const STATUS = new URL("../../src/web/status/", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const NONCE = "of-this-page";
// As strict as a site may want it: no inline script without the nonce, no eval, no inline style.
const POLICY = `default-src 'self'; script-src 'nonce-${NONCE}'; base-uri 'none'; object-src 'none'`;

export async function startFakeServer() {
  const state = { sockets: new Set(), batches: [], onBatch: () => {}, onOpen: () => {}, sessionGone: false, away: false };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    response.setHeader("Content-Security-Policy", POLICY);
    if (pathname.startsWith("/_client/")) {
      const name = pathname.slice("/_client/".length);
      response.setHeader("Content-Type", TYPES[extname(name)] ?? "text/plain");
      response.end(await readFile(new URL(name, CLIENT)));
    } else if (pathname.startsWith("/_hot/")) {
      const name = pathname.slice("/_hot/".length) || "index.html";
      response.setHeader("Content-Security-Policy", "default-src 'self'; img-src 'self' data:");
      response.setHeader("Content-Type", TYPES[extname(name)]);
      response.end(await readFile(new URL(name, STATUS)));
    } else if (state.sessionGone) {
      response.statusCode = 404;
      response.setHeader("Content-Type", "text/html");
      response.end("<h1>No such session</h1>");
    } else {
      response.setHeader("Content-Type", "text/html");
      const page = await readFile(new URL("index.html", CLIENT), "utf8");
      response.end(page.replaceAll("{base}", "").replace("{nonce}", NONCE));
    }
  });
  server.on("upgrade", (request, socket) => {
    if (state.away || state.sessionGone || ![`/ws/${SESSION}`, "/_hot/ws"].includes(request.url)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
      return;
    }
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    state.sockets.add(socket);
    socket.on("close", () => state.sockets.delete(socket));
    socket.on("end", () => socket.destroy());
    socket.on("error", () => {});
    state.onOpen();
    let buffer = Buffer.alloc(0);
    const parts = [];
    socket.on("data", (data) => {
      buffer = Buffer.concat([buffer, data]);
      for (let frame; (frame = readFrame(buffer)); ) {
        buffer = buffer.subarray(frame.size);
        if (frame.opcode === 8) socket.destroy();
        if (frame.opcode > 1) continue;
        parts.push(frame.bytes); // a long message comes in several frames
        if (!frame.last) continue;
        const batch = JSON.parse(Buffer.concat(parts.splice(0)).toString());
        state.batches.push(batch);
        state.onBatch(batch);
      }
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));

  return {
    state,
    url: `http://127.0.0.1:${server.address().port}/${SESSION}`,
    /** Sends one frame to every socket. */
    send(...messages) {
      for (const socket of state.sockets) socket.write(writeFrame(JSON.stringify(messages)));
    },
    /** Sends one part of the status page. */
    sendPart(part, value) {
      for (const socket of state.sockets) socket.write(writeFrame(JSON.stringify({ part, value })));
    },
    /** Cuts every socket, as a network that fails. */
    cut() {
      for (const socket of state.sockets) socket.destroy();
    },
    async close() {
      this.cut();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** The first whole frame in `buffer` (browsers mask what they send). */
function readFrame(buffer) {
  if (buffer.length < 6) return null;
  let length = buffer[1] & 127;
  let at = 2;
  if (length === 126) {
    length = buffer.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (buffer.length < 14) return null;
    length = Number(buffer.readBigUInt64BE(2));
    at = 10;
  }
  const size = at + 4 + length;
  if (buffer.length < size) return null;
  const mask = buffer.subarray(at, at + 4);
  const bytes = Buffer.from(buffer.subarray(at + 4, size).map((byte, i) => byte ^ mask[i % 4]));
  return { opcode: buffer[0] & 15, last: buffer[0] >= 128, bytes, size };
}

function writeFrame(text) {
  const body = Buffer.from(text);
  // The length has to be in the shortest form that holds it.
  const extra = body.length < 126 ? 0 : body.length < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + extra);
  head[0] = 0x81;
  head[1] = { 0: body.length, 2: 126, 8: 127 }[extra];
  if (extra === 2) head.writeUInt16BE(body.length, 2);
  if (extra === 8) head.writeBigUInt64BE(BigInt(body.length), 2);
  return Buffer.concat([head, body]);
}
