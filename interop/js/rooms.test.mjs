// Rooms and broadcasting with the official client.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Observer, WAYS, answerTo, connect } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next } from "./lib/wait.mjs";

const ask = (socket, ...args) => socket.timeout(4000).emitWithAck(...args);

describe("rooms", () => {
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
      /** Three sockets with their `news`: a in room 1, b in rooms 1 and 2, c in room 2. Room names are the test's own. */
      async function three(t) {
        const rooms = [`1 of ${way} ${t.name}`, `2 of ${way} ${t.name}`];
        const [a, b, c] = await Promise.all([0, 1, 2].map(() => connect(t, server, options)));
        for (const socket of [a, b, c]) socket.news = collect(socket, "news");
        await Promise.all([ask(a, "join", rooms[0]), ask(c, "join", rooms[1])]);
        await ask(b, "join", rooms[0]);
        await ask(b, "join", rooms[1]);
        return { a, b, c, rooms };
      }

      /** Who received what, after every socket has had the time to receive more. */
      async function received(...sockets) {
        await Promise.all(sockets.map((socket) => ask(socket, "echo-ack")));
        return sockets.map((socket) => socket.news.flat());
      }

      it("puts every socket into the room of its own id", async (t) => {
        const [a, b] = [await connect(t, server, options), await connect(t, server, options)];
        const news = [collect(a, "news"), collect(b, "news")];
        a.emit("broadcast", { from: "io", to: [b.id] }, "private");
        await eventually(() => news[1].length, "the message");
        await ask(a, "echo-ack");
        assert.deepEqual(news, [[], [["private"]]]);
      });

      it("joins and leaves", async (t) => {
        const socket = await connect(t, server, options);
        const room = `own ${way}`;
        assert.deepEqual(await ask(socket, "join", room), [socket.id, room].sort());
        assert.deepEqual(await ask(socket, "join", room), [socket.id, room].sort());
        assert.deepEqual(await ask(socket, "sockets-in", room), [socket.id]);
        assert.deepEqual(await ask(socket, "leave", room), [socket.id]);
        assert.deepEqual(await ask(socket, "leave", room), [socket.id]);
        assert.deepEqual(await ask(socket, "sockets-in", room), []);
      });

      it("sends to the sockets of a room only", async (t) => {
        const { a, b, c, rooms } = await three(t);
        c.emit("broadcast", { from: "io", to: [rooms[0]] }, "hello");
        await ask(c, "echo-ack");
        assert.deepEqual(await received(a, b, c), [["hello"], ["hello"], []]);
      });

      it("sends once to a socket that is in two of the rooms", async (t) => {
        const { a, b, c, rooms } = await three(t);
        a.emit("broadcast", { from: "io", to: rooms }, "once");
        await ask(a, "echo-ack");
        assert.deepEqual(await received(a, b, c), [["once"], ["once"], ["once"]]);
      });

      it("leaves out the sender and the excepted room", async (t) => {
        const { a, b, c, rooms } = await three(t);
        a.emit("broadcast", { from: "socket", to: rooms }, "not to a");
        a.emit("broadcast", { from: "io", to: rooms, except: [rooms[1]] }, "only a");
        a.emit("broadcast", { from: "io", to: rooms, except: [b.id] }, "not b");
        await ask(a, "echo-ack");
        assert.deepEqual(await received(a, b, c), [["only a", "not b"], ["not to a"], ["not to a", "not b"]]);
      });

      it("sends to everybody, and to everybody else", async (t) => {
        const { a, b, c } = await three(t);
        a.emit("broadcast", { from: "io" }, "all");
        a.emit("broadcast", { from: "socket" }, "others");
        await ask(a, "echo-ack");
        assert.deepEqual(await received(a, b, c), [["all"], ["all", "others"], ["all", "others"]]);
      });

      it("sends nothing to a room without sockets", async (t) => {
        const { a, b, c } = await three(t);
        a.emit("broadcast", { from: "io", to: [`nobody ${way}`] }, "lost");
        await ask(a, "echo-ack");
        assert.deepEqual(await received(a, b, c), [[], [], []]);
      });

      it("broadcasts binary data, and keeps the order", async (t) => {
        const { a, b, c, rooms } = await three(t);
        const payload = { bytes: Buffer.from([1, 2, 3]), list: [Buffer.from("x")] };
        for (let i = 0; i < 50; i++) a.emit("broadcast", { from: "io", to: [rooms[0]] }, i % 5 ? i : payload);
        await ask(a, "echo-ack");
        const expected = Array.from({ length: 50 }, (_, i) => (i % 5 ? i : payload));
        assert.deepEqual(await received(a, b, c), [expected, expected, []]);
      });

      if (has("acknowledgements of broadcasts")) it("asks a whole room and gathers the answers", async (t) => {
        const { a, b, c, rooms } = await three(t);
        a.on("question", (value, answer) => answer(`a${value}`));
        b.on("question", (value, answer) => answer(`b${value}`));
        const result = await answerTo(c, "ask-room", rooms[0], 7, 4000);
        assert.deepEqual(result, [false, ["a7", "b7"]]);
      });

      if (has("acknowledgements of broadcasts")) it("tells of a time-out with the partial answers of a room", async (t) => {
        const { a, c, rooms } = await three(t);
        a.on("question", (value, answer) => answer(value));
        const result = await answerTo(c, "ask-room", rooms[0], 7, 300);
        assert.deepEqual(result, [true, [7]]);
      });

      if (has("acknowledgements of broadcasts")) it("asks an empty room and gets an empty answer at once", async (t) => {
        const socket = await connect(t, server, options);
        const started = Date.now();
        const result = await answerTo(socket, "ask-room", `nobody ${way}`, 7, 4000);
        assert.deepEqual(result, [false, []]);
        assert.ok(Date.now() - started < 3000);
      });

      it("makes all sockets of a room join and leave another", async (t) => {
        const { a, b, c, rooms } = await three(t);
        const other = `other ${way}`;
        await ask(c, "sockets-join", rooms[0], other);
        assert.deepEqual(await ask(c, "sockets-in", other), [a.id, b.id].sort());
        await ask(c, "sockets-leave", rooms[1], other);
        assert.deepEqual(await ask(c, "sockets-in", other), [a.id]);
      });

      it("disconnects all sockets of a room", async (t) => {
        const { a, b, c, rooms } = await three(t);
        const reasons = [next(a, "disconnect"), next(b, "disconnect")];
        c.emit("disconnect-room", rooms[0]);
        assert.deepEqual((await Promise.all(reasons)).map(([reason]) => reason), Array(2).fill("io server disconnect"));
        assert.deepEqual(await ask(c, "sockets-in", rooms[1]), [c.id]);
      });

      it("leaves its rooms when it disconnects, but not before `disconnecting`", async (t) => {
        const { a, b, c, rooms } = await three(t);
        const { id } = b;
        b.disconnect();
        const report = await observer.disconnected(id);
        assert.deepEqual(report, { namespace: "/", reason: "client namespace disconnect", rooms: [id, ...rooms].sort() });
        assert.deepEqual(await ask(c, "sockets-in", rooms[0]), [a.id]);
        assert.deepEqual(await ask(c, "sockets-in", rooms[1]), [c.id]);
      });
    });
  }

  it("broadcasts from one transport to all others", async (t) => {
    const sockets = await Promise.all(Object.values(WAYS).map((options) => connect(t, server, options)));
    const news = sockets.map((socket) => collect(socket, "news"));
    await Promise.all(sockets.map((socket) => ask(socket, "join", "mixed")));
    const payload = ["é\u{1f41f}\x1e", Buffer.from([0x1e, 0, 255])];
    for (const socket of sockets) socket.emit("broadcast", { from: "io", to: ["mixed"] }, ...payload);
    await eventually(() => news.every((list) => list.length === 3), "three messages each");
    for (const list of news) assert.deepEqual(list, [payload, payload, payload]);
  });
});
