// Starts nginx and HAProxy with the configurations of docs/deployment, on free ports and in front of other servers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../js/lib/wait.mjs";

const CONFIGURATIONS = new URL("../../docs/deployment/", import.meta.url);

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** A proxy with a configuration of the documentation. `nodes` stand for its two servers. */
export class Proxy {
  static async start(configuration, nodes) {
    const proxy = new Proxy();
    proxy.port = await freePort();
    proxy.folder = await mkdtemp(join(tmpdir(), "balancer-"));
    // nginx drops its privileges, and its workers write here.
    await chmod(proxy.folder, 0o777);
    const text = await readFile(new URL(configuration, CONFIGURATIONS), "utf8");
    const moved = substitute(text, [
      ["127.0.0.1:3001", `127.0.0.1:${nodes[0].port}`],
      ["127.0.0.1:3002", `127.0.0.1:${nodes[1].port}`],
    ]);
    await (configuration.startsWith("nginx") ? proxy.#nginx(moved) : proxy.#haproxy(moved));
    await eventually(() => accepts(proxy.port), `${configuration} to listen\n${proxy.diagnostics}`, 10_000);
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop() {
    running.delete(this.child);
    if (this.child.exitCode === null) {
      // For both of them: close everything and go.
      this.child.kill("SIGTERM");
      await this.exited;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  async #nginx(text) {
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    const temporary = paths.map((name) => `${name}_temp_path ${this.folder}/${name};`).join("\n");
    const file = join(this.folder, "nginx.conf");
    await writeFile(
      file,
      substitute(text, [
        ["worker_processes auto;", "worker_processes 1;"],
        ["worker_rlimit_nofile 200000;", ""],
        ["worker_connections 65536;", "worker_connections 512;"],
        ["listen 80;", `listen 127.0.0.1:${this.port};`],
        ["http {", `http {\naccess_log off;\n${temporary}`],
      ]),
    );
    const always = `daemon off; pid ${this.folder}/pid; error_log stderr;`;
    await this.#launch("nginx", ["-p", this.folder, "-c", file, "-g", always]);
  }

  async #haproxy(text) {
    const file = join(this.folder, "haproxy.cfg");
    await writeFile(
      file,
      substitute(text, [
        ["maxconn 100000", "maxconn 200"],
        ["bind :80", `bind 127.0.0.1:${this.port}`],
      ]),
    );
    await this.#launch("haproxy", ["-db", "-f", file]);
  }

  async #launch(command, options) {
    const child = spawn(command, options, { stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    this.exited = once(child, "exit");
    this.diagnostics = "";
    const note = (text) => (this.diagnostics += text);
    child.stdout.setEncoding("utf8").on("data", note);
    child.stderr.setEncoding("utf8").on("data", note);
    running.add(child);
    await Promise.race([once(child, "spawn"), once(child, "error").then(([error]) => Promise.reject(error))]);
  }
}

/** Replaces what must be there, so that a configuration that changes does not escape the test. */
function substitute(text, replacements) {
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`the configuration has no "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function accepts(port) {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
