// The upgrade from polling to WebSocket and the heartbeat, by hand.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Observer } from "./lib/client.mjs";
import { PollingSession, RawWebSocket } from "./lib/raw.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { eventually, sleep, within } from "./lib/wait.mjs";

describe("upgrade by hand", () => {
  let server;
  let observer;
  before(async () => {
    server = await ServerUnderTest.start({ UPGRADE_TIMEOUT: 1500 });
    observer = await Observer.connect(server);
  });
  after(async () => {
    observer.close();
    await server.stop();
  });

  /** A WebSocket for the session that has been probed. */
  async function probe(t, session) {
    const raw = await RawWebSocket.open(t, server, { sid: session.sid });
    raw.send("2probe");
    assert.equal(await raw.receive(), "3probe");
    return raw;
  }

  async function upgrade(t, session) {
    const raw = await probe(t, session);
    raw.send("5");
    return raw;
  }

  it("moves the session to the WebSocket", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await upgrade(t, session);
    assert.ok(await raw.echoes());
    await sleep(1800);
    assert.ok(await raw.echoes("after the upgrade's deadline"));
  });

  it("releases a pending GET with noop so that the client can pause polling", async (t) => {
    const session = await PollingSession.join(server);
    const poll = session.get();
    await sleep(30);
    await probe(t, session);
    assert.equal((await within(poll, "the poll")).body, "6");
    // And the next one, for as long as the upgrade takes.
    assert.equal((await within(session.get(), "the next poll")).body, "6");
  });

  it("keeps messages on polling until the upgrade packet", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await probe(t, session);
    await session.post('42["echo","by polling"]');
    assert.equal(await session.receive((packet) => packet !== "6"), '42["echo","by polling"]');
    raw.send("5");
    assert.ok(await raw.echoes("by websocket"));
  });

  it("flushes what had queued up, in order", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await probe(t, session);
    await session.post('42["count",20]');
    await session.post('451-["echo",{"_placeholder":true,"num":0}]\x1ebAQI=');
    raw.send("5");
    raw.send('42["echo","last"]');
    for (let i = 0; i < 20; i++) assert.equal(await raw.receive(), `42["count",${i}]`);
    assert.equal(await raw.receive(), '451-["echo",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await raw.receive(), Buffer.from([1, 2]));
    assert.equal(await raw.receive(), '42["echo","last"]');
  });

  it("answers polling for an upgraded session with code 3, and the session lives on", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await upgrade(t, session);
    assert.ok(await raw.echoes());
    for (const answer of [await session.get(), await session.post("3")]) {
      assert.equal(answer.status, 400);
      assert.equal(answer.body, '{"code":3,"message":"Bad request"}');
    }
    assert.ok(await raw.echoes());
  });

  /** A further WebSocket for the session gets nothing but its end. */
  async function isTurnedAway(t, session) {
    const second = new RawWebSocket(t, server, { sid: session.sid });
    await second.end();
    assert.deepEqual(second.messages, []);
  }

  it("turns away a second WebSocket during the upgrade, which goes on", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await probe(t, session);
    await isTurnedAway(t, session);
    raw.send("5");
    assert.ok(await raw.echoes());
  });

  it("turns away a second WebSocket after the upgrade", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await upgrade(t, session);
    assert.ok(await raw.echoes());
    await isTurnedAway(t, session);
    assert.ok(await raw.echoes());
  });

  it("does not disturb a session that was opened over WebSocket by a second one", async (t) => {
    const raw = await RawWebSocket.open(t, server);
    const { sid } = JSON.parse((await raw.receive()).slice(1));
    raw.send("40");
    await raw.receive((packet) => packet.startsWith('42["welcome"'));
    // It may be turned away or be allowed to probe, but no message moves to it before the upgrade packet.
    const second = new RawWebSocket(t, server, { sid });
    await second.opened.catch(() => {});
    assert.ok(await raw.echoes());
    assert.deepEqual(second.messages, []);
  });

  it("refuses a WebSocket for an unknown session", async (t) => {
    const raw = new RawWebSocket(t, server, { sid: "unknown" });
    await assert.rejects(within(raw.opened, "the refusal"), /400/);
  });

  for (const [name, end] of [
    ["dies before the probe", async () => {}],
    [
      "dies after the probe",
      async (raw) => {
        raw.send("2probe");
        await raw.receive();
      },
    ],
  ]) {
    for (const how of ["close", "terminate"]) {
      it(`leaves the session on polling when the WebSocket ${name} (${how})`, async (t) => {
        const session = await PollingSession.join(server);
        const raw = await RawWebSocket.open(t, server, { sid: session.sid });
        await end(raw);
        raw.socket[how]();
        await raw.end();
        assert.ok(await session.echoes());
        assert.ok(await (await upgrade(t, session)).echoes("the second attempt succeeds"));
      });
    }
  }

  for (const packet of ["2", "2other", "3probe", '42["echo",1]', "40", "6", "1", "0", "x", "", Buffer.from([1])]) {
    it(`closes the WebSocket, not the session, for ${JSON.stringify(packet.toString("latin1"))} instead of a probe`, async (t) => {
      const session = await PollingSession.join(server);
      const raw = await RawWebSocket.open(t, server, { sid: session.sid });
      raw.send(packet);
      await raw.end();
      assert.deepEqual(raw.messages, []);
      assert.ok(await session.echoes());
    });
  }

  for (const packet of ['42["echo",1]', "3probe", "x"]) {
    it(`closes the WebSocket, not the session, for ${JSON.stringify(packet)} after the probe`, async (t) => {
      const session = await PollingSession.join(server);
      const raw = await probe(t, session);
      raw.send(packet);
      await raw.end();
      assert.ok(await session.echoes());
    });
  }

  for (const stage of ["before the probe", "after the probe"]) {
    it(`gives up at the deadline ${stage} and leaves the session on polling`, async (t) => {
      const session = await PollingSession.join(server);
      const started = Date.now();
      const raw =
        stage === "before the probe" ? await RawWebSocket.open(t, server, { sid: session.sid }) : await probe(t, session);
      await raw.end();
      assert.ok(Date.now() - started >= 1300, "not before the deadline");
      assert.ok(await session.echoes());
      // No noop disturbs polling any more.
      const poll = session.get();
      await sleep(300);
      await session.post('42["echo","quiet"]');
      assert.equal((await within(poll, "the poll")).body, '42["echo","quiet"]');
    });
  }

  it("closes the probing WebSocket when the session ends", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await probe(t, session);
    await session.post("1");
    await raw.end(1000);
    assert.equal((await observer.disconnected(session.id)).reason, "transport close");
  });

  it("delivers to the session when the GET is released and posted to at the same time", async (t) => {
    for (let round = 0; round < 20; round++) {
      const session = await PollingSession.join(server);
      const poll = session.get();
      const raw = await probe(t, session);
      const posted = session.post('42["count",3]');
      const polled = (await within(poll, "the poll")).body;
      await posted;
      raw.send("5");
      raw.send('42["echo","end"]');
      await eventually(() => raw.messages.at(-1) === '42["echo","end"]', "the last message");
      const arrived = [...polled.split("\x1e"), ...raw.messages].filter((packet) => packet.startsWith("42"));
      assert.deepEqual(arrived, ['42["count",0]', '42["count",1]', '42["count",2]', '42["echo","end"]']);
      raw.socket.close();
    }
  });
});

