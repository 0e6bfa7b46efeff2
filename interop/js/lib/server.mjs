// Starts and stops the server under test (see CONTRACT.md).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const START_MS = 10_000;
const STOP_MS = 5_000;

const running = new Set();
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));
process.on("exit", () => running.forEach((server) => server.child.kill("SIGKILL")));

export class ServerUnderTest {
  /** Starts the server with the given settings (environment variables of the contract). */
  static async start(settings = {}) {
    const server = new ServerUnderTest();
    server.settings = settings;
    await server.#launch(0);
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Shuts the server down in an orderly way and returns its exit status. */
  async stop() {
    return this.#end("SIGTERM");
  }

  /** Ends the server without a farewell. */
  async kill() {
    return this.#end("SIGKILL");
  }

  /** Starts the server again on the port it had. */
  async startAgain() {
    await this.#launch(this.port);
  }

  async #launch(port) {
    const path = process.env.SERVER_UNDER_TEST;
    if (!path) throw new Error("SERVER_UNDER_TEST must name the server to test, see CONTRACT.md");
    const command = path.endsWith(".mjs") ? [process.execPath, path] : [path];
    const settings = Object.fromEntries(Object.entries(this.settings).map(([name, value]) => [name, String(value)]));
    const child = spawn(command[0], command.slice(1), {
      env: { ...process.env, ...settings, PORT: String(port) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    this.exited = once(child, "exit").then(([status]) => status);
    this.diagnostics = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (this.diagnostics += text));
    running.add(this);
    this.port = await this.#announcedPort();
  }

  async #announcedPort() {
    const lines = createInterface({ input: this.child.stdout });
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error("the server under test did not announce its port")), START_MS);
        lines.on("line", (line) => {
          const match = /^listening 127\.0\.0\.1:(\d+)$/.exec(line);
          if (match) resolve(Number(match[1]));
        });
        this.child.on("error", reject);
        this.exited.then((status) => reject(new Error(`the server under test ended with ${status}\n${this.diagnostics}`)), reject);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #end(signal) {
    if (!running.delete(this)) return this.exited;
    const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    if (this.alive) this.child.kill(signal);
    const status = await this.exited;
    clearTimeout(timer);
    return status;
  }
}
