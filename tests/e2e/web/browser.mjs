// What the web SDK finds in a browser and Node lacks: window, localStorage and WebSocket.
// The socket also lets a program wait for the server's acknowledgement of a subscription, and cut the line.

import WebSocket from "ws";

const kept = new Map();
const sockets = new Set();
const acknowledged = []; // resolvers, one per awaited `subscribe`
let inTunnel = false;

class ObservedSocket extends WebSocket {
  constructor(url) {
    super(url);
    sockets.add(this);
    this.addEventListener("close", () => sockets.delete(this));
    this.addEventListener("error", () => {}); // the SDK connects again when it is closed
    if (inTunnel) setImmediate(() => this.terminate());
    this.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "response" && frame.data.to === "subscribe") {
        for (const resolve of acknowledged.splice(0)) resolve();
      }
    });
  }
}

globalThis.window = globalThis;
globalThis.WebSocket = ObservedSocket;
globalThis.localStorage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => kept.set(name, value),
};
console.log = () => {}; // the SDK talks of reconnecting; standard output belongs to `say`

/** One JSON line on standard output. */
export function say(kind, fields = {}) {
  process.stdout.write(JSON.stringify({ kind, ...fields }) + "\n");
}

/** Resolves when the server has acknowledged the next subscription. */
export function subscribed() {
  return new Promise((resolve) => acknowledged.push(resolve));
}

/** Cut every connection until `out` resolves, as a train in a tunnel does. */
export async function cutTheLine(out) {
  inTunnel = true;
  for (const socket of sockets) socket.terminate();
  await out();
  inTunnel = false;
}

/** The session that the SDK keeps for a project. */
export function keptSession(project) {
  return JSON.parse(kept.get("cookieFallback") ?? "{}")[`a_session_${project}`];
}
