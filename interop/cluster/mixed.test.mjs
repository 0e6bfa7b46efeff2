// Two official servers and two of ours in one cluster: every operation from every node, on every adapter.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect } from "../js/lib/client.mjs";
import { collect, eventually, next, sleep } from "../js/lib/wait.mjs";
import { ADAPTERS, Cluster } from "./redis.mjs";

const KINDS = ["node", "rust", "node", "rust"];

/** How long nothing may arrive for it to count as nothing. */
const QUIET_MS = 200;

const VALUES = {
  text: ["é🐟", 1, -2.5, null, true, { a: [1, { b: "c" }], empty: {} }],
  // Four answers of these have fewer attachments than a packet may have.
  binary: [Buffer.from([0, 1, 255]), { deep: [Buffer.alloc(70_000, 7)], n: 2 }],
};

const ask = (socket, ...event) => socket.timeout(8000).emitWithAck(...event);

/** All arguments of an acknowledgement. */
function answers(socket, ...event) {
  return new Promise((resolve, reject) => {
    socket.timeout(8000).emit(...event, (error, ...args) => (error ? reject(error) : resolve(args)));
  });
}

for (const [adapter, settings] of Object.entries(ADAPTERS)) {
  for (const namespace of adapter === "pub/sub" ? ["/", "/chat"] : ["/chat"]) {
    describe(`${adapter}, namespace ${namespace}`, () => {
      let cluster;
      before(async () => (cluster = await Cluster.start(KINDS, settings)));
      after(() => cluster?.stop());

      /** A client of every node, who know each other. */
      async function clients(t) {
        const sockets = await Promise.all(
          cluster.nodes.map((node, i) =>
            connect(t, node, { namespace, transports: ["websocket"], extraHeaders: { "x-test": `client ${i}` } }),
          ),
        );
        for (const socket of sockets) {
          await eventually(async () => (await ask(socket, "server-count")) === KINDS.length, "the nodes to meet");
        }
        return sockets;
      }

      /** Runs something from each node. */
      async function fromEach(sockets, run) {
        for (const [i, socket] of sockets.entries()) await run(socket, i, cluster.nodes[i].name);
      }

      for (const [form, values] of Object.entries(VALUES)) {
        it(`broadcasts ${form} to everybody, once`, async (t) => {
          const sockets = await clients(t);
          const news = sockets.map((socket) => collect(socket, "news"));
          await fromEach(sockets, async (socket, i, name) => {
            await ask(socket, "emit", {}, "news", i, ...values);
            await eventually(() => news.every((received) => received.length > i), `the news of ${name}`);
          });
          await sleep(QUIET_MS);
          for (const received of news) assert.deepEqual(received, sockets.map((_, i) => [i, ...values]));
        });

        it(`broadcasts ${form} to rooms, but not to those excepted`, async (t) => {
          const sockets = await clients(t);
          const news = sockets.map((socket) => collect(socket, "news"));
          for (const i of [0, 1, 2]) await ask(sockets[i], "join", "room é");
          for (const i of [2, 3]) await ask(sockets[i], "join", "other");
          await sleep(QUIET_MS);
          await fromEach(sockets, async (socket, i) => {
            await ask(socket, "emit", { to: ["room é"] }, "news", "one", i, ...values);
            await ask(socket, "emit", { to: ["room é", "other"] }, "news", "both", i, ...values);
            await ask(socket, "emit", { to: ["room é"], except: ["other"] }, "news", "except", i, ...values);
            await ask(socket, "emit", { to: [sockets[3].id] }, "news", "id", i, ...values);
            await ask(socket, "emit", { except: [sockets[0].id, "other"] }, "news", "rest", i, ...values);
            const counts = [3, 4, 2, 2].map((count) => count * (i + 1));
            await eventually(() => news.every((received, at) => received.length >= counts[at]), `the news of ${i}`);
          });
          await sleep(QUIET_MS);
          const kinds = [["one", "both", "except"], ["one", "both", "except", "rest"], ["one", "both"], ["both", "id"]];
          for (const [at, received] of news.entries()) {
            const expected = sockets.flatMap((_, i) => kinds[at].map((kind) => [kind, i]));
            const got = received.map(([kind, i]) => [kind, i]);
            // One room and several may be different channels.
            assert.deepEqual(got.map(String).sort(), expected.map(String).sort());
            for (const [, , ...rest] of received) assert.deepEqual(rest, values);
          }
        });

        it(`collects acknowledgements with ${form}`, async (t) => {
          const sockets = await clients(t);
          sockets.forEach((socket, i) => socket.on("question", (...args) => args.pop()([i, ...args])));
          await ask(sockets[1], "join", "asked");
          await ask(sockets[2], "join", "asked");
          await fromEach(sockets, async (socket) => {
            const [failed, all] = await answers(socket, "ask", {}, 6000, "question", ...values);
            assert.equal(failed, false);
            assert.deepEqual(all.sort((a, b) => a[0] - b[0]), sockets.map((_, i) => [i, ...values]));
            const [, some] = await answers(socket, "ask", { to: ["asked"] }, 6000, "question", ...values);
            assert.deepEqual(some.sort((a, b) => a[0] - b[0]), [[1, ...values], [2, ...values]]);
            const [, none] = await answers(socket, "ask", { to: ["nobody"] }, 6000, "question", ...values);
            assert.deepEqual(none, []);
          });
        });

        it(`reports acknowledgements with ${form} that are missing`, async (t) => {
          const sockets = await clients(t);
          sockets.forEach((socket, i) => socket.on("question", (...args) => i === 2 || args.pop()(args[0])));
          await fromEach(sockets, async (socket) => {
            const [failed, all] = await answers(socket, "ask", {}, 1000, "question", ...values);
            assert.equal(failed, true);
            assert.deepEqual(all, [values[0], values[0], values[0]]);
          });
        });

        it(`sends servers events with ${form}`, async (t) => {
          const sockets = await clients(t);
          const hellos = sockets.map((socket) => collect(socket, "hello"));
          // The classic adapter of Node.js has only JSON for these, which makes objects of buffers.
          if (form === "binary" && settings.ADAPTER === "pub-sub") {
            for (const [i, node] of cluster.nodes.entries()) {
              if (node.kind === "rust") await ask(sockets[i], "server-emit", ...values);
            }
            await eventually(() => hellos.every((received, i) => received.length >= (i % 2 ? 1 : 2)), "the hellos");
            for (const received of hellos) for (const [, ...rest] of received) assert.deepEqual(rest, values);
            return;
          }
          await fromEach(sockets, (socket) => ask(socket, "server-emit", ...values));
          await eventually(() => hellos.every((received) => received.length >= KINDS.length - 1), "the hellos");
          await sleep(QUIET_MS);
          for (const [i, received] of hellos.entries()) {
            const expected = cluster.nodes.filter((_, other) => other !== i).map(() => [cluster.nodes[i].name, ...values]);
            assert.deepEqual(received, expected);
          }
        });
      }

      it("collects the answers of servers", async (t) => {
        const sockets = await clients(t);
        await fromEach(sockets, async (socket, _, name) => {
          const question = { text: "é" };
          const [failed, all] = await answers(socket, "server-ask", question);
          assert.equal(failed, false);
          const others = cluster.nodes.map((node) => node.name).filter((other) => other !== name);
          assert.deepEqual(all.sort(), others.map((other) => [other, question]).sort());
        });
      });

      it("fetches sockets with their rooms, data and handshake", async (t) => {
        const sockets = await clients(t);
        for (const [i, socket] of sockets.entries()) {
          await ask(socket, "data", { name: `é ${i}`, list: [i] });
          if (i > 0) await ask(socket, "join", "fetched");
        }
        const described = sockets.map((socket, i) => ({
          id: socket.id,
          rooms: (i > 0 ? [socket.id, "fetched"] : [socket.id]).sort(),
          data: { name: `é ${i}`, list: [i] },
          header: `client ${i}`,
        }));
        const byId = (a, b) => (a.id < b.id ? -1 : 1);
        await fromEach(sockets, async (socket) => {
          for (const [selection, expected] of [
            [{}, described],
            [{ to: ["fetched"] }, described.slice(1)],
            [{ to: ["fetched"], except: [sockets[3].id] }, described.slice(1, 3)],
            [{ to: ["nothing"] }, []],
          ]) {
            const [failed, found] = await answers(socket, "fetch", selection);
            assert.equal(failed, false);
            assert.deepEqual(found.sort(byId), [...expected].sort(byId));
          }
        });
      });

      it("makes the sockets of all servers join and leave", async (t) => {
        const sockets = await clients(t);
        const members = async (socket) => (await answers(socket, "fetch", { to: ["moved"] }))[1].map(({ id }) => id).sort();
        await fromEach(sockets, async (socket, i) => {
          await ask(socket, "sockets-join", { except: [sockets[0].id] }, "moved");
          const expected = sockets.slice(1).map(({ id }) => id).sort();
          await eventually(async () => String(await members(sockets[(i + 1) % 4])) === String(expected), "all to join");
          await ask(socket, "sockets-leave", { to: ["moved"] }, "moved");
          await eventually(async () => String(await members(sockets[(i + 1) % 4])) === "", "all to leave");
        });
      });

      it("disconnects the sockets of all servers", async (t) => {
        for (const close of [false, true]) {
          for (const i of KINDS.keys()) {
            const sockets = await clients(t);
            const ends = sockets.map((socket) => next(socket, "disconnect"));
            await ask(sockets[i], "disconnect-sockets", {}, close);
            for (const [reason] of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
          }
        }
      });

      it("knows the rooms of all servers", async (t) => {
        const sockets = await clients(t);
        for (const [i, socket] of sockets.entries()) await ask(socket, "join", `of ${i}`);
        const expected = sockets.flatMap((socket, i) => [socket.id, `of ${i}`]).sort();
        for (const [i, node] of cluster.nodes.entries()) {
          // Of the official adapters only the classic one has such a request.
          if (node.kind === "node" && settings.ADAPTER !== "pub-sub") continue;
          assert.deepEqual(await ask(sockets[i], "all-rooms"), expected);
        }
      });

      it("sends volatile events and those for one server only", async (t) => {
        const sockets = await clients(t);
        const news = sockets.map((socket) => collect(socket, "news"));
        await fromEach(sockets, async (socket, i) => {
          await ask(socket, "emit", { volatile: true }, "news", "volatile");
          await ask(socket, "emit", { local: true }, "news", "local");
          await eventually(() => news.every((received, at) => received.length >= i + 1 + (at <= i ? 1 : 0)), "the news");
        });
        await sleep(QUIET_MS);
        for (const received of news) {
          assert.equal(received.filter(([kind]) => kind === "volatile").length, 4);
          assert.equal(received.filter(([kind]) => kind === "local").length, 1);
        }
      });
    });
  }
}
