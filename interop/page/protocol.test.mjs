// The rules of examples/chat/PROTOCOL.md, point by point, with the official client.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { after, afterEach, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import { ChatServer } from "./lib/server.mjs";

let server;
const sockets = [];
before(async () => (server = await ChatServer.start()));
after(() => server.kill());
afterEach(() => sockets.splice(0).forEach((socket) => socket.disconnect()));

/** A connected member with everything that it received. */
async function member(auth, options = {}) {
  const socket = io(server.url, { auth, forceNew: true, reconnection: false, ...options });
  sockets.push(socket);
  socket.log = [];
  socket.onAny((event, data) => socket.log.push({ event, ...data }));
  await new Promise((resolve, reject) => socket.once("welcome", resolve).once("connect_error", reject));
  socket.me = socket.log[0].me;
  socket.ask = (event, ...args) => socket.timeout(5000).emitWithAck(event, ...args);
  socket.seen = (event) => socket.log.filter((entry) => entry.event === event).map(({ event: _, ...data }) => data);
  return socket;
}

const refusal = (auth) => member(auth).then(() => assert.fail("was let in"), ({ message, data }) => ({ message, data }));
const error = (code) => ({ ok: false, error: code });
const room = () => `r-${randomUUID().slice(0, 18)}`;
const pause = (ms = 150) => new Promise((done) => setTimeout(done, ms));

/** Members of a room of their own. */
async function inRoom(...names) {
  const name = room();
  const members = [];
  for (const one of names) {
    const socket = await member({ name: `${one}-${randomUUID().slice(0, 8)}` });
    assert.equal((await socket.ask("join", { room: name })).ok, true);
    members.push(socket);
  }
  return [name, ...members];
}

describe("connecting", () => {
  it("welcomes with the name, the rooms and the limits", async () => {
    const ada = await member({ name: "  Ada  " });
    assert.equal(ada.log[0].event, "welcome");
    assert.deepEqual(ada.me, { id: ada.id, name: "Ada" });
    assert.deepEqual(ada.log[0].list.slice(0, 3).map((entry) => entry.room), ["lobby", "rust", "random"]);
    assert.deepEqual(ada.log[0].limits, { text: 2000, files: 10, fileBytes: 700_000, messageBytes: 2_000_000, rooms: 8 });
  });

  it("refuses invalid names with the reason", async () => {
    const cases = { missing: [{}, { name: 7 }, undefined], empty: [{ name: "" }, { name: " \t " }], "too long": [{ name: "é".repeat(25) }], "control character": [{ name: "a\u0007b" }, { name: "a\u0085b" }] };
    for (const [reason, auths] of Object.entries(cases)) {
      for (const auth of auths) assert.deepEqual(await refusal(auth), { message: "invalid name", data: { reason } });
    }
    assert.equal((await member({ name: "\u{1f600}".repeat(24) })).me.name.length, 48, "24 characters are not 24 UTF-16 units");
  });

  it("makes names unique, without regard to case, within 24 characters", async () => {
    const long = `${randomUUID().slice(0, 8)}${"x".repeat(16)}`;
    await member({ name: long });
    assert.equal((await member({ name: long.toUpperCase() })).me.name, `${long.slice(0, 22).toUpperCase()} 2`);
    assert.equal((await member({ name: long })).me.name, `${long.slice(0, 22)} 3`);
  });

  it("lets a session take over from its own earlier connection", async () => {
    const [name, watcher] = await inRoom("watcher");
    const auth = { name: "Phoenix", session: randomUUID() };
    const first = await member(auth);
    await first.ask("join", { room: name });
    const ended = new Promise((resolve) => first.once("disconnect", resolve));
    const second = await member(auth);
    assert.equal(await ended, "io server disconnect");
    assert.equal(second.me.name, "Phoenix");
    await pause();
    assert.deepEqual(watcher.seen("left"), [{ room: name, member: first.me }]);
    const third = await member({ name: "Phoenix", session: "short" });
    assert.equal(third.me.name, "Phoenix 2", "a malformed session is none");
  });
});

