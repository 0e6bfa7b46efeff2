// Engine.IO over HTTP by hand: the handshake, the checks of a request and their answers, polling.
import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { after, before, describe, it } from "node:test";
import { gunzipSync, inflateSync } from "node:zlib";
import { Observer } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { PollingSession, RawWebSocket, query, request, tcp } from "./lib/raw.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { eventually, sleep, within } from "./lib/wait.mjs";

const POLLING = { transport: "polling" };
const ERRORS = [
  "Transport unknown",
  "Session ID unknown",
  "Bad handshake method",
  "Bad request",
  "Forbidden",
  "Unsupported protocol version",
];

function assertRefused(answer, code, { status = 400, message = ERRORS[code] } = {}) {
  assert.equal(answer.status, status);
  assert.match(answer.headers["content-type"], /^application\/json/);
  assert.equal(answer.body, JSON.stringify({ code, message }));
}

describe("Engine.IO over HTTP", () => {
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

  describe("handshake", () => {
    it("answers with the open packet, its keys in the order of the official server", async () => {
      const answer = await request(server, query(POLLING));
      assert.equal(answer.status, 200);
      assert.equal(answer.headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.match(
        answer.body,
        /^0\{"sid":"[\w-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/,
      );
      assert.equal(answer.headers["set-cookie"], undefined);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
    });

    it("over WebSocket offers no upgrade", async (t) => {
      const raw = await RawWebSocket.open(t, server);
      const open = JSON.parse((await raw.receive()).slice(1));
      assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
      assert.deepEqual(open.upgrades, []);
    });

    it("never repeats a session id", async () => {
      const sids = new Set();
      for (let i = 0; i < 50; i++) sids.add((await PollingSession.open(server)).sid);
      assert.equal(sids.size, 50);
    });

    it("ignores the cache buster and unknown parameters", async () => {
      assert.equal((await request(server, query({ ...POLLING, t: "abc123", other: "é&=" }))).status, 200);
    });

    it("does not answer outside its path", async () => {
      const answer = await request(server, "/elsewhere/?EIO=4&transport=polling");
      assert.equal(answer.status, 404);
    });
  });

  describe("a refused request", () => {
    for (const [name, parameters] of [
      ["no transport", {}],
      ["an unknown transport", { transport: "carrier-pigeon" }],
      ["webtransport over HTTP", { transport: "webtransport" }],
      ["a transport named like an object's property", { transport: "constructor" }],
    ]) {
      it(`for ${name} is answered with code 0`, async () => {
        assertRefused(await request(server, query(parameters)), 0);
      });
    }

    for (const sid of ["unknown", "__proto__", "constructor", "é\u{1f41f}", "x".repeat(5000)]) {
      it(`for the unknown session ${sid.slice(0, 20)} is answered with code 1`, async () => {
        assertRefused(await request(server, query({ ...POLLING, sid })), 1);
      });
    }

    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      it(`for a handshake by ${method} is answered with code 2`, async () => {
        assertRefused(await request(server, query(POLLING), { method }), 2);
      });
    }

    it("for WebSocket without an upgrade is answered with code 3", async () => {
      assertRefused(await request(server, query({ transport: "websocket" })), 3);
    });

    it("for a session under another transport is answered with code 3, and the session lives on", async () => {
      const session = await PollingSession.join(server);
      assertRefused(await request(server, query({ transport: "websocket", sid: session.sid })), 3);
      assert.ok(await session.echoes());
    });

    for (const EIO of ["3", "5", ""]) {
      it(`for a session under the revision "${EIO}" is answered with code 3`, async () => {
        const session = await PollingSession.join(server);
        assertRefused(await request(server, query({ ...POLLING, sid: session.sid, EIO })), 3);
        assert.ok(await session.echoes());
      });
    }

    it("by allowRequest is answered with code 4, status 403 and its text", async () => {
      const answer = await request(server, query(POLLING), { headers: { "x-refuse": "come back tomorrow" } });
      assertRefused(answer, 4, { status: 403, message: "come back tomorrow" });
    });

    for (const EIO of ["3", "2", "5", "4.0", "nonsense", ""]) {
      it(`for a handshake with the revision "${EIO}" is answered with code 5`, async () => {
        assertRefused(await request(server, query({ ...POLLING, EIO })), 5);
      });
    }

    it("for a handshake without a revision is answered with code 5", async () => {
      assertRefused(await request(server, "/socket.io/?transport=polling"), 5);
    });

    for (const [code, check, parameters] of [
      [0, "transport before session", { transport: "none", sid: "unknown" }],
      [1, "session before method and revision", { ...POLLING, sid: "unknown", EIO: "9" }],
      [2, "method before the upgrade", { transport: "websocket" }],
      [2, "method before allowRequest and revision", { ...POLLING, EIO: "3" }],
    ]) {
      it(`is judged in order: ${check}`, async () => {
        const options = { method: "POST", headers: { "x-refuse": "no" } };
        assertRefused(await request(server, query(parameters), options), code);
      });
    }

    it("is judged in order: allowRequest before the revision", async () => {
      const answer = await request(server, query({ ...POLLING, EIO: "3" }), { headers: { "x-refuse": "no" } });
      assertRefused(answer, 4, { status: 403, message: "no" });
    });

    it("with bytes that are no Origin is answered with status 400", async (t) => {
      const connection = await tcp(t, server, `GET ${query(POLLING)} HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n`);
      await eventually(() => connection.text, "an answer");
      assert.match(connection.text, /^HTTP\/1\.1 400 /);
    });

    for (const [name, parameters, headers, message] of [
      ["an unknown session", { sid: "unknown" }, {}, ERRORS[1]],
      ["polling", POLLING, {}, undefined],
      ["an unknown transport", { transport: "none" }, {}, ERRORS[0]],
      ["allowRequest", {}, { "x-refuse": "not you" }, "not you"],
      ["the revision", { EIO: "3" }, {}, undefined],
    ]) {
      it(`for a WebSocket because of ${name} opens no session`, async (t) => {
        const path = query({ transport: "websocket", ...parameters });
        const lines = Object.entries(headers).map(([key, value]) => `${key}: ${value}\r\n`);
        const connection = await tcp(
          t,
          server,
          `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
            `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${lines.join("")}\r\n`,
        );
        // What is noticed only after the WebSocket opened ends with a Close frame.
        await eventually(() => connection.closed || connection.text.includes("\x88"), "the connection to end");
        assert.doesNotMatch(connection.text, /"sid"/);
        if (message !== undefined) {
          const [head, body] = connection.text.split("\r\n\r\n");
          assert.match(head, /^HTTP\/1\.1 400 /);
          assert.match(head, /\r\nconnection: close(\r\n|$)/i);
          assert.equal(body, message);
        }
      });
    }
  });

  describe("polling", () => {
    it("answers a POST with ok", async () => {
      const session = await PollingSession.join(server);
      const answer = await session.post('42["echo",1]');
      assert.equal(answer.status, 200);
      assert.equal(answer.headers["content-type"], "text/html");
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.equal(answer.body, "ok");
    });

    it("takes several packets in one body and keeps their order", async () => {
      const session = await PollingSession.join(server);
      await session.post(['42["echo",1]', '452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', "bAQI=", "bAw==", '42["echo","\u{1f41f}"]'].join("\x1e"));
      assert.equal(await session.receive(() => true), '42["echo",1]');
      const head = await session.receive(() => true);
      const numbers = /^452-\["echo",\{"_placeholder":true,"num":([01])\},\{"_placeholder":true,"num":([01])\}\]$/.exec(head);
      assert.ok(numbers, head);
      // The attachments may come in either order, as long as the arguments are those that were sent.
      const attachments = [await session.receive(() => true), await session.receive(() => true)];
      assert.deepEqual([attachments[numbers[1]], attachments[numbers[2]]], ["bAw==", "bAQI="]);
      assert.equal(await session.receive(() => true), '42["echo","\u{1f41f}"]');
    });

    it("holds a GET until there is something to send", async () => {
      const session = await PollingSession.join(server);
      let answer;
      const poll = session.get().then((result) => (answer = result));
      await sleep(150);
      assert.equal(answer, undefined);
      await session.post('42["echo","woken"]');
      await within(poll, "the poll");
      assert.equal(answer.body, '42["echo","woken"]');
    });

    it("sends all that has queued up in one answer", async () => {
      const session = await PollingSession.join(server);
      await session.post('42["count",5]');
      const answer = await session.get();
      assert.equal(answer.body, [0, 1, 2, 3, 4].map((i) => `42["count",${i}]`).join("\x1e"));
    });

    it("drops volatile events while no GET is pending, and no other", async () => {
      const session = await PollingSession.join(server);
      await session.post('42["volatile",3,"text"]');
      assert.equal((await session.get()).body, '42["volatile-end"]');
    });

    it("drops a binary volatile event whole", async () => {
      const session = await PollingSession.join(server);
      await session.post('451-["volatile",3,{"_placeholder":true,"num":0}]\x1ebAQI=');
      assert.equal((await session.get()).body, '42["volatile-end"]');
    });

    it("answers another method for a session with status 500, and the session lives on", async () => {
      const session = await PollingSession.join(server);
      for (const method of ["PUT", "DELETE", "PATCH"]) {
        assert.equal((await request(server, session.path, { method })).status, 500);
      }
      assert.ok(await session.echoes());
    });

    it("answers a second GET with 400 and closes the session, the first GET gets the close packet", async () => {
      const session = await PollingSession.join(server);
      const first = session.get();
      await sleep(50);
      assert.equal((await session.get()).status, 400);
      assert.equal((await within(first, "the first poll")).body, "1");
      assert.equal((await observer.disconnected(session.id)).reason, "transport error");
      assert.ok(await session.isGone());
    });

    it("answers a second POST during the first with 400 and closes the session", async () => {
      const session = await PollingSession.join(server);
      let finish;
      const first = session.post(
        (async function* () {
          yield "42[";
          await new Promise((resolve) => (finish = resolve));
        })(),
      );
      await sleep(50);
      assert.equal((await session.post("3")).status, 400);
      assert.equal((await observer.disconnected(session.id)).reason, "transport error");
      finish();
      assert.notEqual((await within(first, "the first POST")).status, 200);
      assert.ok(await session.isGone());
    });

    it("refuses a binary POST with 400 and closes the session", async () => {
      const session = await PollingSession.join(server);
      const answer = await session.post(Buffer.from([0, 1, 2]), { headers: { "content-type": "application/octet-stream" } });
      assert.equal(answer.status, 400);
      assert.equal((await observer.disconnected(session.id)).reason, "transport error");
      assert.ok(await session.isGone());
    });

    for (const [name, bodies] of [
      ["with its length", { declared: "x".repeat(1_000_001) }],
      [
        "in endless chunks",
        {
          streamed: async function* () {
            for (let i = 0; i < 200; i++) {
              yield "x".repeat(50_000);
              await sleep(1);
            }
          },
        },
      ],
    ]) {
      it(`refuses a POST above the limit ${name} with 413`, async () => {
        const session = await PollingSession.join(server);
        const answer = await within(session.post(bodies.declared ?? bodies.streamed()), "the answer");
        assert.equal(answer.status, 413);
        assert.ok(server.alive);
      });
    }

    it("accepts a POST of exactly the limit", async () => {
      const session = await PollingSession.join(server);
      const frame = '42["echo",""]';
      const answer = await session.post(`42["echo","${"x".repeat(1_000_000 - frame.length)}"]`);
      assert.equal(answer.status, 200);
      const echo = await session.receive((packet) => packet.startsWith('42["echo"'));
      assert.equal(echo.length, 1_000_000);
    });

    it("closes the session when the client aborts a GET", async () => {
      const session = await PollingSession.join(server);
      const abort = new AbortController();
      const poll = session.get({ signal: abort.signal });
      await sleep(50);
      abort.abort();
      await poll;
      assert.equal((await observer.disconnected(session.id)).reason, "transport error");
    });

    it("closes the session when the client aborts a POST", async () => {
      const session = await PollingSession.join(server);
      const abort = new AbortController();
      const post = session.post(
        (async function* () {
          yield "42[";
          await new Promise(() => {});
        })(),
        { signal: abort.signal },
      );
      await sleep(50);
      abort.abort();
      await post;
      assert.equal((await observer.disconnected(session.id)).reason, "transport error");
    });

    it("ends the session on a close packet and answers the pending GET with noop", async () => {
      const session = await PollingSession.join(server);
      const poll = session.get();
      await sleep(50);
      assert.equal((await session.post("1")).status, 200);
      assert.equal((await within(poll, "the poll")).body, "6");
      assert.equal((await observer.disconnected(session.id)).reason, "transport close");
      assert.ok(await session.isGone());
    });

    it("sends the close packet with the last messages when the server disconnects", async () => {
      const session = await PollingSession.join(server);
      const poll = session.get();
      await sleep(50);
      await session.post('42["kick-hard"]');
      const first = await within(poll, "the poll");
      assert.equal(first.body, "41");
      const rest = await session.get();
      // The close packet waits for the next poll, alone or behind a noop.
      assert.match(rest.body, /(^|\x1e)1$/);
      assert.ok(await session.isGone());
    });
  });

  if (has("compression of poll answers")) describe("compression of poll answers", () => {
    async function big(headers, size) {
      const session = await PollingSession.join(server);
      await session.post(`42["big",${size}]`);
      return session.get({ headers });
    }

    for (const [encoding, decode] of [
      ["gzip", gunzipSync],
      ["deflate", inflateSync],
    ]) {
      it(`with ${encoding} from 1024 bytes on`, async () => {
        const answer = await big({ "accept-encoding": encoding }, 5000);
        assert.equal(answer.headers["content-encoding"], encoding);
        assert.equal(decode(answer.raw).toString(), `42["big","${"x".repeat(5000)}"]`);
      });
    }

    it("is not used below 1024 bytes", async () => {
      assert.equal((await big({ "accept-encoding": "gzip" }, 500)).headers["content-encoding"], undefined);
    });

    it("is not used for a client that does not ask for it", async () => {
      for (const headers of [{}, { "accept-encoding": "identity" }, { "accept-encoding": "br" }]) {
        const answer = await big(headers, 5000);
        assert.equal(answer.headers["content-encoding"], undefined);
        assert.equal(answer.body, `42["big","${"x".repeat(5000)}"]`);
      }
    });
  });
});

describe("hostile requests", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ HEAD_TIMEOUT: 500 })));
  after(() => server.stop());

  async function stillServes() {
    assert.ok(server.alive, server.diagnostics);
    assert.ok(await (await PollingSession.join(server)).echoes());
  }

  for (const [name, head] of [
    ["one huge header", `X-Huge: ${"x".repeat(1_000_000)}\r\n`],
    ["thousands of headers", Array.from({ length: 10_000 }, (_, i) => `x${i}: y\r\n`).join("")],
  ]) {
    for (const upgrade of ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"]) {
      it(`with ${name} are refused${upgrade && " on upgrade"}`, async (t) => {
        const connection = await tcp(t, server, `GET ${query(POLLING)} HTTP/1.1\r\nHost: x\r\n${upgrade}${head}\r\n`);
        await eventually(() => connection.closed || connection.text, "an answer");
        // The answer may be lost to a reset, because the request was not read to its end.
        if (connection.text) assert.match(connection.text, /^HTTP\/1\.1 4(00|31) /);
        await stillServes();
      });
    }
  }

  for (const upgrade of ["", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"]) {
    it(`whose head never ends are dropped at the deadline${upgrade && ", on upgrade too"}`, async (t) => {
      const started = Date.now();
      const connection = await tcp(t, server, `GET ${query({ transport: "websocket" })} HTTP/1.1\r\nHost: x\r\n${upgrade}`);
      // A byte now and then does not extend the deadline.
      const drip = setInterval(() => !connection.socket.destroyed && connection.socket.write("x"), 50);
      t.after(() => clearInterval(drip));
      await eventually(() => connection.closed, "the connection to be dropped", 5000);
      assert.ok(Date.now() - started >= 400, "not before the deadline");
      await stillServes();
    });
  }

  it("that say nothing at all are dropped at the deadline", async (t) => {
    const connection = await tcp(t, server, "");
    await eventually(() => connection.closed, "the connection to be dropped", 5000);
    await stillServes();
  });

  for (const [name, target] of [
    ["broken percent escapes", "/socket.io/?EIO=4&transport=polling&sid=%zz%ff%"],
    ["percent escapes that are no UTF-8", "/socket.io/?EIO=4&transport=%ff%fe"],
    ["repeated parameters", "/socket.io/?EIO=4&transport=polling&sid=a&sid=b"],
  ]) {
    it(`with ${name} are answered with status 400`, async () => {
      const answer = await request(server, target);
      assert.equal(answer.status, 400);
      await stillServes();
    });
  }

  it("with raw bytes above 127 in the target do no harm", async (t) => {
    const bytes = Buffer.from("GET /socket.io/?EIO=4&transport=polling&sid=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", "latin1");
    const connection = await tcp(t, server, bytes);
    await eventually(() => connection.closed || connection.text, "an answer");
    assert.match(connection.text, /^HTTP\/1\.1 400 /);
    await stillServes();
  });

  for (const [name, cookie] of [
    ["a cookie that is no cookie", "=;;=%ff;é"],
    ["a long run of separators", ";,".repeat(3000)],
  ]) {
    it(`with ${name} are served`, async () => {
      const answer = await request(server, query(POLLING), { headers: { cookie: Buffer.from(cookie).toString("latin1") } });
      assert.equal(answer.status, 200);
    });
  }

  it("with long runs of separators in WebSocket headers are judged at once", async (t) => {
    const runs = ",".repeat(4000) + " ".repeat(4000);
    const started = Date.now();
    const connection = await tcp(
      t,
      server,
      `GET ${query({ transport: "websocket" })} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: ${runs}x\r\n\r\n`,
    );
    await eventually(() => connection.closed || connection.text, "an answer");
    assert.ok(Date.now() - started < 1000);
    await stillServes();
  });

  it("that are no HTTP are dropped", async (t) => {
    for (const bytes of ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\r\n\r\n\0\0\0", "SSH-2.0-x\r\n\r\n"]) {
      const connection = await tcp(t, server, Buffer.from(bytes, "latin1"));
      await eventually(() => connection.closed, "the connection to be dropped");
    }
    await stillServes();
  });
});

describe("a stalled POST", () => {
  it("ends with its session", async (t) => {
    const server = await ServerUnderTest.start({ PING_INTERVAL: 200, PING_TIMEOUT: 200 });
    t.after(() => server.kill());
    const observer = await Observer.connect(server);
    t.after(() => observer.close());
    const session = await PollingSession.join(server);
    const socket = createConnection(server.port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    let closed = false;
    socket.on("close", () => (closed = true));
    socket.resume();
    socket.write(`POST ${session.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n42["echo`);
    const poll = session.get();
    assert.equal((await observer.disconnected(session.id)).reason, "ping timeout");
    await poll;
    await eventually(() => closed, "the POST's connection to end");
  });
});
