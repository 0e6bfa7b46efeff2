// The end of connections and their return, with the official client.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Observer, WAYS, also, connect, connected, open, upgraded } from "./lib/client.mjs";
import { breakableLink } from "./lib/proxy.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next, sleep, within } from "./lib/wait.mjs";

const RECONNECTING = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };

describe("disconnecting", () => {
  let server;
  let observer;
  before(async () => {
    server = await ServerUnderTest.start();
    observer = await Observer.connect(server);
  });
  after(async () => {
    observer.close();
    await server.stop();
  });

  for (const [way, options] of Object.entries(WAYS)) {
    describe(way, () => {
      it("by the server ends the namespace and brings no reconnection", async (t) => {
        const socket = await connect(t, server, { ...options, ...RECONNECTING });
        const { id } = socket;
        const attempts = collect(socket.io, "reconnect_attempt");
        socket.emit("kick");
        assert.deepEqual((await next(socket, "disconnect"))[0], "io server disconnect");
        assert.equal((await observer.disconnected(id)).reason, "server namespace disconnect");
        await sleep(300);
        assert.deepEqual(attempts, []);
        assert.equal(socket.connected, false);
      });

      it("by the server leaves the other namespaces of the connection alone", async (t) => {
        const first = await connect(t, server, options);
        const second = await also(t, first, "/chat");
        first.emit("kick");
        await next(first, "disconnect");
        assert.equal(await second.timeout(2000).emitWithAck("echo-ack", "alive"), "alive");
        first.connect();
        await connected(first);
      });

      it("of the whole connection by the server ends every namespace", async (t) => {
        const first = await connect(t, server, options);
        const second = await also(t, first, "/chat");
        const ids = [first.id, second.id];
        const ends = [next(first, "disconnect"), next(second, "disconnect")];
        first.emit("kick-hard");
        assert.deepEqual((await Promise.all(ends)).map(([reason]) => reason), Array(2).fill("io server disconnect"));
        for (const id of ids) assert.equal((await observer.disconnected(id)).reason, "server namespace disconnect");
        await eventually(() => first.io.engine.readyState === "closed", "the transport to close");
      });

      it("by the client ends the namespace on the server", async (t) => {
        const socket = await connect(t, server, options);
        const { id } = socket;
        const end = next(socket, "disconnect");
        socket.disconnect();
        assert.equal((await end)[0], "io client disconnect");
        assert.equal((await observer.disconnected(id)).reason, "client namespace disconnect");
      });

      it("of one namespace by the client leaves the others alone", async (t) => {
        const first = await connect(t, server, options);
        const second = await also(t, first, "/chat");
        const { id } = second;
        second.disconnect();
        assert.deepEqual(await observer.disconnected(id), {
          namespace: "/chat",
          reason: "client namespace disconnect",
          rooms: [id],
        });
        assert.equal(await first.timeout(2000).emitWithAck("echo-ack", "alive"), "alive");
      });

      it("by closing the transport is noticed by the server", async (t) => {
        const socket = await connect(t, server, options);
        const { id } = socket;
        socket.io.engine.close();
        assert.match((await observer.disconnected(id)).reason, /^transport (close|error)$/);
      });

      it("fails what still waits for an answer", async (t) => {
        const socket = await connect(t, server, options);
        const answer = assert.rejects(socket.timeout(10_000).emitWithAck("nobody-listens"), /socket has been disconnected/);
        socket.emit("kick");
        await within(answer, "the failure");
      });
    });
  }
});