describe("rooms", () => {
  it("are joined and left, and the others hear of it", async () => {
    const [name, ada] = await inRoom("Ada");
    const bob = await member({ name: "Bob" });
    assert.deepEqual(await bob.ask("join", { room: name }), { ok: true, room: name, history: [], members: [ada.me, bob.me] });
    await bob.ask("join", { room: name });
    assert.deepEqual(await bob.ask("leave", { room: name }), { ok: true, room: name });
    assert.deepEqual(await bob.ask("leave", { room: name }), { ok: true, room: name });
    await bob.ask("join", { room: name });
    bob.disconnect();
    await pause();
    assert.deepEqual(ada.seen("joined"), Array(2).fill({ room: name, member: bob.me ?? {} }), "once per entry");
    assert.equal(ada.seen("left").length, 2, "on leave and on disconnection");
    assert.deepEqual(ada.seen("left")[0], { room: name, member: ada.seen("joined")[0].member });
  });

  it("are listed with counts, predefined ones first, to everybody when they change", async () => {
    const watcher = await member({ name: "watcher" });
    const [name] = await inRoom("Ada", "Bob");
    await pause(500);
    const { list } = watcher.seen("rooms").at(-1);
    assert.deepEqual(list.find((entry) => entry.room === name), { room: name, members: 2 });
    const others = list.slice(3).map((entry) => entry.room);
    assert.deepEqual(others, [...others].sort());
    assert.deepEqual(await watcher.ask("rooms", {}), { ok: true, list });
  });

  it("need a proper name, and eight are enough", async () => {
    const ada = await member({ name: "Ada" });
    for (const bad of ["", "Lobby", "a b", "ä", "x".repeat(33), 7, null, undefined, {}]) {
      assert.deepEqual(await ada.ask("join", { room: bad }), error("invalid room"), String(bad));
      assert.deepEqual(await ada.ask("leave", { room: bad }), error("invalid room"));
    }
    const bob = await member({ name: "Bob" });
    for (let n = 0; n < 8; n += 1) assert.equal((await bob.ask("join", { room: room() })).ok, true);
    assert.deepEqual(await bob.ask("join", { room: room() }), error("too many rooms"));
  });

  it("survive arguments of any shape", async () => {
    const ada = await member({ name: "Ada" });
    for (const args of [[], [null], ["lobby"], [7], [[]], [{}], [{}, {}]]) {
      for (const event of ["join", "leave", "message"]) assert.deepEqual(await ada.ask(event, ...args), error("invalid room"));
      ada.emit("typing", ...args);
      await pause(20);
    }
    await pause(1500);
    assert.deepEqual(await ada.ask("file-content", {}), error("no such file"));
    assert.deepEqual(await ada.ask("file-content", { id: { a: 1 } }), error("no such file"));
    ada.emit("join", { room: "lobby" });
    await pause();
    assert.ok((await ada.ask("join", { room: "lobby" })).members.some(({ id }) => id === ada.id), "without an acknowledgement it happened all the same");
    assert.equal(ada.connected, true);
  });
});

describe("messages", () => {
  it("reach the others in the room and nobody else", async () => {
    const [name, ada, bob] = await inRoom("Ada", "Bob");
    const [, eve] = await inRoom("Eve");
    const text = "  two\nlines\tand \u{1f600} <b>\u2028 ";
    const before = Date.now();
    const answer = await ada.ask("message", { room: name, text, clientId: randomUUID(), unknown: true });
    await pause();
    assert.deepEqual({ ...answer, id: "", at: 0 }, { ok: true, id: "", at: 0 });
    assert.ok(answer.at >= before - 5000 && answer.at <= Date.now() + 5000);
    assert.deepEqual(bob.seen("message"), [{ id: answer.id, room: name, from: ada.me, text, at: answer.at, files: [] }]);
    assert.deepEqual(ada.seen("message"), []);
    assert.deepEqual(eve.seen("message"), []);
    assert.deepEqual(await eve.ask("message", { room: name, text: "x" }), error("not in room"));
  });

  it("are checked", async () => {
    const [name, ada] = await inRoom("Ada");
    const file = { name: "a", type: "a/b", data: Buffer.from("x") };
    const cases = [
      ["invalid text", { text: 7 }], ["invalid text", { text: "a\u0000" }], ["invalid text", { text: "a\r\n" }],
      ["text too long", { text: "é".repeat(2001) }], ["invalid file", { text: "x", files: {} }], ["empty message", {}], ["empty message", { text: " \n " }],
      ["too many files", { files: Array(11).fill(file).map((one) => ({ ...one, data: "text" })) }],
      ["invalid file", { files: [7] }], ["invalid file", { files: [{ ...file, data: "text" }] }], ["invalid file", { files: [{ ...file, name: 1 }] }],
      ["empty file", { files: [{ ...file, data: Buffer.alloc(0) }] }], ["file too large", { files: [{ ...file, data: Buffer.alloc(700_001) }] }],
      ["message too large", { files: Array(3).fill({ ...file, data: Buffer.alloc(700_000) }) }],
    ];
    for (const [code, message] of cases) assert.deepEqual(await ada.ask("message", { room: name, ...message }), error(code), JSON.stringify(message).slice(0, 80));
    assert.equal((await ada.ask("message", { room: name, text: "\u{1f600}".repeat(2000) })).ok, true);
  });

  it("sent again under the same clientId are not doubled", async () => {
    const [name, ada, bob] = await inRoom("Ada", "Bob");
    const message = { room: name, text: "once", clientId: randomUUID() };
    const first = await ada.ask("message", message);
    assert.deepEqual(await ada.ask("message", { ...message, text: "twice" }), first);
    await ada.ask("message", { room: name, text: "other", clientId: 7 });
    await pause();
    assert.deepEqual(bob.seen("message").map(({ text }) => text), ["once", "other"]);
    assert.ok(bob.seen("message").every((one) => !("clientId" in one)), "it stays a secret");
  });

  it("are in the history: the last 50, or what followed a known one", async () => {
    const [name, ada] = await inRoom("Ada");
    const ids = [];
    while (ids.length < 55) {
      const answer = await ada.ask("message", { room: name, text: `message ${ids.length}` });
      if (answer.ok) ids.push(answer.id);
      else await pause(answer.retryAfter);
    }
    assert.equal(new Set(ids).size, 55);
    const bob = await member({ name: "Bob" });
    const { history } = await bob.ask("join", { room: name });
    assert.deepEqual(history.map(({ id }) => id), ids.slice(5));
    assert.deepEqual(Object.keys(history[0]).sort(), ["at", "files", "from", "id", "room", "text"]);
    const after = async (id) => (await bob.ask("join", { room: name, after: id })).history.length;
    assert.deepEqual([await after(ids[52]), await after(ids[54]), await after("unknown"), await after(ids[0])], [2, 0, 50, 50]);
  });

  it("keep a room's history when the last member leaves", async () => {
    const [name, ada] = await inRoom("Ada");
    await ada.ask("message", { room: name, text: "still there?" });
    ada.disconnect();
    await pause();
    const bob = await member({ name: "Bob" });
    assert.deepEqual((await bob.ask("join", { room: name })).history.map(({ text }) => text), ["still there?"]);
  });

  it("beyond the rate are refused until the bucket has filled a little", async () => {
    const [name, ada] = await inRoom("Ada");
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => ada.ask("message", { room: name, text: `${n}` })));
    const accepted = answers.filter(({ ok }) => ok).length;
    assert.ok(accepted >= 38 && accepted <= 50, `${accepted} of 60 were accepted`);
    const refused = answers.at(-1);
    assert.equal(refused.error, "rate limited");
    assert.ok(refused.retryAfter > 0 && refused.retryAfter <= 1000);
    await pause(refused.retryAfter + 200);
    assert.equal((await ada.ask("message", { room: name, text: "again" })).ok, true);
  });
});

