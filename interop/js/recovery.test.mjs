// Connection state recovery.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { WAYS, connect } from "./lib/client.mjs";
import { has } from "./lib/features.mjs";
import { breakableLink } from "./lib/proxy.mjs";
import { RawWebSocket } from "./lib/raw.mjs";
import { ServerUnderTest } from "./lib/server.mjs";
import { collect, eventually, next, sleep } from "./lib/wait.mjs";

const RECONNECTING = { reconnection: true, reconnectionDelay: 300, reconnectionDelayMax: 400, randomizationFactor: 0 };

/** The client hands the offset over as an additional argument. */
const withoutOffset = (args) => args.slice(0, -1);

if (has("connection state recovery")) describe("connection state recovery", () => {
  let server;
  before(async () => (server = await ServerUnderTest.start({ RECOVERY: "1" })));
  after(() => server.stop());

  for (const [way, options] of Object.entries(WAYS)) {
    it(`brings id, rooms and missed events back: ${way}`, async (t) => {
      const link = await breakableLink(t, server);
      const socket = await connect(t, link, { ...options, ...RECONNECTING });
      const witness = await connect(t, server, WAYS.websocket);
      const room = `room ${way}`;
      await socket.timeout(2000).emitWithAck("join", room);
      const news = collect(socket, "news");
      const { id } = socket;

      const end = next(socket, "disconnect");
      // A polling client has a GET under way again by then; without one there is nothing to cut.
      await sleep(50);
      link.cut();
      await end;
      const welcome = next(socket, "welcome");
      for (let i = 0; i < 5; i++) witness.emit("broadcast", { from: "io", to: [room] }, i, Buffer.from([i]));
      witness.emit("broadcast", { from: "io", to: ["another room"] }, "not for this socket");

      assert.equal((await welcome)[0].recovered, true);
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
      assert.deepEqual(news.map(withoutOffset), [0, 1, 2, 3, 4].map((i) => [i, Buffer.from([i])]));
      assert.deepEqual(await socket.timeout(2000).emitWithAck("join", room), [id, room].sort());
    });

    it(`does not bring back a socket that the server disconnected: ${way}`, async (t) => {
      const socket = await connect(t, server, { ...options, ...RECONNECTING });
      const { id } = socket;
      const end = next(socket, "disconnect");
      socket.emit("kick");
      await end;
      const welcome = next(socket, "welcome");
      socket.connect();
      assert.equal((await welcome)[0].recovered, false);
      assert.notEqual(socket.id, id);
    });
  }

  it("loses and doubles nothing while the link flaps", async (t) => {
    const link = await breakableLink(t, server);
    const socket = await connect(t, link, { ...WAYS.websocket, ...RECONNECTING, reconnectionDelay: 20, reconnectionDelayMax: 50 });
    const witness = await connect(t, server, WAYS.websocket);
    await socket.timeout(2000).emitWithAck("join", "flapping");
    const news = collect(socket, "news");
    const { id } = socket;
    let sent = 0;
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 20; i++) {
        witness.emit("broadcast", { from: "io", to: ["flapping"] }, sent++);
        await sleep(2);
      }
      link.cut();
    }
    await eventually(() => news.length >= sent, "all events");
    // The last cut may not have been noticed yet; duplicates would arrive before the answer.
    const answered = () => socket.timeout(1000).emitWithAck("echo-ack").then(() => true, () => false);
    await eventually(answered, "an answer");
    assert.deepEqual(news.map(withoutOffset).flat(), Array.from({ length: sent }, (_, i) => i));
    assert.equal(socket.id, id);
  });

  /** Joins `/` with the given CONNECT data; returns its answer, and the packets that came before and after it. */
  async function join(t, auth) {
    const raw = await RawWebSocket.open(t, server);
    raw.send(`40${auth ? JSON.stringify(auth) : ""}`);
    await eventually(() => raw.messages.some((packet) => packet.startsWith('42["welcome"')), "the welcome");
    const packets = raw.messages.slice(1);
    const index = packets.findIndex((packet) => packet.startsWith("40"));
    return { raw, connect: JSON.parse(packets[index].slice(2)), missed: packets.slice(0, index), later: packets.slice(index + 1) };
  }

  it("adds the private id to CONNECT and an offset to every event", async (t) => {
    const { raw, connect: answer, missed, later } = await join(t);
    assert.deepEqual(Object.keys(answer), ["sid", "pid"]);
    assert.notEqual(answer.sid, answer.pid);
    assert.deepEqual(missed, []);
    assert.equal(later.length, 1);
    const [, , offset] = JSON.parse(later[0].slice(2));
    assert.equal(typeof offset, "string");

    raw.messages.length = 0;
    raw.send('42["count",2]');
    await eventually(() => raw.messages.length === 2, "two events");
    const offsets = raw.messages.map((packet) => JSON.parse(packet.slice(2))[2]);
    assert.equal(new Set([offset, ...offsets]).size, 3);
  });

  it("adds no offset to events that ask for an answer, nor to volatile ones", async (t) => {
    const { raw } = await join(t);
    raw.messages.length = 0;
    raw.send('42["ask-me",1,4000]');
    assert.match(await raw.receive(), /^42\d+\["question",1\]$/);
    await sleep(50);
    raw.send('42["volatile",1,"x"]');
    assert.equal(await raw.receive(), '42["volatile",0,"x"]');
  });

  it("sends the missed events before CONNECT, each once", async (t) => {
    const first = await join(t);
    const offset = JSON.parse(first.later[0].slice(2))[2];
    first.raw.send('42["count",3]');
    await eventually(() => first.raw.messages.some((packet) => packet.startsWith('42["count",2,')), "the events");
    const seen = JSON.parse(first.raw.messages.find((packet) => packet.startsWith('42["count",0,')).slice(2))[2];
    first.raw.socket.terminate();
    await sleep(100);

    const second = await join(t, { pid: first.connect.pid, offset: seen });
    assert.deepEqual(second.connect, first.connect);
    assert.deepEqual(second.missed.map((packet) => packet.replace(/,"[^"]*"\]$/, "]")), ['42["count",1]', '42["count",2]']);
    assert.notEqual(offset, seen);
  });

  it("starts anew for an unknown private id or offset", async (t) => {
    const first = await join(t);
    first.raw.socket.terminate();
    await sleep(100);
    for (const auth of [
      { pid: "unknown", offset: "unknown" },
      { pid: first.connect.sid, offset: "unknown" },
      { pid: first.connect.pid, offset: 7 },
      { pid: first.connect.pid },
      { pid: ["x"], offset: {} },
    ]) {
      const { connect: answer, later } = await join(t, auth);
      assert.notEqual(answer.sid, first.connect.sid);
      assert.equal(JSON.parse(later[0].slice(2))[1].recovered, false);
    }
  });
});
