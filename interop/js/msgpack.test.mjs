// The official client with the official msgpack parser.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import parser from "socket.io-msgpack-parser";
import { WAYS, also, answerTo, connect, connected, open } from "./lib/client.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next } from "./lib/wait.mjs";

const bytes = (value) => Buffer.from(value.buffer ?? value, value.byteOffset ?? 0, value.byteLength);

describe("msgpack parser", () => {
  let server;
  before(async () => {
    server = await ServerUnderTest.start({ PARSER: "msgpack" });
  });
  after(() => server.stop());

  for (const [way, transports] of Object.entries(WAYS)) {
    const options = { ...transports, parser };

    describe(way, () => {
      async function echo(t, ...args) {
        const socket = await connect(t, server, options);
        const answer = next(socket, "echo");
        socket.emit("echo", ...args);
        return answer;
      }

      it("carries every kind of JSON value", async (t) => {
        const args = [0, -1.5, 1.5e-300, 2 ** 53 - 1, -(2 ** 40), true, false, null, "text", [], {}, [[[{ a: [{}] }]]], { "": { "/": 1 } }];
        assert.deepEqual(await echo(t, ...args), args);
      });

      it("carries numbers, texts and arrays of every width", async (t) => {
        const numbers = [127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1];
        const texts = [31, 32, 255, 256, 65535, 65536].map((n) => "é".repeat(n / 2) + "x");
        const arrays = [15, 16, 65535, 65536].map((n) => new Array(n).fill(7));
        const objects = [15, 16].map((n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`key${i}`, i])));
        assert.deepEqual(await echo(t, numbers, texts, arrays, objects), [numbers, texts, arrays, objects]);
      });

      it("carries what JSON has no form for", async (t) => {
        const date = new Date(1795526440123);
        const answer = await echo(t, undefined, date, { deep: [undefined, date] }, NaN, -Infinity);
        assert.deepEqual(answer, [undefined, date, { deep: [undefined, date] }, NaN, -Infinity]);
      });

      it("carries bytes anywhere in the arguments", async (t) => {
        const [buffer, { deep: [typed, empty] }, long] = await echo(
          t,
          Buffer.from([1, 2, 3]),
          { deep: [new Uint8Array([4, 5]), Buffer.alloc(0)] },
          Buffer.alloc(70_000, 7),
        );
        assert.deepEqual(bytes(buffer), Buffer.from([1, 2, 3]));
        assert.deepEqual(bytes(typed), Buffer.from([4, 5]));
        assert.equal(empty.byteLength, 0);
        assert.deepEqual(bytes(long), Buffer.alloc(70_000, 7));
      });

      it("carries events without arguments and with many", async (t) => {
        assert.deepEqual(await echo(t), []);
        const many = Array.from({ length: 200 }, (_, i) => i);
        assert.deepEqual(await echo(t, ...many), many);
      });

      it("answers acknowledgements of the client and of the server", async (t) => {
        const socket = await connect(t, server, options);
        assert.deepEqual(await answerTo(socket, "echo-ack", 1, { two: Buffer.from([2]) }, null), [1, { two: Buffer.from([2]) }, null]);
        assert.deepEqual(await answerTo(socket, "echo-ack"), []);
        const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => socket.timeout(4000).emitWithAck("echo-ack", i)));
        assert.deepEqual(answers, Array.from({ length: 300 }, (_, i) => i));
        socket.on("question", (value, ack) => ack(value * 2));
        const answer = next(socket, "answer");
        socket.emit("ask-me", 21, 2000);
        assert.deepEqual(await answer, [null, 42]);
        socket.off("question");
        const late = next(socket, "answer");
        socket.emit("ask-me", 21, 50);
        assert.deepEqual(await late, ["timeout"]);
      });

      it("joins namespaces and is refused by them", async (t) => {
        const socket = await connect(t, server, options);
        const chat = await also(t, socket, "/chat");
        assert.notEqual(chat.id, socket.id);
        await connect(t, server, { ...options, namespace: "/admin", auth: { token: "secret" } });
        const dynamic = await also(t, socket, "/dynamic-7");
        const answer = next(dynamic, "echo");
        dynamic.emit("echo", "there");
        assert.deepEqual(await answer, ["there"]);
        const unknown = socket.io.socket("/unknown");
        const [error] = await next(unknown, "connect_error");
        assert.equal(error.message, "Invalid namespace");
        unknown.disconnect();
        const stranger = open(t, server, { ...options, namespace: "/admin", auth: { token: "guess" } });
        const [refusal] = await next(stranger, "connect_error");
        assert.equal(refusal.message, "unauthorized");
        assert.deepEqual(refusal.data, { status: 401, hint: "token" });
      });

      it("tells the server what the client sent as auth", async (t) => {
        const auth = { text: "é", number: 1.5, nested: [{ a: null }] };
        const socket = open(t, server, { ...options, auth });
        const welcome = next(socket, "welcome");
        await connected(socket);
        const [{ namespace, auth: seen }] = await welcome;
        assert.equal(namespace, "/");
        assert.deepEqual(seen, auth);
      });

      it("reaches rooms, each socket once", async (t) => {
        const [first, second] = await Promise.all([connect(t, server, options), connect(t, server, options)]);
        const news = [collect(first, "news"), collect(second, "news")];
        const room = `room of ${first.id}`;
        await answerTo(first, "join", room);
        second.emit("broadcast", { from: "io", to: [room, first.id] }, "text", Buffer.from([1]));
        await eventually(() => news[0].length, "the news");
        await answerTo(second, "echo-ack");
        assert.deepEqual(news[0], [["text", Buffer.from([1])]]);
        assert.deepEqual(news[1], []);
      });

      it("is disconnected by the server, and disconnects", async (t) => {
        const socket = await connect(t, server, options);
        const reason = next(socket, "disconnect");
        socket.emit("kick");
        assert.equal((await reason)[0], "io server disconnect");
        const other = await connect(t, server, options);
        other.disconnect();
        assert.equal(other.connected, false);
      });
    });
  }

  it("does not let clients in that speak JSON", async (t) => {
    const socket = open(t, server, { transports: ["websocket"] });
    const closed = new Promise((resolve) => socket.io.on("close", resolve));
    await closed;
    assert.equal(socket.connected, false);
  });
});