describe("heartbeat by hand", () => {
  const INTERVAL = 400;
  const TIMEOUT = 600;
  let server;
  let observer;
  before(async () => {
    server = await ServerUnderTest.start({ PING_INTERVAL: INTERVAL, PING_TIMEOUT: TIMEOUT });
    observer = await Observer.connect(server);
  });
  after(async () => {
    observer.close();
    await server.stop();
  });

  it("closes a WebSocket that never answers a ping", async (t) => {
    const raw = await RawWebSocket.join(t, server);
    await raw.receive((packet) => packet === "2");
    const pinged = Date.now();
    await raw.end();
    const waited = Date.now() - pinged;
    assert.ok(waited > TIMEOUT - 100 && waited < TIMEOUT + 500, `${waited} ms`);
    assert.equal((await observer.disconnected(raw.id)).reason, "ping timeout");
  });

  it("closes a polling session that never answers a ping", async () => {
    const session = await PollingSession.join(server);
    await session.receive((packet) => packet === "2");
    assert.equal((await observer.disconnected(session.id)).reason, "ping timeout");
    assert.ok(await session.isGone());
  });

  it("closes a polling session that stops polling", async () => {
    const session = await PollingSession.join(server);
    assert.equal((await observer.disconnected(session.id)).reason, "ping timeout");
  });

  it("keeps a WebSocket that answers", async (t) => {
    const raw = await RawWebSocket.join(t, server);
    for (let i = 0; i < 4; i++) {
      await raw.receive((packet) => packet === "2");
      raw.send("3");
    }
    assert.ok(await raw.echoes());
  });

  it("lets another packet extend the wait for the pong, once", async (t) => {
    const raw = await RawWebSocket.join(t, server);
    await raw.receive((packet) => packet === "2");
    const pinged = Date.now();
    const busy = setInterval(() => raw.send('42["nobody-listens"]'), TIMEOUT / 2);
    t.after(() => clearInterval(busy));
    await raw.end();
    const waited = Date.now() - pinged;
    assert.ok(waited > 1.3 * TIMEOUT && waited < 2 * TIMEOUT + 100, `${waited} ms`);
    assert.equal((await observer.disconnected(raw.id)).reason, "ping timeout");
  });

  it("moves to the WebSocket with an upgrade", async (t) => {
    const session = await PollingSession.join(server);
    const raw = await RawWebSocket.open(t, server, { sid: session.sid });
    raw.send("2probe");
    await raw.receive((packet) => packet === "3probe");
    raw.send("5");
    for (let i = 0; i < 3; i++) {
      await raw.receive((packet) => packet === "2");
      raw.send("3");
    }
    assert.ok(await raw.echoes());
    assert.equal((await observer.disconnected(session.id)).reason, "ping timeout");
  });

  it("by the client is an error", async (t) => {
    const raw = await RawWebSocket.join(t, server);
    raw.send("2");
    await raw.end();
    assert.equal((await observer.disconnected(raw.id)).reason, "transport error");
  });
});

describe("a client that joins no namespace", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ CONNECT_TIMEOUT: 300 })));
  after(() => server.stop());

  it("is closed at the deadline, over WebSocket", async (t) => {
    const raw = await RawWebSocket.open(t, server);
    const started = Date.now();
    await raw.end(2000);
    assert.ok(Date.now() - started >= 150);
  });

  it("is closed at the deadline, over polling", async () => {
    const session = await PollingSession.open(server);
    const answer = await within(session.get(), "the poll to end", 2000);
    assert.equal(answer.body, "1");
    assert.ok(await session.isGone());
  });

  it("is closed at the deadline even if it was refused by a namespace", async (t) => {
    const raw = await RawWebSocket.open(t, server);
    raw.send("40/unknown,");
    assert.equal(await raw.receive((packet) => packet.startsWith("44")), '44/unknown,{"message":"Invalid namespace"}');
    await raw.end(2000);
  });

  it("stays when it joins in time", async (t) => {
    const raw = await RawWebSocket.join(t, server, "/chat");
    await sleep(500);
    assert.equal(raw.ended, false);
  });
});
