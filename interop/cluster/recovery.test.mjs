// Clients that lose their connection and come back on another server, official or ours.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { connect } from "../js/lib/client.mjs";
import { breakableLink } from "../js/lib/proxy.mjs";
import { collect, eventually, next, sleep } from "../js/lib/wait.mjs";
import { ADAPTERS, Cluster } from "./redis.mjs";

const MOVING = {
  transports: ["websocket"],
  reconnection: true,
  reconnectionDelay: 150,
  reconnectionDelayMax: 200,
  randomizationFactor: 0,
};

const ask = (socket, ...event) => socket.timeout(8000).emitWithAck(...event);

/** The client hands the offset over as an additional argument. */
const withoutOffset = (args) => args.slice(0, -1);

/** Before its first event a client has no place in the stream to come back to. */
async function first(other, socket) {
  const arrived = next(socket, "first");
  await ask(other, "emit", {}, "first");
  await arrived;
}

describe("recovery over streams", () => {
  let cluster;
  beforeEach(async () => (cluster = await Cluster.start(["rust", "node", "rust"], { ...ADAPTERS.streams, RECOVERY: "1" })));
  afterEach(() => cluster?.stop());

  /** A client that can be moved, and one that stays on each server. */
  async function start(t, namespace) {
    const target = { port: cluster.nodes[0].port };
    const link = await breakableLink(t, target);
    const socket = await connect(t, link, { ...MOVING, namespace });
    const others = await Promise.all(
      cluster.nodes.map((node) => connect(t, node, { namespace, transports: ["websocket"] })),
    );
    for (const other of others) await eventually(async () => (await ask(other, "server-count")) === 3, "the nodes to meet");
    const moveTo = async (i) => {
      const end = next(socket, "disconnect");
      target.port = cluster.nodes[i].port;
      link.cut();
      await end;
    };
    return { socket, others, moveTo };
  }

  for (const namespace of ["/", "/chat"]) {
    it(`brings id, rooms, data and missed events to every server, namespace ${namespace}`, async (t) => {
      const { socket, others, moveTo } = await start(t, namespace);
      await ask(socket, "join", "room é");
      await ask(socket, "data", { name: "é" });
      await first(others[0], socket);
      const { id } = socket;
      const news = collect(socket, "news");
      let sent = 0;
      for (const to of [2, 1, 0, 1, 2, 0]) {
        const back = next(socket, "connect");
        await moveTo(to);
        for (const other of others) {
          await ask(other, "emit", { to: ["room é"] }, "news", sent++, Buffer.from([sent]));
          await ask(other, "emit", { to: ["another"] }, "news", "another room");
          await ask(other, "emit", { to: ["room é"], except: [id] }, "news", "excepted");
          await ask(other, "emit", { volatile: true }, "news", "volatile");
        }
        await back;
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        assert.equal(await ask(socket, "status"), true);
        await eventually(() => news.filter(([n]) => typeof n === "number").length >= sent, "what was missed");
        const [, found] = await new Promise((resolve) => others[1].emit("fetch", { to: [id] }, (...args) => resolve(args)));
        assert.deepEqual(found.map(({ rooms, data }) => [rooms, data]), [[[id, "room é"].sort(), { name: "é" }]]);
      }
      const numbers = news.filter(([n]) => n !== "volatile");
      assert.deepEqual(numbers.map(withoutOffset), Array.from({ length: sent }, (_, i) => [i, Buffer.from([i + 1])]));
    });
  }

  it("loses and doubles nothing while a client moves under traffic", async (t) => {
    const { socket, others, moveTo } = await start(t, "/");
    await first(others[0], socket);
    const news = collect(socket, "news");
    const { id } = socket;
    let sent = 0;
    const timer = setInterval(() => others[sent % 3 === 0 ? 0 : 2].emit("emit", {}, "news", sent++, () => {}), 4);
    try {
      for (let round = 0; round < 12; round++) {
        const back = next(socket, "connect");
        await moveTo([2, 0][round % 2]);
        await back;
        assert.equal(socket.recovered, true, `round ${round}`);
        await sleep(50);
      }
    } finally {
      clearInterval(timer);
    }
    await eventually(() => news.length >= sent, "all events");
    await ask(socket, "status");
    const numbers = news.map(([n]) => n);
    // Two senders are not ordered among each other, but each is within itself.
    assert.deepEqual([...numbers].sort((a, b) => a - b), Array.from({ length: sent }, (_, i) => i));
    for (const own of [(n) => n % 3 === 0, (n) => n % 3 !== 0]) {
      const of = numbers.filter(own);
      assert.deepEqual(of, [...of].sort((a, b) => a - b));
    }
    assert.equal(socket.id, id);
    t.diagnostic(`${sent} events, 12 moves`);
  });

  it("starts anew when the stream has forgotten the offset", async (t) => {
    const { socket, others, moveTo } = await start(t, "/");
    await first(others[0], socket);
    const client = await cluster.redis.client();
    t.after(() => client.destroy());
    const back = next(socket, "connect");
    await moveTo(2);
    await client.xTrim("socket.io", "MAXLEN", 0);
    await back;
    assert.equal(socket.recovered, false);
    assert.equal(await ask(socket, "status"), false);
  });
});
