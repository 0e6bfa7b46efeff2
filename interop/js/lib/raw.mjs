// Engine.IO and Socket.IO by hand, for what no well-behaved client does.
import http from "node:http";
import net from "node:net";
import WebSocket from "ws";
import { eventually, within } from "./wait.mjs";

const SEPARATOR = "\x1e";

export const query = (parameters) => `/socket.io/?${new URLSearchParams({ EIO: "4", ...parameters })}`;

/**
 * One HTTP request on a connection of its own. The answer is `{status, headers, body}`, or `{aborted: true}` when the
 * connection ended without one. `body` may be an async iterable; it is then sent chunk by chunk.
 */
export async function request(server, path, { method = "GET", headers = {}, body, signal } = {}) {
  const outgoing = http.request(server.url + path, { method, headers, agent: false, signal });
  const answered = new Promise((resolve) => {
    outgoing.on("error", () => resolve({ aborted: true }));
    outgoing.on("response", async (response) => {
      const chunks = [];
      try {
        for await (const chunk of response) chunks.push(chunk);
      } catch {
        return resolve({ aborted: true });
      }
      const raw = Buffer.concat(chunks);
      resolve({ status: response.statusCode, headers: response.headers, raw, body: raw.toString() });
    });
  });
  if (body === undefined || typeof body === "string" || Buffer.isBuffer(body)) {
    outgoing.end(body);
  } else {
    const feed = async () => {
      for await (const chunk of body) {
        if (outgoing.destroyed) return;
        outgoing.write(chunk);
      }
      outgoing.end();
    };
    feed().catch(() => outgoing.destroy());
  }
  return within(answered, `an answer to ${method} ${path.slice(0, 100)}`, 20_000);
}

/** Writes bytes to a fresh TCP connection; `{text, closed}` grow as the server answers. */
export async function tcp(t, server, bytes) {
  const socket = net.connect(server.port, "127.0.0.1");
  const connection = { socket, text: "", closed: false };
  t.after(() => socket.destroy());
  socket.setEncoding("latin1");
  socket.on("data", (text) => (connection.text += text));
  socket.on("error", () => {});
  socket.on("close", () => (connection.closed = true));
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(bytes);
  return connection;
}

/** An Engine.IO session over HTTP long-polling. */
export class PollingSession {
  static async open(server, parameters = {}, headers = {}) {
    const session = new PollingSession();
    session.server = server;
    session.parameters = { transport: "polling", ...parameters };
    session.pending = [];
    const answer = await request(server, query(session.parameters), { headers });
    if (answer.status !== 200) throw new Error(`handshake refused: ${answer.status} ${answer.body}`);
    session.handshakeAnswer = answer;
    session.handshake = JSON.parse(answer.body.slice(1));
    session.sid = session.handshake.sid;
    return session;
  }

  /** A session that has joined a namespace; `id` is the public socket id. */
  static async join(server, namespace = "/") {
    const session = await PollingSession.open(server);
    const prefix = namespace === "/" ? "" : `${namespace},`;
    await session.post(`40${prefix}`);
    const connect = await session.receive((packet) => packet.startsWith(`40${prefix}{`));
    session.id = JSON.parse(connect.slice(2 + prefix.length)).sid;
    await session.receive((packet) => packet.startsWith(`42${prefix}["welcome"`));
    return session;
  }

  get path() {
    return query({ ...this.parameters, sid: this.sid });
  }

  get(options = {}) {
    return request(this.server, this.path, options);
  }

  post(body, options = {}) {
    const headers = { "content-type": "text/plain;charset=UTF-8", ...options.headers };
    return request(this.server, this.path, { method: "POST", body, ...options, headers });
  }

  /** Polls until a packet fits; packets before it are dropped, those after it kept for the next call. */
  async receive(fits, ms) {
    const poll = async () => {
      for (;;) {
        while (this.pending.length) {
          const packet = this.pending.shift();
          if (fits(packet)) return packet;
        }
        const answer = await this.get();
        if (answer.status !== 200) throw new Error(`poll refused: ${answer.status} ${answer.body}`);
        this.pending.push(...answer.body.split(SEPARATOR));
      }
    };
    return within(poll(), "a packet over polling", ms);
  }

  /** Whether the server still knows the session and echoes over polling. */
  async echoes(text = "still here") {
    const posted = await this.post(`42["echo",${JSON.stringify(text)}]`);
    if (posted.status !== 200) return false;
    await this.receive((packet) => packet === `42["echo",${JSON.stringify(text)}]`);
    return true;
  }

  async isGone() {
    const answer = await this.post("3");
    return answer.status === 400 && JSON.parse(answer.body).code === 1;
  }
}

/** A WebSocket with its messages in a queue and its end as a promise. */
export class RawWebSocket {
  static async open(t, server, parameters = {}, options = {}) {
    const raw = new RawWebSocket(t, server, parameters, options);
    await within(raw.opened, "the WebSocket to open");
    return raw;
  }

  /** A session opened over WebSocket that has joined a namespace. */
  static async join(t, server, namespace = "/") {
    const raw = await RawWebSocket.open(t, server);
    const prefix = namespace === "/" ? "" : `${namespace},`;
    await raw.receive((packet) => packet.startsWith("0{"));
    raw.send(`40${prefix}`);
    const connect = await raw.receive((packet) => packet.startsWith(`40${prefix}{`));
    raw.id = JSON.parse(connect.slice(2 + prefix.length)).sid;
    await raw.receive((packet) => packet.startsWith(`42${prefix}["welcome"`));
    return raw;
  }

  constructor(t, server, parameters = {}, options = {}) {
    const url = `ws://127.0.0.1:${server.port}${query({ transport: "websocket", ...parameters })}`;
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.messages = [];
    this.ended = false;
    t.after(() => this.socket.terminate());
    this.socket.on("message", (data, isBinary) => this.messages.push(isBinary ? data : data.toString()));
    this.socket.on("error", () => {});
    this.opened = new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.socket.once("close", (code) => {
        this.ended = true;
        resolve(code);
      });
    });
  }

  send(data) {
    this.socket.send(data);
  }

  /** The next message that fits; those before it are dropped. */
  async receive(fits = () => true, ms) {
    return eventually(
      () => {
        while (this.messages.length) {
          const message = this.messages.shift();
          if (fits(message)) return [message];
        }
      },
      "a WebSocket message",
      ms,
    ).then(([message]) => message);
  }

  async echoes(text = "still here") {
    this.send(`42["echo",${JSON.stringify(text)}]`);
    await this.receive((packet) => packet === `42["echo",${JSON.stringify(text)}]`);
    return true;
  }

  /** The close code, once the connection is gone. */
  end(ms) {
    return within(this.closed, "the WebSocket to close", ms);
  }
}
