// Events with the official client: arguments, acknowledgements, binary data, order, size, text.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Observer, WAYS, answerTo, connect } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next, sleep } from "./lib/wait.mjs";

const TEXTS = {
  "text outside the basic plane": "\u{1f41f}\u{1f469}\u200d\u{1f680}\u{10ffff}",
  "text of every length in UTF-8": "aé€\u{1f41f}".repeat(50),
  "quotes, backslashes and control characters": '"\\/\b\f\n\r\t\u0000\u001f',
  "the separator of polling payloads": "a\x1eb\x1e",
  "line separators of JavaScript": "\u2028\u2029",
  "what looks like a packet": '42["echo"]\x1e40\x1eb',
  "an empty string": "",
};

describe("events", () => {
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
      async function echo(t, ...args) {
        const socket = await connect(t, server, options);
        const answer = next(socket, "echo");
        socket.emit("echo", ...args);
        return answer;
      }

      it("carries every kind of JSON value", async (t) => {
        const args = [0, -1.5, 1e300, 2 ** 53 - 1, true, false, null, "text", [], {}, [[[{ a: [{}] }]]], { "": { "/": 1 } }];
        assert.deepEqual(await echo(t, ...args), args);
      });

      it("carries an event without arguments, and one with many", async (t) => {
        assert.deepEqual(await echo(t), []);
        const many = Array.from({ length: 200 }, (_, i) => i);
        assert.deepEqual(await echo(t, ...many), many);
      });

      it("treats __proto__ and placeholder look-alikes as data", async (t) => {
        const args = [JSON.parse('{"__proto__":{"polluted":1},"constructor":2}'), { _placeholder: false, num: 0 }];
        const answer = await echo(t, ...args);
        assert.equal(JSON.stringify(answer), JSON.stringify(args));
        assert.equal({}.polluted, undefined);
      });

      for (const [name, text] of Object.entries(TEXTS)) {
        it(`carries ${name} in arguments and event names`, async (t) => {
          const socket = await connect(t, server, options);
          const answers = [next(socket, "echo"), next(socket, "caught")];
          socket.emit("echo", text, { [text]: text });
          socket.emit(`any-${text}`, text);
          assert.deepEqual(await answers[0], [text, { [text]: text }]);
          assert.deepEqual(await answers[1], [`any-${text}`, text]);
        });
      }

      it("answers acknowledgements of the client, each with its own arguments", async (t) => {
        const socket = await connect(t, server, options);
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, i) => socket.timeout(4000).emitWithAck("echo-ack", i)),
        );
        assert.deepEqual(answers, Array.from({ length: 50 }, (_, i) => i));
        const several = await answerTo(socket, "echo-ack", 1, { two: 2 }, null);
        assert.deepEqual(several, [1, { two: 2 }, null]);
        const none = await answerTo(socket, "echo-ack");
        assert.deepEqual(none, []);
      });

      it("lets the client's acknowledgement time out when nobody answers", async (t) => {
        const socket = await connect(t, server, options);
        await assert.rejects(socket.timeout(150).emitWithAck("nobody-listens", 1), /operation has timed out/);
        assert.equal(await socket.timeout(4000).emitWithAck("echo-ack", "next"), "next");
      });

      it("asks the client and hears its answer", async (t) => {
        const socket = await connect(t, server, options);
        socket.on("question", (value, answer) => answer({ doubled: value * 2 }));
        socket.emit("ask-me", 21, 4000);
        assert.deepEqual(await next(socket, "answer"), [null, { doubled: 42 }]);
      });

      it("asks many questions at once and matches each answer with its question", async (t) => {
        const socket = await connect(t, server, options);
        const answers = collect(socket, "answer");
        // Answers in the reverse order of the questions.
        const waiting = [];
        socket.on("question", (value, answer) => {
          waiting.push(() => answer(value));
          if (waiting.length === 20) waiting.reverse().forEach((reply) => reply());
        });
        for (let i = 0; i < 20; i++) socket.emit("ask-me", i, 4000);
        await eventually(() => answers.length === 20, "20 answers");
        assert.deepEqual(answers.map(([error]) => error), Array(20).fill(null));
        assert.deepEqual(answers.map(([, value]) => value).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
      });

      it("times out on the server when the client never answers, and ignores the late answer", async (t) => {
        const socket = await connect(t, server, options);
        let late;
        socket.on("question", (_, answer) => (late = answer));
        const answers = collect(socket, "answer");
        socket.emit("ask-me", 1, 150);
        await eventually(() => answers.length, "the time-out");
        assert.deepEqual(answers, [["timeout"]]);
        late("too late");
        assert.equal(await socket.timeout(4000).emitWithAck("echo-ack", "next"), "next");
        assert.equal(answers.length, 1);
      });

      it("answers nested questions from within an answer", async (t) => {
        const socket = await connect(t, server, options);
        socket.on("question", async (value, answer) => answer(await socket.timeout(4000).emitWithAck("echo-ack", value)));
        socket.emit("ask-me", "deep", 4000);
        assert.deepEqual(await next(socket, "answer"), [null, "deep"]);
      });

      it("carries binary data nested in objects and arrays, both ways", async (t) => {
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const args = [bytes, { list: [Buffer.from("second"), { third: Buffer.alloc(0) }] }, "text", [[bytes.subarray(3, 7)]]];
        assert.deepEqual(await echo(t, ...args), args);
      });

      it("carries ten attachments of different sizes", async (t) => {
        const args = Array.from({ length: 10 }, (_, i) => Buffer.alloc(i * 1000, i));
        assert.deepEqual(await echo(t, ...args), args);
      });

      it("acknowledges with binary data, both ways", async (t) => {
        const socket = await connect(t, server, options);
        const payload = { a: [Buffer.from([0, 255]), "é"], b: Buffer.from("b") };
        assert.deepEqual(await socket.timeout(4000).emitWithAck("echo-ack", payload), payload);
        socket.on("question", (value, answer) => answer({ got: value, more: Buffer.from([9]) }));
        socket.emit("ask-me", payload, 4000);
        assert.deepEqual(await next(socket, "answer"), [null, { got: payload, more: Buffer.from([9]) }]);
      });

      it("keeps the order of 1000 messages in each direction, binary ones among them", async (t) => {
        const socket = await connect(t, server, options);
        const echoes = collect(socket, "echo");
        const counts = collect(socket, "count");
        const sent = Array.from({ length: 1000 }, (_, i) => (i % 10 === 0 ? Buffer.from([i % 256, i >> 8]) : i));
        socket.emit("count", 1000);
        sent.forEach((value) => socket.emit("echo", value));
        await eventually(() => echoes.length >= 1000 && counts.length >= 1000, "2000 messages", 15_000);
        assert.deepEqual(echoes.flat(), sent);
        assert.deepEqual(counts.flat(), Array.from({ length: 1000 }, (_, i) => i));
      });

      it("hears events through the catch-all listener", async (t) => {
        const socket = await connect(t, server, options);
        socket.emit("any-thing", 1, { two: 2 }, Buffer.from([3]));
        assert.deepEqual(await next(socket, "caught"), ["any-thing", 1, { two: 2 }, Buffer.from([3])]);
      });

      if (has("socket middleware")) it("refuses events in the socket middleware", async (t) => {
        const socket = await connect(t, server, options);
        const leaks = collect(socket, "leaked");
        socket.emit("forbidden", 1);
        assert.deepEqual(await next(socket, "refused"), ["not allowed"]);
        await socket.timeout(4000).emitWithAck("echo-ack");
        assert.deepEqual(leaks, []);
      });

      it("carries a message just below maxHttpBufferSize, both ways", async (t) => {
        const socket = await connect(t, server, options);
        const text = "y".repeat(990_000);
        const answer = next(socket, "echo", 15_000);
        socket.emit("echo", text);
        assert.ok((await answer)[0] === text);
        socket.emit("big", 2_000_000);
        assert.equal((await next(socket, "big", 15_000))[0].length, 2_000_000);
      });

      it("closes the connection for a message above maxHttpBufferSize", async (t) => {
        const socket = await connect(t, server, options);
        const { id } = socket;
        const disconnect = next(socket, "disconnect");
        socket.emit("echo", "z".repeat(1_000_100));
        const [reason] = await disconnect;
        if (options.transports.length === 1 && options.transports[0] === "polling") {
          // The POST is answered 413, which makes the client give up; the server learns of that by the aborted poll.
          assert.equal(reason, "transport error");
        } else {
          assert.equal(reason, "transport close");
          assert.equal((await observer.disconnected(id)).reason, "transport error");
        }
      });

      it("delivers a volatile event when the transport can take it", async (t) => {
        const socket = await connect(t, server, options);
        await sleep(50);
        const answer = next(socket, "volatile");
        socket.emit("volatile", 1, "now");
        assert.deepEqual(await answer, [0, "now"]);
      });
    });
  }
});