describe("files", () => {
  for (const transports of [["websocket"], ["polling"]]) {
    it(`come with the live message and later on request, over ${transports}`, async () => {
      const [name] = await inRoom("host");
      const ada = await member({ name: "Ada" }, { transports });
      const bob = await member({ name: "Bob" }, { transports });
      for (const one of [ada, bob]) await one.ask("join", { room: name });
      const data = [randomBytes(700_000), Buffer.from([0])];
      const answer = await ada.ask("message", { room: name, text: "", files: [
        { name: "photo.png", type: "image/png", data: data[0] }, { name: "  ../a\\b\u0000c  ", type: "Nonsense", data: data[1] },
      ] });
      assert.equal(answer.ok, true);
      await pause(500);
      const [{ files }] = bob.seen("message");
      assert.deepEqual(files.map(({ name: given, type, size }) => [given, type, size]), [["photo.png", "image/png", 700_000], ["..abc", "application/octet-stream", 1]]);
      files.forEach((file, n) => assert.ok(Buffer.from(file.data).equals(data[n])));

      const late = await member({ name: "Late" }, { transports });
      const id = files[0].id;
      assert.deepEqual(await late.ask("file-content", { id }), error("no such file"), "only for the room");
      const { history } = await late.ask("join", { room: name });
      assert.deepEqual(history[0].files, files.map(({ data: _, ...file }) => file));
      const content = await late.ask("file-content", { id });
      assert.deepEqual({ ...content, data: 0 }, { ok: true, id, name: "photo.png", type: "image/png", data: 0 });
      assert.ok(Buffer.from(content.data).equals(data[0]));
    });
  }

  it("may be ten", async () => {
    const [name, ada, bob] = await inRoom("Ada", "Bob");
    const files = Array.from({ length: 10 }, (_, n) => ({ name: `${n}`, type: "a/b", data: Buffer.from([n]) }));
    assert.equal((await ada.ask("message", { room: name, files })).ok, true);
    await pause();
    assert.deepEqual(bob.seen("message")[0].files.map(({ data }) => Buffer.from(data)[0]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("whose contents together are too much for the server lose the oldest", async () => {
    const [name, ada] = await inRoom("Ada");
    const files = [0, 1].map((n) => ({ name: `${n}`, type: "a/b", data: Buffer.alloc(700_000, n + 1) }));
    for (let n = 0; n < 24; n += 1) assert.equal((await ada.ask("message", { room: name, files })).ok, true);
    const { history } = await ada.ask("join", { room: name });
    assert.deepEqual(await ada.ask("file-content", { id: history[0].files[0].id }), error("no such file"));
    assert.equal((await ada.ask("file-content", { id: history.at(-1).files[1].id })).data.length, 700_000);
  });
});

describe("typing", () => {
  it("is told to the others, if it makes sense", async () => {
    const [name, ada, bob] = await inRoom("Ada", "Bob");
    const [elsewhere, eve] = await inRoom("Eve");
    const said = [{ room: name, typing: true }, { room: name, typing: false }, { room: name, typing: "yes" }, { room: elsewhere, typing: true }];
    for (const one of said) {
      ada.emit("typing", one);
      await pause(100); // it is volatile: one that follows too closely may be dropped
    }
    assert.deepEqual(bob.seen("typing"), [true, false].map((typing) => ({ room: name, member: ada.me, typing })));
    assert.deepEqual([...ada.seen("typing"), ...eve.seen("typing")], []);
  });
});
