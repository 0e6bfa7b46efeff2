// Starts and stops the chat: the command line in CHAT_SERVER, or the Node mock.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MOCK = fileURLToPath(new URL("../mock-server.mjs", import.meta.url));
const START_MS = Number(process.env.CHAT_START_MS ?? 20_000);

const running = new Set();
process.on("exit", () => running.forEach((server) => server.signal("SIGKILL")));

export class ChatServer {
  static async start() {
    const server = new ChatServer();
    await server.#launch(0);
    return server;
  }

  /** Ends the server without a farewell. */
  async kill() {
    this.signal("SIGKILL");
    await this.exited;
    running.delete(this);
  }

  /** Starts it again on the port it had. */
  async startAgain() {
    await this.#launch(Number(new URL(this.url).port));
  }

  /** To the whole process group: the command may be a shell or cargo. */
  signal(name) {
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // it has ended already
    }
  }

  async #launch(port) {
    const command = process.env.CHAT_SERVER?.trim().split(/\s+/) ?? [process.execPath, MOCK];
    const child = (this.child = spawn(command[0], command.slice(1), {
      env: { ...process.env, PORT: String(port) },
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    }));
    running.add(this);
    this.exited = new Promise((resolve) => child.once("exit", resolve));
    this.url = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${command.join(" ")} printed no address in ${START_MS} ms`)), START_MS);
      const settle = (how) => (value) => (clearTimeout(timer), how(value));
      createInterface({ input: child.stdout }).on("line", (line) => {
        const address = /http:\/\/127\.0\.0\.1:\d+\//.exec(line)?.[0];
        if (address) settle(resolve)(address);
      });
      child.once("error", settle(reject));
      child.once("exit", settle((status) => reject(new Error(`${command.join(" ")} ended with ${status} before it printed its address`))));
    });
  }
}
