// The official client, connected to a server under test and closed with the test.
import { io } from "socket.io-client";
import { eventually, next, within } from "./wait.mjs";

/** The ways to connect that every scenario is repeated for. */
export const WAYS = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  "polling, upgraded": { transports: ["polling", "websocket"] },
};

/** A socket that is not connected to anything another test uses. Does not wait for the connection. */
export function open(t, server, { namespace = "/", ...options } = {}) {
  const socket = io(server.url + namespace, { forceNew: true, reconnection: false, ...options });
  t.after(() => {
    socket.disconnect();
    socket.io.engine?.close();
  });
  return socket;
}

/** A connected socket; with both transports allowed, an upgraded one. */
export async function connect(t, server, options = {}) {
  const socket = open(t, server, options);
  await connected(socket);
  if ((options.transports ?? []).length !== 1) await upgraded(socket);
  return socket;
}

/** A socket of another namespace on the connection of `socket`, connected. */
export async function also(t, socket, namespace) {
  const other = socket.io.socket(namespace);
  t.after(() => other.disconnect());
  await connected(other);
  return other;
}

/** Waits for CONNECT; a CONNECT_ERROR fails with its error. */
export async function connected(socket) {
  if (socket.connected) return;
  let refuse;
  const refused = new Promise((_, reject) => {
    refuse = reject;
    socket.once("connect_error", refuse);
  });
  await Promise.race([next(socket, "connect"), refused]);
  socket.off("connect_error", refuse);
}

/** Waits until the connection has left polling. */
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== "websocket") await next(engine, "upgrade");
}

/** All arguments of the answer to an event; `emitWithAck` keeps only the first. */
export function answerTo(socket, ...event) {
  return within(new Promise((resolve) => socket.emit(...event, (...args) => resolve(args))), `the answer to "${event[0]}"`);
}

/** The observer of CONTRACT.md: awaits the `disconnected` report of a socket id. */
export class Observer {
  static async connect(server) {
    const observer = new Observer();
    observer.reports = new Map();
    observer.socket = io(`${server.url}/observer`, { forceNew: true, transports: ["websocket"], reconnection: false });
    observer.socket.on("disconnected", (id, namespace, reason, rooms) => {
      observer.reports.set(id, { namespace, reason, rooms });
    });
    await connected(observer.socket);
    return observer;
  }

  /** `{namespace, reason, rooms}` of the socket, as soon as it is gone. */
  async disconnected(id, ms = 5_000) {
    return eventually(() => this.reports.get(id), `the disconnection of ${id}`, ms);
  }

  close() {
    this.socket.disconnect();
  }
}
