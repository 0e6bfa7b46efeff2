// The page's own client, sockeye.js, in a real browser against the official server; and its codec against the official parser.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Server } from "socket.io";
import * as parser from "socket.io-parser";
import { NETWORK_ERRORS, closeWindows, launch, openWindow } from "./lib/browser.mjs";

const PAGE = new URL("../../examples/chat/page/", import.meta.url);
const { Decoder, encode } = await import(new URL("sockeye.js", PAGE));

const WAYS = { "by upgrade": ["polling", "websocket"], "over polling": ["polling"], "over websocket": ["websocket"] };

let browser, http, io, url;

const eventually = async (check, what) => {
  for (const end = Date.now() + 5000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) if (await check()) return;
  assert.fail(`waited 5000 ms for ${what}`);
};

/** The official server, with a blank page to run the client in. */
async function serve(port = 0, options = {}) {
  http = createServer(async (request, response) => {
    const script = /^\/(sockeye|engineio)\.js$/.exec(request.url) && (await readFile(new URL(request.url.slice(1), PAGE)));
    response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" }).end(script || "<!doctype html><link rel=icon href=data:,>");
  });
  io = new Server(http, { serveClient: false, ...options });
  await new Promise((resolve) => http.listen(port, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${http.address().port}/`;
}

/** A page with `open(options)` for a socket that is closed with the page, and `next(socket, event)` for the arguments of an event. */
async function openPage(options) {
  const page = await openWindow(browser, url, { ...options, allow: NETWORK_ERRORS });
  await page.evaluate(async () => {
    const { connect } = await import("/sockeye.js");
    window.open = (settings = {}, path = "/") => (window.socket = connect(path, { reconnectionDelay: 50, ...settings }));
    window.next = (emitter, event) => new Promise((resolve, reject) => {
      emitter.once(event, (...args) => resolve(args));
      setTimeout(() => reject(new Error(`waited for ${event}`)), 8000);
    });
  });
  return page;
}

before(async () => (browser = await launch()));
after(() => browser?.close());
beforeEach(() => serve());
afterEach(async () => {
  try {
    await closeWindows();
  } finally {
    await io.close();
  }
});

for (const [way, transports] of Object.entries(WAYS)) {
  describe(way, () => {
    it("connects, authenticates, and takes the transport", async () => {
      io.on("connection", (socket) => socket.emit("hello", socket.id, socket.handshake.auth));
      const page = await openPage();
      const result = await page.evaluate(async (wanted) => {
        const socket = open({ transports: wanted, auth: async () => ({ token: "é" }) });
        const connected = next(socket, "connect");
        const [id, auth] = await next(socket, "hello");
        await connected;
        if (socket.transport !== wanted.at(-1)) await next(socket.io, "transport");
        return { same: id === socket.id, auth, transport: socket.transport };
      }, transports);
      assert.deepEqual(result, { same: true, auth: { token: "é" }, transport: transports.at(-1) });
      const [socket] = await io.fetchSockets();
      await eventually(() => io.sockets.sockets.get(socket.id).conn.transport.name === transports.at(-1), "the server's transport");
    });

    it("keeps the order of many events in both directions, across the upgrade", async () => {
      const received = [];
      io.on("connection", (socket) => {
        socket.on("number", (n) => {
          received.push(n);
          socket.emit("number", n);
        });
      });
      const page = await openPage();
      const echoed = await page.evaluate(async (wanted) => {
        const socket = open({ transports: wanted });
        const numbers = [];
        socket.on("number", (n) => numbers.push(n));
        for (let n = 0; n < 300; n += 1) {
          socket.emit("number", n);
          if (n % 10 === 0) await new Promise((done) => setTimeout(done, 2));
        }
        while (numbers.length < 300) await new Promise((done) => setTimeout(done, 10));
        return numbers;
      }, transports);
      const expected = Array.from({ length: 300 }, (_, n) => n);
      assert.deepEqual(received, expected);
      assert.deepEqual(echoed, expected);
    });

    it("carries bytes anywhere in the arguments and in acknowledgements, both ways", async () => {
      let seen;
      io.on("connection", (socket) => {
        socket.on("bytes", (value, ack) => {
          seen = value;
          ack({ echo: value.deep[1].view, more: [Buffer.from([9])] }, Buffer.from("second"));
        });
        socket.on("ask me", async () => {
          const answers = await socket.timeout(4000).emitWithAck("question", { list: [Buffer.from([1, 2]), "text"] });
          socket.emit("result", answers);
        });
      });
      const page = await openPage();
      const result = await page.evaluate(async (wanted) => {
        const socket = open({ transports: wanted });
        const whole = new Uint8Array([0, 1, 2, 3, 4, 5, 255]);
        const value = { deep: [1, { view: whole.subarray(2, 5) }], twice: whole.buffer, empty: new Uint8Array(), text: "\u001eé\ud83d\ude00\n" };
        const args = await new Promise((resolve) => socket.emit("bytes", value, (...answer) => resolve(answer)));
        socket.on("question", ({ list }, ack) => ack({ got: new Uint8Array(list[0]), text: list[1] }));
        socket.emit("ask me");
        const [answer] = await next(socket, "result");
        const plain = (buffer) => [buffer instanceof ArrayBuffer, ...new Uint8Array(buffer)];
        return [plain(args[0].echo), plain(args[0].more[0]), plain(args[1]), plain(answer.got), answer.text];
      }, transports);
      assert.deepEqual(seen.deep[1].view, Buffer.from([2, 3, 4]));
      assert.deepEqual(seen.twice, Buffer.from([0, 1, 2, 3, 4, 5, 255]));
      assert.equal(seen.empty.length, 0);
      assert.equal(seen.text, "\u001eé\u{1f600}\n");
      assert.deepEqual(result, [[true, 2, 3, 4], [true, 9], [true, ...Buffer.from("second")], [true, 1, 2], "text"]);
    });

    it("reconnects when the connection is cut, and delivers what was emitted meanwhile", async () => {
      const received = [];
      io.on("connection", (socket) => socket.on("item", (item, ack) => (received.push(item), ack?.(item))));
      const page = await openPage();
      await page.evaluate(async (wanted) => {
        open({ transports: wanted, reconnectionDelay: 400 });
        await next(socket, "connect");
        window.first = socket.id;
        window.lost = next(socket, "disconnect");
      }, transports);
      const clients = () => Object.values(io.engine.clients);
      await eventually(() => clients().every(({ transport }) => transport.name === transports.at(-1)), "the upgrade");
      for (const client of clients()) client.close(true);
      const outcome = await page.evaluate(async () => {
        const [reason] = await window.lost;
        socket.emit("item", 1);
        socket.volatile.emit("item", "dropped");
        const answer = socket.emitWithAck("item", 2);
        const scheduled = socket.active;
        await next(socket, "connect");
        return { reason, scheduled, answer: await answer, other: socket.id !== window.first };
      });
      assert.deepEqual(received, [1, 2]);
      assert.match(outcome.reason, /^transport (close|error)$/);
      assert.deepEqual({ ...outcome, reason: 0 }, { reason: 0, scheduled: true, answer: 2, other: true });
    });

    it("leaves: the server hears it as a leave, and nothing reconnects", async () => {
      const gone = new Promise((resolve) => io.on("connection", (socket) => {
        socket.on("last", (ack) => ack());
        socket.on("disconnect", resolve);
      }));
      const page = await openPage();
      const states = await page.evaluate(async (wanted) => {
        open({ transports: wanted });
        await next(socket, "connect");
        const reason = next(socket, "disconnect");
        await socket.emitWithAck("last");
        socket.disconnect();
        return [...(await reason), socket.connected, socket.active, socket.id];
      }, transports);
      assert.deepEqual(states, ["io client disconnect", false, false, undefined]);
      assert.equal(await gone, "client namespace disconnect");
      await eventually(() => io.engine.clientsCount === 0, "the end of the session");
    });
  });
}

describe("acknowledgements", () => {
  it("time out, and are answered no more", async () => {
    io.on("connection", (socket) => socket.on("late", (ack) => setTimeout(ack, 300, "too late")));
    const page = await openPage();
    const answers = await page.evaluate(async () => {
      open();
      const calls = [];
      socket.timeout(100).emit("late", (...args) => calls.push(args.map(String)));
      const rejected = await socket.timeout(100).emitWithAck("late").catch((error) => error.message);
      await new Promise((done) => setTimeout(done, 500));
      return [calls, rejected];
    });
    assert.deepEqual(answers, [[["Error: operation has timed out"]], "operation has timed out"]);
  });

  it("fail when the connection is lost", async () => {
    io.on("connection", (socket) => socket.on("never", () => socket.conn.close()));
    const page = await openPage();
    const message = await page.evaluate(() => open().emitWithAck("never").catch((error) => error.message));
    assert.equal(message, "socket has been disconnected");
  });

  it("a timed-out event that was never sent is not sent later", async () => {
    const received = [];
    io.on("connection", (socket) => socket.onAny((event) => received.push(event)));
    const page = await openPage();
    await page.evaluate(async () => {
      open({ autoConnect: false });
      await socket.timeout(50).emitWithAck("stale").catch(() => {});
      socket.emit("fresh");
      socket.connect();
    });
    await eventually(() => received.length, "an event");
    assert.deepEqual(received, ["fresh"]);
  });
});

describe("refusals and ends", () => {
  it("tells message and data of a refusal, does not try again by itself, and asks `auth` anew", async () => {
    io.use((socket, next) => next(socket.handshake.auth.n === 2 ? undefined : Object.assign(new Error("no entry"), { data: { code: 7 } })));
    const page = await openPage();
    const outcome = await page.evaluate(async () => {
      let n = 0;
      open({ auth: () => ({ n: (n += 1) }) });
      const [error] = await next(socket, "connect_error");
      const first = [error.message, error.data, socket.active];
      await new Promise((done) => setTimeout(done, 200));
      const connected = next(socket, "connect");
      socket.connect();
      await connected;
      return [first, n];
    });
    assert.deepEqual(outcome, [["no entry", { code: 7 }, false], 2]);
  });

  it("a server that ends the connection is obeyed", async () => {
    io.on("connection", (socket) => socket.on("end me", () => socket.disconnect()));
    const page = await openPage();
    const outcome = await page.evaluate(async () => {
      open().emit("end me");
      const [reason] = await next(socket, "disconnect");
      await new Promise((done) => setTimeout(done, 200));
      return [reason, socket.active, socket.connected];
    });
    assert.deepEqual(outcome, ["io server disconnect", false, false]);
  });

  it("other namespaces work, unknown ones are refused", async () => {
    io.of("/admin").on("connection", (socket) => socket.on("who", (ack) => ack(socket.nsp.name)));
    const page = await openPage();
    const outcome = await page.evaluate(async () => {
      const name = await open({}, "/admin").emitWithAck("who");
      open({}, "/nowhere");
      const [error] = await next(socket, "connect_error");
      return [name, error.message];
    });
    assert.deepEqual(outcome, ["/admin", "Invalid namespace"]);
  });

  it("a listener that throws does not harm the connection", async () => {
    io.on("connection", (socket) => socket.on("echo", (value) => socket.emit("echo", value)));
    const page = await openWindow(browser, url, { allow: /./ });
    await page.evaluate(() => addEventListener("error", (event) => event.preventDefault()));
    const value = await page.evaluate(async () => {
      const { connect } = await import("/sockeye.js");
      const socket = connect();
      socket.once("echo", () => {
        window.reported = new Promise((resolve) => addEventListener("error", (event) => resolve(event.message)));
        throw new Error("of the listener");
      });
      socket.emit("echo", 1).emit("echo", 2);
      return new Promise((resolve) => socket.on("echo", (n) => n === 2 && resolve(n)));
    }).catch((error) => assert.fail(error));
    assert.equal(value, 2);
  });
});

describe("a bad line", () => {
  it("a silent server is noticed by the heartbeat", async () => {
    await io.close();
    await serve(0, { pingInterval: 200, pingTimeout: 200 });
    const page = await openPage();
    await page.evaluate(() => next(open(), "connect"));
    await page.waitForTimeout(900);
    assert.equal(await page.evaluate(() => socket.connected), true, "pings keep it alive");
    for (const client of Object.values(io.engine.clients)) client.sendPacket = () => {};
    const [reason] = await page.evaluate(() => next(socket, "disconnect"));
    assert.equal(reason, "ping timeout");
  });

  it("a WebSocket that never opens, is closed or swallows frames leaves the session on polling", async () => {
    io.on("connection", (socket) => socket.on("echo", (value, ack) => ack(value)));
    for (const handler of [(ws) => ws.close(), () => {}, (ws) => setTimeout(() => ws.send("nonsense"), 20)]) {
      const page = await openPage({ prepare: (window) => window.routeWebSocket(/socket\.io/, handler) });
      const outcome = await page.evaluate(async () => {
        open();
        const answers = [];
        for (let n = 0; n < 5; n += 1) {
          answers.push(await socket.timeout(3000).emitWithAck("echo", n));
          await new Promise((done) => setTimeout(done, 30));
        }
        return [answers, socket.transport];
      });
      assert.deepEqual(outcome, [[0, 1, 2, 3, 4], "polling"]);
    }
  });

  it("nonsense from the server ends the connection as a parse error, and a new one begins", async () => {
    for (const nonsense of ["7", "9", "2{}", "51-[]x", '51-["a",{"_placeholder":true,"num":7}]', '2["connect"]']) {
      let connections = 0;
      io.removeAllListeners("connection");
      io.on("connection", (socket) => {
        connections += 1;
        if (connections > 1) return;
        socket.on("go", () => socket.conn.transport.send([nonsense, Buffer.from("x")].map((data) => ({ type: "message", data }))));
      });
      const page = await openPage();
      const reason = await page.evaluate(async () => {
        await next(open({ transports: ["websocket"] }), "connect");
        socket.emit("go");
        const [why] = await next(socket, "disconnect");
        await next(socket, "connect");
        return why;
      });
      assert.equal(reason, "parse error", nonsense);
    }
  });

  it("bursts above maxPayload are split over several requests", async () => {
    const received = [];
    io.on("connection", (socket) => socket.on("part", (part, ack) => (received.push(part.length), ack())));
    const page = await openPage();
    await page.evaluate(async () => {
      open({ transports: ["polling"] });
      await next(socket, "connect");
      const text = "ü".repeat(180_000);
      await Promise.all([1, 2, 3, 4, 5, 6].map((n) => socket.emitWithAck("part", n % 2 ? text : new Uint8Array(700_000))));
    });
    assert.deepEqual(received, [180_000, 700_000, 180_000, 700_000, 180_000, 700_000]);
  });

  it("attempts come later and later, with jitter, up to the maximum", async () => {
    const page = await openPage();
    await page.evaluate(() => next(open({ reconnectionDelay: 40, reconnectionDelayMax: 200 }), "connect"));
    const { port } = http.address();
    const delays = page.evaluate(() => new Promise((resolve) => {
      const list = [];
      socket.io.on("reconnect_scheduled", ({ attempt, delay }) => {
        list.push([attempt, delay]);
        if (list.length === 6) resolve(list);
      });
    }));
    await io.close();
    for (const [attempt, delay] of await delays) {
      const expected = 40 * 2 ** (attempt - 1);
      assert.ok(delay >= Math.min(200, expected / 2) && delay <= Math.min(200, expected * 1.5), `attempt ${attempt}: ${delay} ms`);
    }
    await serve(port);
    await page.evaluate(() => socket.connected || next(socket, "connect"));
  });

  it("the browser's news about the network are used", async () => {
    const page = await openPage();
    await page.evaluate(() => next(open({ reconnectionDelay: 60_000, reconnectionDelayMax: 60_000 }), "connect"));
    const reason = page.evaluate(() => next(socket, "disconnect"));
    await page.context().setOffline(true);
    assert.deepEqual(await reason, ["transport close"]);
    await page.context().setOffline(false);
    await page.evaluate(() => socket.connected || next(socket, "connect"));
  });
});

describe("the codec and the official parser", () => {
  const packets = [
    { type: 0, data: { token: "x" } },
    { type: 0, namespace: "/admin" },
    { type: 1, namespace: "/admin" },
    { type: 2, data: ["hello", 1, null, { deep: ["é\u2028\u{1f600}"] }] },
    { type: 2, namespace: "/a/b", id: 0, data: ["with ack"] },
    { type: 2, data: ["12", "34-"], id: 1234 },
    { type: 3, id: 7, data: [] },
    { type: 2, data: ["bytes", Buffer.from([1, 2]), { deep: [Buffer.from([3])] }], id: 3 },
    { type: 3, namespace: "/x", id: 12, data: [Buffer.alloc(0)] },
  ];

  for (const packet of packets) {
    it(`agree on ${JSON.stringify(packet)}`, () => {
      const namespace = packet.namespace ?? "/";
      const ours = encode({ ...packet, namespace });
      const theirs = new parser.Encoder().encode({ ...packet, nsp: namespace });
      const comparable = (messages) => messages.map((message) => (typeof message === "string" ? message : Buffer.from(message)));
      assert.deepEqual(comparable(ours), comparable(theirs));
      const decoder = new Decoder();
      const decoded = theirs.map((message) => decoder.add(typeof message === "string" ? message : new Uint8Array(message).buffer)).filter(Boolean);
      const bytes = (value) => JSON.parse(JSON.stringify(value ?? null, (_key, inner) => (inner instanceof ArrayBuffer ? Buffer.from(inner).toJSON() : inner)));
      assert.deepEqual(bytes(decoded), bytes([{ type: packet.type, namespace, id: packet.id, data: packet.data }]));
    });
  }

  for (const bad of ["", "7", "x", "2", "2{}", '2[{}]', '2["connect"]', "3{}", "5[]", '5-["a"]', '21-["a"]', "2[", 'a2["x"]']) {
    it(`refuse ${JSON.stringify(bad)}`, () => assert.throws(() => new Decoder().add(bad)));
  }

  it("refuse attachments in the wrong place", () => {
    assert.throws(() => new Decoder().add(new ArrayBuffer(1)));
    const decoder = new Decoder();
    assert.equal(decoder.add('51-["a",{"_placeholder":true,"num":0}]'), null);
    assert.throws(() => decoder.add('2["b"]'));
    for (const num of ["1", "-1", '"length"', "0.5"]) {
      const other = new Decoder();
      other.add(`51-["a",{"_placeholder":true,"num":${num}}]`);
      assert.throws(() => other.add(new ArrayBuffer(1)), num);
    }
  });

  it("a placeholder that a user typed in a text packet is only data", () => {
    assert.deepEqual(new Decoder().add('2["a",{"_placeholder":true,"num":0}]').data, ["a", { _placeholder: true, num: 0 }]);
  });
});
