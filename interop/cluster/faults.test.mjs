// What happens when Redis or a server fails.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { connect } from "../js/lib/client.mjs";
import { collect, eventually, sleep } from "../js/lib/wait.mjs";
import { ADAPTERS, Cluster } from "./redis.mjs";

const ask = (socket, ...event) => socket.timeout(15_000).emitWithAck(...event);

function answers(socket, ...event) {
  return new Promise((resolve, reject) => {
    socket.timeout(15_000).emit(...event, (error, ...args) => (error ? reject(error) : resolve(args)));
  });
}

/** Emits numbers until it is told to stop, and says how many. */
function traffic(socket) {
  let count = 0;
  const timer = setInterval(() => socket.emit("emit", {}, "number", count++, () => {}), 5);
  return () => (clearInterval(timer), count);
}

const ascends = (numbers) => numbers.every((number, i) => i === 0 || number > numbers[i - 1]);

for (const [adapter, settings] of Object.entries(ADAPTERS)) {
  if (adapter === "sharded, static" || adapter === "sharded, dynamic-private") continue;
  describe(adapter, () => {
    let cluster;
    beforeEach(async () => (cluster = await Cluster.start(["rust", "rust", "node"], settings)));
    afterEach(() => cluster?.stop());

    async function clients(t) {
      const sockets = await Promise.all(cluster.nodes.map((node) => connect(t, node, { transports: ["websocket"] })));
      for (const socket of sockets) {
        await eventually(async () => (await ask(socket, "server-count")) === cluster.nodes.length, "the nodes to meet");
      }
      return sockets;
    }

    it("comes back when Redis restarts under traffic", async (t) => {
      const sockets = await clients(t);
      const received = sockets.map((socket) => collect(socket, "number"));
      const stop = traffic(sockets[0]);
      await sleep(300);
      await cluster.redis.kill();
      await eventually(async () => !(await ask(sockets[0], "redis")).ready, "the outage to be noticed");
      const started = Date.now();
      const [failed] = await answers(sockets[0], "fetch", {});
      assert.equal(failed, true, "a fetch without Redis is an error");
      assert.ok(Date.now() - started < 2000, "and one at once");
      await cluster.redis.startAgain();
      for (const socket of sockets.slice(0, 2)) {
        await eventually(async () => (await ask(socket, "redis")).ready, "Redis to be back", 10_000);
      }
      // The official server has a back-off of its own.
      await eventually(async () => (await ask(sockets[0], "server-count")) === 3, "all to be back", 20_000);
      await sleep(300);
      const before = received.map((numbers) => numbers.length);
      await sleep(300);
      const count = stop();
      await eventually(() => received.every((numbers) => numbers.at(-1)?.[0] === count - 1), "the last number", 10_000);
      for (const [i, numbers] of received.entries()) {
        assert.ok(ascends(numbers.map(([number]) => number)), `node ${i}: once and in order`);
        const tail = numbers.slice(before[i]).map(([number]) => number);
        assert.equal(tail.at(-1) - tail[0], tail.length - 1, `node ${i}: everything arrives again`);
      }
      const { outages, lost } = await ask(sockets[0], "redis");
      assert.ok(outages >= 1);
      t.diagnostic(`${count} sent, ${received.map((numbers) => numbers.length)} arrived, ${lost} known to be lost`);
    });

    it("loses nothing when Redis stalls for some seconds", async (t) => {
      const sockets = await clients(t);
      const received = sockets.map((socket) => collect(socket, "number"));
      const stop = traffic(sockets[0]);
      await sleep(200);
      cluster.redis.suspend();
      await sleep(3000);
      // The server itself is not held up.
      await ask(sockets[0], "join", "meanwhile");
      cluster.redis.resume();
      await sleep(200);
      const count = stop();
      await eventually(() => received.every((numbers) => numbers.length >= count), "all numbers", 10_000);
      for (const numbers of received) {
        assert.deepEqual(numbers.map(([number]) => number), Array.from({ length: count }, (_, i) => i));
      }
      const { outages, lost, dropped } = await ask(sockets[0], "redis");
      assert.deepEqual({ outages, lost, dropped }, { outages: 0, lost: 0, dropped: 0 });
    });

    it("ends a fetch without the server that dies meanwhile, with the answers of the others", async (t) => {
      const sockets = await clients(t);
      cluster.nodes[1].suspend();
      const fetching = answers(sockets[0], "fetch", {});
      await sleep(200);
      await cluster.nodes[1].kill();
      const [failed, found] = await fetching;
      assert.equal(failed, true);
      assert.deepEqual(found.map(({ id }) => id).sort(), [sockets[0].id, sockets[2].id].sort());
      // Redis knows that it is gone, so nobody waits for it any more.
      const [again, rest] = await answers(sockets[0], "fetch", {});
      assert.equal(again, false);
      assert.equal(rest.length, 2);
    });

    it("ends a broadcast without the server that dies meanwhile, with the answers of the others", async (t) => {
      const sockets = await clients(t);
      sockets.forEach((socket, i) => socket.on("question", (answer) => answer(i)));
      cluster.nodes[1].suspend();
      const asking = answers(sockets[0], "ask", {}, 2000, "question");
      await sleep(200);
      await cluster.nodes[1].kill();
      const [failed, found] = await asking;
      assert.equal(failed, true);
      assert.deepEqual(found.sort(), [0, 2]);
      assert.deepEqual((await answers(sockets[0], "ask", {}, 5000, "question")).flat(), [false, 0, 2]);
    });

    it("waits for a slow server, which holds up nobody else", async (t) => {
      const sockets = await clients(t);
      const received = sockets.map((socket) => collect(socket, "number"));
      cluster.nodes[1].suspend();
      const fetching = answers(sockets[0], "fetch", {});
      await ask(sockets[0], "emit", {}, "number", 1);
      await eventually(() => received[0].length === 1 && received[2].length === 1, "the others to get it", 1000);
      await sleep(1500);
      cluster.nodes[1].resume();
      const [failed, found] = await fetching;
      assert.equal(failed, false);
      assert.equal(found.length, 3);
      await eventually(() => received[1].length === 1, "the slow one to get it");
    });

    it("drops what no server sends, counts it, and goes on", async (t) => {
      const sockets = await clients(t);
      const client = await cluster.redis.client();
      t.after(() => client.destroy());
      const garbage = [
        "", "{", "{}", "null", "\u00c1", '{"type":3}', '{"uid":"x","nsp":"/","type":3,"data":{}}', '{"uid":"x","type":5}',
        '{"uid":"x","nsp":"/","type":99,"data":{}}', `{"type":6,"data":${"[".repeat(50_000)}`, '{"requestId":"x","sockets":3}',
      ].map((text) => Buffer.from(text, "latin1"));
      garbage.push(Buffer.from([0xdd, 255, 255, 255, 255]), Buffer.alloc(20_000, 0x91), Buffer.alloc(2 << 20, 0x7b));
      const before = (await ask(sockets[1], "redis")).malformed;
      for (const message of garbage) {
        if (settings.ADAPTER === "pub-sub") {
          for (const channel of ["socket.io#/#", "socket.io-request#/#", "socket.io-response#/#"]) {
            // The official server ends when this one cannot be decoded.
            if (channel === "socket.io#/#" && cluster.nodes[2].kind === "node") await cluster.nodes[2].kill();
            await client.publish(channel, message);
          }
        } else if (settings.ADAPTER === "sharded") {
          await client.sPublish("socket.io#/#", message);
        } else {
          await client.publish("socket.io#/#", message);
          await client.xAdd("socket.io", "*", { uid: "x", nsp: "/", type: "3", data: message });
          await client.xAdd("socket.io", "*", { other: message });
        }
      }
      // Longer than what is accepted; two of them would be more than Redis keeps for a subscriber.
      const publish = settings.ADAPTER === "sharded" ? "sPublish" : "publish";
      await client[publish]("socket.io#/#", Buffer.alloc(17 << 20, 0x7b));
      await eventually(async () => (await ask(sockets[1], "redis")).malformed > before + 10, "it to be counted");
      const received = collect(sockets[1], "number");
      await ask(sockets[0], "emit", {}, "number", 1);
      await eventually(() => received.length === 1, "an event to arrive");
      assert.equal((await ask(sockets[1], "redis")).ready, true);
    });
  });
}
