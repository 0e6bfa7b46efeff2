// Clients of the past: Engine.IO 3 and Socket.IO 2, and polling by JSONP.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import { answerTo } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { PollingSession, RawWebSocket, query, request } from "./lib/raw.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next, sleep } from "./lib/wait.mjs";

const io2 = createRequire(import.meta.url)("socket.io-client-2");

const WAYS = {
  polling: { transports: ["polling"] },
  "polling, base64 only": { transports: ["polling"], forceBase64: true },
  websocket: { transports: ["websocket"] },
  "polling, upgraded": { transports: ["polling", "websocket"] },
};

if (has("Engine.IO 3 and JSONP")) describe("a Socket.IO 2 client", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ ALLOW_EIO3: "1", PING_INTERVAL: 300, PING_TIMEOUT: 600 })));
  after(() => server.stop());

  for (const [way, options] of Object.entries(WAYS)) {
    describe(way, () => {
      async function connect(t, namespace = "/") {
        const socket = io2(server.url + namespace, { ...options, forceNew: true, reconnection: false });
        t.after(() => socket.close());
        socket.welcome = next(socket, "welcome");
        await next(socket, "connect");
        if (options.transports.length === 2 && socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
        return socket;
      }

      it("connects and is welcomed", async (t) => {
        const socket = await connect(t);
        assert.equal((await socket.welcome)[0].namespace, "/");
        assert.equal(socket.io.engine.transport.name, options.transports.at(-1));
      });

      it("connects to a namespace, its query becomes the authentication data", async (t) => {
        const socket = await connect(t, "/chat?x=1");
        assert.deepEqual((await socket.welcome)[0], { namespace: "/chat", auth: { x: "1" }, recovered: false });
      });

      it("echoes text and binary data", async (t) => {
        const socket = await connect(t);
        const args = ["é€\u{1f41f}", { bytes: Buffer.from([0, 1, 255]), list: [Buffer.from("x")] }, "a\x1eb"];
        const echo = next(socket, "echo");
        socket.emit("echo", ...args);
        assert.deepEqual(await echo, args);
      });

      it("asks and is asked", async (t) => {
        const socket = await connect(t);
        const answer = await answerTo(socket, "echo-ack", "é", Buffer.from([7]));
        assert.deepEqual(answer, ["é", Buffer.from([7])]);
        socket.on("question", (value, reply) => reply(value + 1));
        socket.emit("ask-me", 1, 4000);
        assert.deepEqual(await next(socket, "answer"), [null, 2]);
      });

      it("keeps the order of 300 messages", async (t) => {
        const socket = await connect(t);
        const echoes = collect(socket, "echo");
        for (let i = 0; i < 300; i++) socket.emit("echo", i % 7 ? i : `é${i}`);
        await eventually(() => echoes.length >= 300, "300 echoes");
        assert.deepEqual(echoes.flat(), Array.from({ length: 300 }, (_, i) => (i % 7 ? i : `é${i}`)));
      });

      it("stays through many heartbeats", async (t) => {
        const socket = await connect(t);
        const ends = collect(socket, "disconnect");
        await sleep(1500);
        assert.deepEqual(ends, []);
      });

      it("is told with a plain string that a namespace is invalid or closed to it", async (t) => {
        for (const [namespace, message] of [
          ["/unknown", "Invalid namespace"],
          ["/admin", { status: 401, hint: "token" }],
        ]) {
          const socket = io2(server.url + namespace, { ...options, forceNew: true, reconnection: false });
          t.after(() => socket.close());
          const [error] = await next(socket, "error");
          assert.deepEqual(error.message ?? error, message);
        }
      });
    });
  }

  it("frames text payloads by UTF-16 code units, and is joined to / right away", async () => {
    const answer = await request(server, "/socket.io/?EIO=3&transport=polling&b64=1");
    const [, length, open] = /^(\d+):0(\{"sid":"[\w-]{20}","upgrades":\["websocket"\],[^}]*\})/.exec(answer.body);
    assert.equal(Number(length), 1 + open.length);
    const { sid } = JSON.parse(open);
    const session = Object.assign(new PollingSession(), { server, sid, pending: [], parameters: { EIO: "3", b64: "1", transport: "polling" } });
    const first = answer.body + (await session.get()).body;
    assert.match(first, /\}2:40\d+:42\["welcome",/);
    const packet = '42["echo","é\u{1f41f}"]';
    assert.equal((await session.post(`${packet.length}:${packet}`)).body, "ok");
    let received = "";
    while (!received.includes(packet)) received += (await session.get()).body;
    assert.ok(received.endsWith(`${packet.length}:${packet}`), received);
    assert.equal((await session.post("1:2")).status, 200);
    let pong = "";
    while (!pong.includes("1:3")) pong = (await session.get()).body;
  });

  it("pings itself over WebSocket and prefixes binary data", async (t) => {
    const raw = await RawWebSocket.open(t, server, { EIO: "3" });
    await raw.receive((packet) => packet.startsWith("0{"));
    assert.equal(await raw.receive(), "40");
    raw.send("2");
    await raw.receive((packet) => packet === "3");
    raw.send("2probe");
    await raw.receive((packet) => String(packet).startsWith("3"));
    raw.send('451-["echo",{"_placeholder":true,"num":0}]');
    raw.send(Buffer.from([4, 9, 8]));
    await raw.receive((packet) => packet === '451-["echo",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await raw.receive(), Buffer.from([4, 9, 8]));
  });

  it("is refused a session of the other revision", async () => {
    const { sid } = await PollingSession.open(server);
    const answer = await request(server, query({ transport: "polling", sid, EIO: "3" }));
    assert.deepEqual([answer.status, answer.body], [400, '{"code":3,"message":"Bad request"}']);
  });
});

