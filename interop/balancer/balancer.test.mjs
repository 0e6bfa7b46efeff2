// Two servers behind nginx and HAProxy, with the configurations of docs/deployment.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, describe, it } from "node:test";
import { connect, connected, open, upgraded } from "../js/lib/client.mjs";
import { ServerUnderTest } from "../js/lib/server.mjs";
import { collect, eventually } from "../js/lib/wait.mjs";
import { Proxy } from "./proxies.mjs";

const RECONNECTING = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500, timeout: 5000 };

// Whatever the hash, not all of these are on one of two servers.
const ADDRESSES = Array.from({ length: 16 }, (_, i) => `127.0.1.${10 * i + 1}`);

const byCookie = () => ({ withCredentials: true });
// No kept connections: HAProxy closes a reused one without an answer when its server is gone, as RFC 9112 §9.3.1 lets it,
// and the XMLHttpRequest of Node.js then waits for ever. Browsers ask again.
const byAddress = (i) => ({ agent: new Agent({ localAddress: ADDRESSES[i] }) });

const STICKY = {
  "nginx-cookie.conf": byCookie,
  "nginx-hash.conf": byAddress,
  "haproxy-cookie.cfg": byCookie,
  "haproxy-hash.cfg": byAddress,
};

/** Tells which of the nodes has a socket, by a room that every client joins. */
async function nodesOf(probes) {
  const nodes = new Map();
  for (const [node, probe] of probes.entries()) {
    if (!probe.connected) continue;
    for (const id of await probe.timeout(2000).emitWithAck("sockets-in", "clients")) nodes.set(id, node);
  }
  return nodes;
}

async function talk(socket) {
  for (let i = 0; i < 10; i++) assert.equal(await socket.timeout(5000).emitWithAck("echo-ack", i), i);
}

function behind(configuration) {
  const context = {};
  before(async () => {
    context.nodes = [await ServerUnderTest.start(), await ServerUnderTest.start()];
    context.proxy = await Proxy.start(configuration, context.nodes);
  });
  after(async () => {
    await context.proxy?.stop();
    for (const node of context.nodes) await node.stop();
  });
  return context;
}

for (const [configuration, stay] of Object.entries(STICKY)) {
  describe(configuration, () => {
    const context = behind(configuration);

    it("keeps every polling client on one server, and uses both", async (t) => {
      const { proxy, nodes } = context;
      const probes = await Promise.all(nodes.map((node) => connect(t, node, { transports: ["websocket"] })));
      const clients = await Promise.all(
        ADDRESSES.map((_, i) => connect(t, proxy, { transports: ["polling"], ...stay(i) })),
      );
      const ends = clients.map((client) => collect(client, "disconnect"));
      await Promise.all(clients.map((client) => client.emitWithAck("join", "clients")));
      await Promise.all(clients.map(talk));
      const found = await nodesOf(probes);
      const where = clients.map((client) => found.get(client.id));
      assert.deepEqual(new Set(where), new Set([0, 1]));
      assert.deepEqual(ends.flat(), []);
    });

    it("upgrades a client on the server where it is", async (t) => {
      for (let i = 0; i < 4; i++) {
        const client = await connect(t, context.proxy, stay(i));
        assert.equal(client.io.engine.transport.name, "websocket");
        await talk(client);
      }
    });

    it("moves the clients of a server that is gone and leaves the others alone", async (t) => {
      const { proxy, nodes } = context;
      const probes = await Promise.all(nodes.map((node) => connect(t, node, { transports: ["websocket"] })));
      const ways = [{ transports: ["polling"] }, {}];
      const clients = await Promise.all(
        ADDRESSES.map(async (_, i) => {
          const client = open(t, proxy, { ...RECONNECTING, ...ways[i % 2], ...stay(i) });
          await connected(client);
          if (i % 2 === 1) await upgraded(client);
          return client;
        }),
      );
      await Promise.all(clients.map((client) => client.emitWithAck("join", "clients")));
      const before = await nodesOf(probes);
      const lost = clients.filter((client) => before.get(client.id) === 0);
      const kept = clients.filter((client) => before.get(client.id) === 1);
      assert.ok(lost.length > 0 && kept.length > 0);
      const ends = kept.map((client) => collect(client, "disconnect"));
      const ids = lost.map((client) => client.id);

      await nodes[0].kill();
      try {
        await eventually(
          () => lost.every((client, i) => client.connected && client.id !== ids[i]),
          "the clients to move",
          20_000,
        );
        await Promise.all(lost.map((client) => client.emitWithAck("join", "clients")));
        await Promise.all(clients.map(talk));
        const moved = await nodesOf(probes.slice(1));
        for (const client of clients) assert.ok(moved.has(client.id));
        assert.deepEqual(ends.flat(), []);
      } finally {
        await nodes[0].startAgain();
      }
    });
  });
}

describe("nginx-websocket.conf", () => {
  const context = behind("nginx-websocket.conf");

  it("serves clients that use WebSocket only, on both servers", async (t) => {
    const { proxy, nodes } = context;
    const probes = await Promise.all(nodes.map((node) => connect(t, node, { transports: ["websocket"] })));
    const clients = [];
    for (let i = 0; i < 8; i++) clients.push(await connect(t, proxy, { transports: ["websocket"] }));
    await Promise.all(clients.map((client) => client.emitWithAck("join", "clients")));
    await Promise.all(clients.map(talk));
    const found = await nodesOf(probes);
    assert.deepEqual(new Set(clients.map((client) => found.get(client.id))), new Set([0, 1]));
  });

  it("does not keep polling clients where they are, as they would need", async (t) => {
    const client = open(t, context.proxy, { transports: ["polling"] });
    const errors = collect(client, "connect_error");
    const ends = collect(client, "disconnect");
    await eventually(() => errors.length + ends.length > 0, "the second server to refuse the session of the first");
  });
});