describe("heartbeat", () => {
  let server;
  let observer;
  before(async () => {
    server = await ServerUnderTest.start({ PING_INTERVAL: 150, PING_TIMEOUT: 400 });
    observer = await Observer.connect(server);
  });
  after(async () => {
    observer.close();
    await server.stop();
  });

  for (const [way, options] of Object.entries(WAYS)) {
    it(`keeps an idle connection for many cycles: ${way}`, async (t) => {
      const socket = await connect(t, server, options);
      const ends = collect(socket, "disconnect");
      const pings = collect(socket.io, "ping");
      await sleep(1500);
      assert.deepEqual(ends, []);
      assert.ok(pings.length >= 4, `${pings.length} pings`);
      assert.equal(await socket.timeout(2000).emitWithAck("echo-ack", "alive"), "alive");
    });

    it(`keeps a busy connection for many cycles: ${way}`, async (t) => {
      const socket = await connect(t, server, options);
      const ends = collect(socket, "disconnect");
      const stop = Date.now() + 1500;
      while (Date.now() < stop) {
        await socket.timeout(2000).emitWithAck("echo-ack", Buffer.alloc(100));
        await sleep(5);
      }
      assert.deepEqual(ends, []);
    });
  }

  it("drops a client whose network goes silent", async (t) => {
    const link = await breakableLink(t, server);
    const socket = open(t, link, WAYS.websocket);
    await connected(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    link.sockets.forEach((connection) => connection.pause());
    assert.equal((await end)[0], "ping timeout");
    assert.equal((await observer.disconnected(id)).reason, "ping timeout");
  });
});

describe("reconnecting", () => {
  for (const [way, options] of Object.entries(WAYS)) {
    it(`after the server was killed and started again on its port: ${way}`, async (t) => {
      const server = await ServerUnderTest.start();
      t.after(() => server.kill());
      const socket = await connect(t, server, { ...options, ...RECONNECTING });
      const before = socket.id;
      const end = next(socket, "disconnect");
      await server.kill();
      assert.match((await end)[0], /^transport (close|error)$/);
      socket.emit("echo", "buffered while away");
      const back = next(socket, "connect", 10_000);
      const echo = next(socket, "echo", 10_000);
      await sleep(200);
      await server.startAgain();
      await back;
      assert.notEqual(socket.id, before);
      assert.deepEqual(await echo, ["buffered while away"]);
      assert.equal(await socket.timeout(2000).emitWithAck("echo-ack", "alive"), "alive");
      if (options.transports.length === 2) await upgraded(socket);
    });

    it(`after an orderly shutdown, which ends with status 0: ${way}`, async (t) => {
      const server = await ServerUnderTest.start();
      t.after(() => server.kill());
      const socket = await connect(t, server, { ...options, ...RECONNECTING });
      const end = next(socket, "disconnect");
      const started = Date.now();
      assert.equal(await server.stop(), 0);
      assert.ok(Date.now() - started < 2000, "shut down within 2 seconds");
      assert.match((await end)[0], /^transport (close|error)$/);
      const back = next(socket, "connect", 10_000);
      await server.startAgain();
      await back;
    });

    it(`after the network broke, again and again: ${way}`, async (t) => {
      const server = await ServerUnderTest.start();
      t.after(() => server.kill());
      const link = await breakableLink(t, server);
      const socket = await connect(t, link, { ...options, ...RECONNECTING });
      const observer = await Observer.connect(server);
      t.after(() => observer.close());
      for (let round = 0; round < 5; round++) {
        const { id } = socket;
        const back = next(socket, "connect");
        await sleep(20);
        link.cut();
        assert.match((await observer.disconnected(id)).reason, /^transport (close|error)$/);
        await back;
        assert.equal(await socket.timeout(2000).emitWithAck("echo-ack", round), round);
      }
    });
  }

  it("brings 200 clients back after a restart", async (t) => {
    const server = await ServerUnderTest.start();
    t.after(() => server.kill());
    const sockets = await Promise.all(
      Array.from({ length: 200 }, (_, i) => connect(t, server, { ...RECONNECTING, transports: [i % 4 ? "websocket" : "polling"] })),
    );
    await server.kill();
    await eventually(() => sockets.every((socket) => !socket.connected), "all clients to notice");
    await server.startAgain();
    await eventually(() => sockets.every((socket) => socket.connected), "all clients to come back", 20_000);
    const answers = await Promise.all(sockets.map((socket, i) => socket.timeout(5000).emitWithAck("echo-ack", i)));
    assert.deepEqual(answers, Array.from(sockets.keys()));
  });
});
