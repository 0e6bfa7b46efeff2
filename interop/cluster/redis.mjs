// Starts Redis, kept from everything else on the machine, and the nodes of a cluster.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createClient } from "redis";
import { eventually } from "../js/lib/wait.mjs";

const START_MS = 10_000;

const running = new Set();
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Ends a process of ours. */
async function end(child, signal) {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  child.kill(signal);
  await exited;
  clearTimeout(timer);
}

/** A Redis of its own. It keeps nothing on disk. */
export class RedisServer {
  static async start() {
    const server = new RedisServer();
    server.port = await freePort();
    server.folder = await mkdtemp(join(tmpdir(), "redis-"));
    await server.startAgain();
    return server;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it on the port that it had, empty. */
  async startAgain() {
    const options = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", this.folder];
    this.child = spawn("redis-server", options, { stdio: ["ignore", "ignore", "inherit"] });
    running.add(this.child);
    await eventually(() => this.#answers(), "Redis to start", START_MS);
  }

  async #answers() {
    try {
      const client = await this.client();
      await client.ping();
      client.destroy();
      return true;
    } catch {
      return false;
    }
  }

  async client() {
    const client = createClient({ url: this.url, socket: { reconnectStrategy: false, connectTimeout: 1000 } });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  /** Ends it without a farewell. */
  async kill() {
    await end(this.child, "SIGKILL");
  }

  suspend() {
    this.child.kill("SIGSTOP");
  }

  resume() {
    this.child.kill("SIGCONT");
  }

  async stop() {
    this.resume();
    await end(this.child, "SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}

const KINDS = {
  node: () => [process.execPath, new URL("node-server.mjs", import.meta.url).pathname],
  rust: () => [process.env.CLUSTER_SERVER ?? new URL("../../target/release/cluster-server", import.meta.url).pathname],
};

/** A server of CONTRACT.md. `kind` is `node` or `rust`. */
export class Node {
  static async start(kind, name, redis, settings = {}) {
    const node = new Node();
    node.kind = kind;
    node.name = name;
    const [command, ...options] = KINDS[kind]();
    const env = { ...process.env, REDIS_URL: redis.url, NODE_NAME: name, ...settings };
    const child = spawn(command, options, { env, stdio: ["ignore", "pipe", "pipe"] });
    node.child = child;
    running.add(child);
    node.diagnostics = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (node.diagnostics += text));
    const lines = createInterface({ input: child.stdout });
    const announced = new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        const match = /^listening 127\.0\.0\.1:(\d+)$/.exec(line);
        if (match) resolve(Number(match[1]));
      });
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`${name} ended\n${node.diagnostics}`)));
      setTimeout(() => reject(new Error(`${name} did not start\n${node.diagnostics}`)), START_MS).unref();
    });
    node.port = await announced;
    return node;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  suspend() {
    this.child.kill("SIGSTOP");
  }

  resume() {
    this.child.kill("SIGCONT");
  }

  async kill() {
    await end(this.child, "SIGKILL");
  }

  async stop() {
    this.resume();
    await end(this.child, "SIGTERM");
  }
}

/** The adapters, with their settings. */
export const ADAPTERS = {
  "pub/sub": { ADAPTER: "pub-sub" },
  "sharded, static": { ADAPTER: "sharded", MODE: "static" },
  "sharded, dynamic": { ADAPTER: "sharded", MODE: "dynamic" },
  "sharded, dynamic-private": { ADAPTER: "sharded", MODE: "dynamic-private" },
  streams: { ADAPTER: "streams" },
};

/** Nodes of these kinds around one Redis, once they all know each other. */
export class Cluster {
  static async start(kinds, settings) {
    const cluster = new Cluster();
    cluster.redis = await RedisServer.start();
    cluster.nodes = [];
    try {
      for (const [i, kind] of kinds.entries()) {
        cluster.nodes.push(await Node.start(kind, `${kind} ${i}`, cluster.redis, settings));
      }
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async stop() {
    for (const node of this.nodes) await node.stop();
    await this.redis.stop();
  }
}