if (has("Engine.IO 3 and JSONP")) describe("polling by JSONP", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start()));
  after(() => server.stop());

  async function open(index) {
    const session = new PollingSession();
    Object.assign(session, { server, pending: [], parameters: { transport: "polling", j: String(index) } });
    session.sid = JSON.parse(payload(await request(server, query(session.parameters)), index).slice(1)).sid;
    session.submit = (packet) =>
      session.post(`d=${encodeURIComponent(packet)}`, { headers: { "content-type": "application/x-www-form-urlencoded" } });
    assert.equal((await session.submit("40")).body, "ok");
    let received = "";
    while (!received.includes('["welcome"')) received += payload(await session.get(), index);
    assert.match(received, /^40\{"sid":/);
    return session;
  }

  /** The payload that the script hands to the page. */
  function payload(answer, index) {
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], /^text\/plain; charset=utf-8$/i);
    assert.ok(!/[\u2028\u2029]/.test(answer.body), "line separators are escaped");
    const match = new RegExp(`^___eio\\[${index}\\]\\((".*")\\);$`, "s").exec(answer.body);
    assert.ok(match, answer.body);
    return JSON.parse(match[1]);
  }

  it("wraps answers in a call and takes posts as a form", async () => {
    const session = await open(7);
    const text = 'quote " backslash \\ separators \u2028\u2029 </script> & = + \u{1f41f}';
    await session.submit(`42["echo",${JSON.stringify(text)}]`);
    assert.deepEqual(JSON.parse(payload(await session.get(), 7).slice(2)), ["echo", text]);
  });

  it("turns the line feeds that the page escaped back", async () => {
    const session = await open(0);
    // A form would change line feeds: the page writes `\n` for one, and `\\n` for the two characters of a JSON escape.
    await session.submit('42["echo",\\n"a\\\\nb"]');
    assert.equal(payload(await session.get(), 0), '42["echo","a\\nb"]');
  });

  for (const j of ["x", "0);alert(1)//", ""]) {
    it(`takes only digits as the index: ${JSON.stringify(j)}`, async () => {
      const answer = await request(server, query({ transport: "polling", j }));
      assert.ok(!answer.body.includes("alert"));
    });
  }
});
