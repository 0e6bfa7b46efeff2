// Processes that are no servers: the official emitter with ours, and ours with official servers.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Emitter } from "@socket.io/redis-emitter";
import { connect } from "../js/lib/client.mjs";
import { collect, eventually, next, sleep } from "../js/lib/wait.mjs";
import { ADAPTERS, Cluster } from "./redis.mjs";

const QUIET_MS = 200;
const VALUES = ["é", 1, null, { a: [Buffer.from([0, 255])] }];

const ask = (socket, ...event) => socket.timeout(8000).emitWithAck(...event);

/** The official emitter: only the classic adapter has one. */
async function official(t, cluster, namespace) {
  const client = await cluster.redis.client();
  t.after(() => client.destroy());
  const emitter = new Emitter(client).of(namespace);
  const select = ({ to = [], except = [] }) => except.reduce((all, room) => all.except(room), emitter.in(to));
  return {
    emit: (selection, ...event) => select(selection).emit(...event),
    join: (selection, room) => select(selection).socketsJoin(room),
    leave: (selection, room) => select(selection).socketsLeave(room),
    disconnect: (selection) => select(selection).disconnectSockets(),
    serverEmit: (...args) => emitter.serverSideEmit("hello", ...args),
  };
}

/** Ours, in the process of the last node. */
async function ours(t, cluster, namespace) {
  const socket = await connect(t, cluster.nodes.at(-1), { namespace, transports: ["websocket"] });
  return {
    emit: (...args) => ask(socket, "emitter-emit", ...args),
    join: (...args) => ask(socket, "emitter-join", ...args),
    leave: (...args) => ask(socket, "emitter-leave", ...args),
    disconnect: (...args) => ask(socket, "emitter-disconnect", ...args),
    serverEmit: (...args) => ask(socket, "emitter-server-emit", ...args),
  };
}

for (const [adapter, make] of [
  ["pub/sub", official],
  ["pub/sub", ours],
  ["streams", ours],
]) {
  for (const namespace of ["/", "/chat"]) {
    describe(`${make.name} emitter, ${adapter}, namespace ${namespace}`, () => {
      let cluster;
      before(async () => (cluster = await Cluster.start(["node", "rust", "node", "rust"], ADAPTERS[adapter])));
      after(() => cluster?.stop());

      async function start(t) {
        const sockets = await Promise.all(
          cluster.nodes.map((node) => connect(t, node, { namespace, transports: ["websocket"] })),
        );
        for (const socket of sockets) await eventually(async () => (await ask(socket, "server-count")) === 4, "the nodes");
        return [sockets, await make(t, cluster, namespace)];
      }

      it("emits to everybody, to rooms, and to all but some", async (t) => {
        const [sockets, emitter] = await start(t);
        const news = sockets.map((socket) => collect(socket, "news"));
        for (const i of [0, 1]) await ask(sockets[i], "join", "room");
        await sleep(QUIET_MS);
        await emitter.emit({}, "news", "all", ...VALUES);
        await emitter.emit({ to: ["room"] }, "news", "room", ...VALUES);
        await emitter.emit({ to: ["room", sockets[3].id], except: [sockets[0].id] }, "news", "except", ...VALUES);
        const expected = [["all", "room"], ["all", "room", "except"], ["all"], ["all", "except"]];
        await eventually(() => news.every((received, i) => received.length >= expected[i].length), "the news");
        await sleep(QUIET_MS);
        for (const [i, received] of news.entries()) {
          assert.deepEqual(received.map(([kind]) => kind).sort(), [...expected[i]].sort());
          for (const [, ...values] of received) assert.deepEqual(values, VALUES);
        }
      });

      it("moves sockets, and disconnects them", async (t) => {
        const [sockets, emitter] = await start(t);
        const members = async () => {
          const [, found] = await new Promise((resolve) => sockets[0].emit("fetch", { to: ["moved"] }, (...args) => resolve(args)));
          return found.map(({ id }) => id).sort();
        };
        await emitter.join({ to: sockets.map(({ id }) => id), except: [sockets[0].id] }, "moved");
        const expected = sockets.slice(1).map(({ id }) => id).sort();
        await eventually(async () => String(await members()) === String(expected), "three to join");
        await emitter.leave({ to: [sockets[1].id] }, "moved");
        await eventually(async () => (await members()).length === 2, "one to leave");
        const ends = [2, 3].map((i) => next(sockets[i], "disconnect"));
        await emitter.disconnect({ to: ["moved"] });
        for (const [reason] of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
        assert.ok(sockets[1].connected);
      });

      it("sends events to the servers themselves", async (t) => {
        const [sockets, emitter] = await start(t);
        const hellos = sockets.map((socket) => collect(socket, "hello"));
        await emitter.serverEmit("é", 1);
        await eventually(() => hellos.every((received) => received.length > 0), "the hellos");
        await sleep(QUIET_MS);
        assert.deepEqual(hellos, cluster.nodes.map(({ name }) => [[name, "é", 1]]));
      });
    });
  }
}
