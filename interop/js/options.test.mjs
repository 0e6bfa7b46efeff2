// What options of the server change on the wire: CORS, cookie, heartbeat and size limits.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { PollingSession, RawWebSocket, query, request } from "./lib/raw.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { next } from "./lib/wait.mjs";

const POLLING = query({ transport: "polling" });
const ORIGIN = "https://app.example";

if (has("CORS")) describe("CORS", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ CORS_ORIGIN: ORIGIN })));
  after(() => server.stop());

  const origin = { origin: ORIGIN };

  function assertAllowed(answer) {
    assert.equal(answer.headers["access-control-allow-origin"], ORIGIN);
    assert.equal(answer.headers["access-control-allow-credentials"], "true");
    assert.match(answer.headers.vary, /\borigin\b/i);
  }

  it("answers the preflight", async () => {
    const answer = await request(server, POLLING, {
      method: "OPTIONS",
      headers: { ...origin, "access-control-request-method": "POST", "access-control-request-headers": "x-test" },
    });
    assert.equal(answer.status, 204);
    assertAllowed(answer);
    assert.match(answer.headers["access-control-allow-methods"], /POST/);
    assert.equal(answer.headers["access-control-allow-headers"], "x-test");
    assert.equal(answer.body, "");
  });

  it("allows the origin in handshakes, polls and posts", async () => {
    const session = await PollingSession.open(server, {}, origin);
    assertAllowed(session.handshakeAnswer);
    assertAllowed(await session.post("40", { headers: origin }));
    assertAllowed(await session.get({ headers: origin }));
  });

  it("allows the origin even in refusals, so that the page can read them", async () => {
    const answer = await request(server, query({ transport: "none" }), { headers: origin });
    assert.equal(answer.status, 400);
    assertAllowed(answer);
  });

  it("does not allow another origin", async () => {
    const answer = await request(server, POLLING, { headers: { origin: "https://evil.example" } });
    assert.notEqual(answer.headers["access-control-allow-origin"], "https://evil.example");
    assert.notEqual(answer.headers["access-control-allow-origin"], "*");
  });
});

if (has("cookie")) describe("the session cookie", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ COOKIE: "1" })));
  after(() => server.stop());

  it("is set by the polling handshake with its default attributes, and only there", async () => {
    const session = await PollingSession.open(server);
    const [cookie, ...others] = session.handshakeAnswer.headers["set-cookie"];
    assert.deepEqual(others, []);
    const [pair, ...attributes] = cookie.split("; ");
    assert.equal(pair, `io=${session.sid}`);
    assert.deepEqual(attributes.map((attribute) => attribute.toLowerCase()).sort(), ["httponly", "path=/", "samesite=lax"]);
    for (const answer of [await session.post("40"), await session.get()]) {
      assert.equal(answer.headers["set-cookie"], undefined);
    }
  });

  it("is not set over WebSocket", async (t) => {
    const raw = new RawWebSocket(t, server);
    const [response] = await next(raw.socket, "upgrade");
    assert.equal(response.headers["set-cookie"], undefined);
  });
});

describe("limits", () => {
  let server;
  before(async () => {
    server = await ServerUnderTest.start({ PING_INTERVAL: 1234, PING_TIMEOUT: 567, MAX_HTTP_BUFFER_SIZE: 1000 });
  });
  after(() => server.stop());

  it("are announced in the open packet", async () => {
    const { handshake } = await PollingSession.open(server);
    assert.deepEqual([handshake.pingInterval, handshake.pingTimeout, handshake.maxPayload], [1234, 567, 1000]);
  });

  it("apply to POST bodies and to WebSocket messages", async (t) => {
    const session = await PollingSession.join(server);
    assert.equal((await session.post(`42["nobody-listens","${"x".repeat(1000)}"]`)).status, 413);
    const raw = await RawWebSocket.join(t, server);
    raw.send(`42["nobody-listens","${"x".repeat(1000)}"]`);
    assert.equal(await raw.end(), 1009);
  });

  it("are kept by the official client, which splits what it posts", async (t) => {
    const socket = await connect(t, server, { transports: ["polling"] });
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => socket.timeout(4000).emitWithAck("echo-ack", i, "x".repeat(300))),
    );
    assert.equal(answers.length, 30);
  });
});
