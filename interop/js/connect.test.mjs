// Connecting with the official client: transports, upgrade, authentication, namespaces.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { WAYS, also, connect, connected, open, upgraded } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { slowWebSockets } from "./lib/proxy.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next, sleep } from "./lib/wait.mjs";

describe("connecting", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start()));
  after(() => server.stop());

  for (const [way, options] of Object.entries(WAYS)) {
    describe(way, () => {
      it("reaches the default namespace", async (t) => {
        const socket = open(t, server, options);
        const welcome = next(socket, "welcome");
        await connected(socket);
        assert.deepEqual(await welcome, [{ namespace: "/", auth: {}, recovered: false }]);
        assert.match(socket.id, /^[\w-]{20}$/);
        assert.notEqual(socket.id, socket.io.engine.id, "the Engine.IO session id is a secret");
      });

      it("reaches a custom namespace", async (t) => {
        const socket = open(t, server, { ...options, namespace: "/chat" });
        assert.equal((await next(socket, "welcome"))[0].namespace, "/chat");
      });

      if (has("dynamic namespaces")) it("reaches a child of a dynamic namespace", async (t) => {
        const socket = open(t, server, { ...options, namespace: "/dynamic-42" });
        assert.equal((await next(socket, "welcome"))[0].namespace, "/dynamic-42");
      });

      it("is told that an unknown namespace is invalid, and can then use another", async (t) => {
        const socket = open(t, server, { ...options, namespace: "/unknown" });
        const [error] = await next(socket, "connect_error");
        assert.equal(error.message, "Invalid namespace");
        assert.equal(error.data, undefined);
        await also(t, socket, "/chat");
        assert.equal(socket.connected, false);
      });

      it("hands over the authentication data", async (t) => {
        const auth = { token: "secret", nested: { list: [1, null, "é"] } };
        const socket = open(t, server, { ...options, namespace: "/admin", auth });
        assert.deepEqual(await next(socket, "welcome"), [{ namespace: "/admin", auth, recovered: false }]);
      });

      it("is refused by the middleware with message and data", async (t) => {
        const socket = open(t, server, { ...options, namespace: "/admin", auth: { token: "wrong" } });
        const welcomes = collect(socket, "welcome");
        const [error] = await next(socket, "connect_error");
        assert.equal(error.message, "unauthorized");
        assert.deepEqual(error.data, { status: 401, hint: "token" });
        assert.equal(socket.connected, false);

        socket.auth = (answer) => answer({ token: "secret" });
        socket.connect();
        await connected(socket);
        await eventually(() => welcomes.length === 1, "one welcome");
      });

      it("shows headers, query and address of the handshake", async (t) => {
        const socket = await connect(t, server, {
          ...options,
          extraHeaders: { "x-test": "a header" },
          query: { test: "a=b&c é" },
        });
        assert.deepEqual(await socket.timeout(2000).emitWithAck("handshake"), {
          header: "a header",
          query: "a=b&c é",
          address: "127.0.0.1",
        });
      });
    });
  }

  it("stays on polling when only polling is allowed", async (t) => {
    const socket = await connect(t, server, WAYS.polling);
    await socket.timeout(2000).emitWithAck("echo-ack", 1);
    assert.equal(socket.io.engine.transport.name, "polling");
  });

  it("never polls when only WebSocket is allowed", async (t) => {
    const socket = await connect(t, server, WAYS.websocket);
    assert.equal(socket.io.engine.transport.name, "websocket");
  });

  for (const delay of [0, 20, 120]) {
    it(`loses, doubles and reorders nothing while the transport is upgraded, ${delay} ms slow`, async (t) => {
      const link = await slowWebSockets(t, server, delay);
      const socket = open(t, link);
      const echoes = collect(socket, "echo");
      const counts = collect(socket, "count");
      await connected(socket);
      const { engine } = socket.io;
      // With a slow WebSocket the upgrade is still under way, so that both directions are busy across all of it.
      if (delay > 0) assert.equal(engine.transport.name, "polling");
      const upgrade = upgraded(socket);
      let sent = 0;
      let atUpgrade;
      upgrade.then(() => (atUpgrade = sent));
      while (atUpgrade === undefined) {
        socket.emit("echo", sent++);
        socket.emit("count", 3);
        await sleep(1);
      }
      for (let i = 0; i < 100; i++) socket.emit("echo", sent++);
      await eventually(() => echoes.length >= sent && counts.length >= 3 * (sent - 100), "all messages");
      assert.equal(engine.transport.name, "websocket");
      if (delay > 0) assert.ok(atUpgrade > 1, "messages were sent before the upgrade");
      assert.deepEqual(echoes.flat(), Array.from({ length: sent }, (_, i) => i));
      assert.deepEqual(counts.flat(), Array.from({ length: 3 * (sent - 100) }, (_, i) => i % 3));
    });
  }

  it("carries two namespaces over one connection", async (t) => {
    const first = await connect(t, server, WAYS.websocket);
    const second = await also(t, first, "/chat");
    assert.equal(first.io, second.io);
    assert.notEqual(first.id, second.id);

    const seenByFirst = collect(first, "echo");
    const seenBySecond = collect(second, "echo");
    first.emit("echo", "to /");
    second.emit("echo", "to /chat");
    await eventually(() => seenByFirst.length && seenBySecond.length, "both echoes");
    assert.deepEqual(seenByFirst, [["to /"]]);
    assert.deepEqual(seenBySecond, [["to /chat"]]);

    second.disconnect();
    assert.deepEqual(await first.timeout(2000).emitWithAck("echo-ack", "alone"), "alone");
  });

  it("keeps rooms of the same name in two namespaces apart", async (t) => {
    const first = await connect(t, server, WAYS.websocket);
    const second = await connect(t, server, { ...WAYS.websocket, namespace: "/chat" });
    await first.timeout(2000).emitWithAck("join", "shared");
    await second.timeout(2000).emitWithAck("join", "shared");
    const leaked = collect(second, "news");
    first.emit("broadcast", { from: "io", to: ["shared"] }, "only /");
    assert.deepEqual(await next(first, "news"), ["only /"]);
    await second.timeout(2000).emitWithAck("echo-ack");
    assert.deepEqual(leaked, []);
  });

  it("lets a socket connect again after it left the namespace", async (t) => {
    const first = await connect(t, server, WAYS.websocket);
    const second = await also(t, first, "/chat");
    const before = second.id;
    second.disconnect();
    second.connect();
    await connected(second);
    assert.notEqual(second.id, before);
  });

  for (const transport of ["polling", "websocket"]) {
    it(`is refused by allowRequest over ${transport}`, async (t) => {
      const socket = open(t, server, { transports: [transport], extraHeaders: { "x-refuse": "not today" } });
      const [error] = await next(socket, "connect_error");
      assert.match(error.message, transport === "polling" ? /xhr poll error/ : /websocket error/);
    });
  }
});
