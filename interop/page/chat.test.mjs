// The chat's page in a real browser: two people, their rooms, files, lost connections.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { io } from "socket.io-client";
import {
  DESKTOP, NETWORK_ERRORS, PHONE, closeWindows, delivered, download, drawing, joinChat, launch, message, online, openWindow, say, screenshot, texts,
} from "./lib/browser.mjs";
import { ChatServer } from "./lib/server.mjs";

let browser, server;
before(async () => (browser = await launch()));
after(() => browser?.close());
beforeEach(async () => (server = await ChatServer.start()));
afterEach(async () => {
  try {
    await closeWindows();
  } finally {
    await server.kill();
  }
});

/** A chat member that is no browser: the official client. */
async function official(t, name, options = {}) {
  const socket = io(server.url, { auth: { name }, forceNew: true, ...options });
  t.after(() => socket.disconnect());
  const welcome = await new Promise((resolve, reject) => socket.once("welcome", resolve).once("connect_error", reject));
  return Object.assign(socket, { me: welcome.me, ask: (event, data) => socket.timeout(5000).emitWithAck(event, data) });
}

describe("two windows", () => {
  it("see each other and exchange messages", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    await ada.locator("#people .person", { hasText: "Bob" }).waitFor();
    await bob.locator("#people .person", { hasText: "Ada" }).waitFor();
    assert.equal(await ada.locator("#people-title").textContent(), "Online · 2");

    await say(ada, "Good morning, Bob");
    await message(bob, "Good morning, Bob", { own: false });
    await delivered(ada, "Good morning, Bob");
    await say(bob, "Good morning, Ada");
    await message(ada, "Good morning, Ada", { own: false });
    assert.deepEqual(await texts(ada), ["Good morning, Bob", "Good morning, Ada"]);
    assert.deepEqual(await texts(bob), await texts(ada));
    assert.match(await ada.locator("#announcer").textContent(), /Bob: Good morning, Ada/, "screen readers hear of it");
    assert.match(await ada.locator("#status").textContent(), /Online · WebSocket/);
  });

  it("see who is typing, until the message is there or the box is empty", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    await bob.locator("#text").pressSequentially("Hm");
    await ada.getByText("Bob is typing").waitFor();
    await ada.locator("#people .person", { hasText: "typing" }).waitFor();
    await bob.press("#text", "Enter");
    await message(ada, "Hm");
    assert.equal(await ada.locator("#typing").textContent(), "");
    await bob.locator("#text").pressSequentially("x");
    await ada.getByText("Bob is typing").waitFor();
    await bob.press("#text", "Backspace");
    await ada.getByText("Bob is typing").waitFor({ state: "detached" });
  });

  it("notice when the other one leaves", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    await ada.locator("#people .person", { hasText: "Bob" }).waitFor();
    await bob.close();
    await ada.locator("#people .person", { hasText: "Bob" }).waitFor({ state: "detached" });
  });
});

describe("names", () => {
  it("are asked for, checked, and made unique", async () => {
    const ada = await openWindow(browser, server.url);
    await ada.press("#name", "Enter");
    await ada.getByText("Please type a name.").waitFor();
    await ada.fill("#name", "x".repeat(25));
    await ada.press("#name", "Enter");
    await ada.getByText("24 characters at most").waitFor();
    assert.equal(await ada.inputValue("#name"), "x".repeat(25), "what was typed is still there");
    await screenshot(ada, "name-too-long");
    await ada.fill("#name", "  Ada  ");
    await ada.click("text=Join the chat");
    await online(ada);
    assert.equal(await ada.locator("#my-name").textContent(), "Ada");
    const other = await joinChat(browser, server.url, "ada");
    assert.equal(await other.locator("#my-name").textContent(), "ada 2");
  });

  it("that the server refuses are asked for again, with its reason", async () => {
    const page = await openWindow(browser, server.url);
    await page.evaluate(() => sessionStorage.setItem("sockeye-chat", JSON.stringify({ name: "bell\u0007" })));
    await page.reload();
    await page.getByText("characters that cannot be shown").waitFor();
    await page.fill("#name", "Ada");
    await page.press("#name", "Enter");
    await online(page);
  });

  it("wait for a server that is not there yet", async () => {
    const ada = await openWindow(browser, server.url, { allow: NETWORK_ERRORS });
    await ada.waitForSelector("#hello:not([hidden])");
    await server.kill();
    await ada.fill("#name", "Ada");
    await ada.press("#name", "Enter");
    await ada.getByText("The server cannot be reached").waitFor();
    await server.startAgain();
    await online(ada);
    await ada.waitForSelector("#text");
  });

  it("can be changed without losing the room", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    await say(ada, "before");
    await delivered(ada, "before");
    await ada.click("#rename");
    await ada.fill("#name", "Countess");
    await ada.press("#name", "Enter");
    await online(ada);
    await say(ada, "after");
    await delivered(ada, "after");
    assert.equal(await ada.locator("#my-name").textContent(), "Countess");
    assert.deepEqual(await texts(ada), ["before", "after"]);
  });
});

describe("rooms", () => {
  it("can be made and joined, count what is unread, and can be left", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    await ada.fill("#new-room-name", "Not a name!");
    await ada.press("#new-room-name", "Enter");
    await ada.getByText("letters a-z").waitFor();
    await ada.fill("#new-room-name", "Tea Room");
    await ada.press("#new-room-name", "Enter");
    await ada.waitForSelector('#joined-rooms [data-room="tea-room"][aria-current]');
    assert.equal(new URL(ada.url()).hash, "#tea-room");

    await bob.click('#other-rooms [data-room="tea-room"]');
    await bob.waitForSelector('[data-room="tea-room"][aria-current]');
    await bob.click('[data-room="lobby"]');
    await say(ada, "first");
    await say(ada, "second");
    await bob.locator('[data-room="tea-room"] .badge', { hasText: "2" }).waitFor();
    assert.match(await bob.title(), /^\(2\) #lobby/);
    assert.deepEqual(await texts(bob), [], "messages stay in their room");
    await screenshot(bob, "unread");
    await bob.click('[data-room="tea-room"]');
    await message(bob, "second");
    await bob.locator(".separator.new").waitFor();
    assert.equal(await bob.locator(".badge").count(), 0);
    assert.match(await bob.title(), /^#tea-room/);

    await bob.click("#leave-room");
    await bob.waitForSelector('[data-room="lobby"][aria-current]');
    await bob.waitForSelector('#other-rooms [data-room="tea-room"]');
    await ada.locator("#people .person", { hasText: "Bob" }).waitFor({ state: "detached" });
  });

  it("are entered by their address, and the list shows how many are there", async () => {
    const ada = await joinChat(browser, `${server.url}#rust`, "Ada");
    assert.equal(await ada.locator("#room-title").textContent(), "#rust");
    const bob = await joinChat(browser, server.url, "Bob");
    await bob.locator('#other-rooms [data-room="rust"] .count', { hasText: "1" }).waitFor();
  });

  it("beyond the eighth are refused with an explanation", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    for (let n = 1; n <= 8; n += 1) {
      await ada.fill("#new-room-name", `room-${n}`);
      await ada.press("#new-room-name", "Enter");
      if (n < 8) await ada.waitForSelector(`[data-room="room-${n}"][aria-current]`);
    }
    await ada.getByText("You are in 8 rooms").waitFor();
  });
});

describe("files", () => {
  it("arrive as they were sent, from the live message and from the history", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    const picture = await drawing(ada);
    const noise = randomBytes(123_457);
    await ada.setInputFiles("#file", [
      { name: "sunset.png", mimeType: "image/png", buffer: picture },
      { name: "noise.bin", mimeType: "application/octet-stream", buffer: noise },
    ]);
    await ada.locator("#staged li").nth(1).waitFor();
    await screenshot(ada, "staged");
    await say(ada, "look");
    await delivered(ada, "look");

    const check = async (page) => {
      await page.waitForSelector(".image.loaded img");
      assert.equal(await page.evaluate(() => document.querySelector(".image img").naturalWidth), 640, "the picture can be seen");
      const file = await download(page, () => page.click(".file"));
      assert.equal(file.name, "noise.bin");
      assert.ok(file.bytes.equals(noise));
      assert.match(await page.locator(".file").textContent(), /123 kB/);
      await page.click(".image");
      await page.waitForSelector("#lightbox[open]");
      const saved = await download(page, () => page.click("#lightbox-save"));
      assert.equal(saved.name, "sunset.png");
      assert.ok(saved.bytes.equals(picture));
      await screenshot(page, "lightbox");
      await page.keyboard.press("Escape");
    };
    await check(bob);
    const late = await joinChat(browser, server.url, "Late");
    await check(late);
    await screenshot(late, "history-with-files");
  });

  it("that are too large, too many or empty are refused in plain words, the others stay", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    await ada.setInputFiles("#file", [
      { name: "film.mp4", mimeType: "video/mp4", buffer: Buffer.alloc(2_300_000) },
      { name: "void.txt", mimeType: "text/plain", buffer: Buffer.alloc(0) },
      { name: "fine.txt", mimeType: "text/plain", buffer: Buffer.from("fine") },
    ]);
    await ada.getByText("“film.mp4” is too large: 2.3 MB, and 700 kB is the most a file can have.").waitFor();
    await ada.getByText("“void.txt” is empty.").waitFor();
    assert.deepEqual(await ada.locator("#staged bdi").allTextContents(), ["fine.txt"]);
    await screenshot(ada, "file-too-large");
    await ada.setInputFiles("#file", Array.from({ length: 10 }, (_, n) => ({ name: `${n}.txt`, mimeType: "text/plain", buffer: Buffer.from("x") })));
    await ada.getByText("10 files at most").waitFor();
    assert.equal(await ada.locator("#staged li").count(), 10);
    await ada.click("#send");
    await ada.locator(".message.own[data-status=sent] .file").nth(9).waitFor();
  });

  it("of the largest size pass over polling as well", async () => {
    const ada = await joinChat(browser, `${server.url}?transports=polling`, "Ada");
    const bob = await joinChat(browser, `${server.url}?transports=polling`, "Bob");
    const large = randomBytes(700_000);
    await ada.setInputFiles("#file", [0, 1].map((n) => ({ name: `large-${n}`, mimeType: "application/x-large", buffer: large })));
    await ada.locator("#staged li").nth(1).waitFor();
    await ada.click("#send");
    await ada.waitForSelector(".message.own[data-status=sent]", { timeout: 20_000 });
    await bob.locator(".file").nth(1).waitFor();
    const { bytes } = await download(bob, () => bob.locator(".file").nth(1).click());
    assert.ok(bytes.equals(large));
    assert.match(await bob.locator("#status").textContent(), /polling/);
  });
});

describe("connections that come and go", () => {
  it("a reload keeps the name, the rooms and the history", async () => {
    const ada = await joinChat(browser, server.url, "Ada");
    const bob = await joinChat(browser, server.url, "Bob");
    await say(ada, "mine");
    await message(bob, "mine");
    await say(bob, "his");
    await message(ada, "his");
    await ada.click('[data-room="random"]');
    await ada.waitForSelector('[data-room="random"][aria-current]');
    await ada.reload();
    await online(ada);
    await ada.waitForSelector('[data-room="random"][aria-current]');
    await ada.click('#joined-rooms [data-room="lobby"]');
    await message(ada, "mine", { own: true });
    await message(ada, "his", { own: false });
    assert.equal(await ada.locator("#my-name").textContent(), "Ada");
    await bob.locator("#people .person", { hasText: "Ada" }).first().waitFor();
    assert.equal(await bob.locator("#people .person", { hasText: "Ada" }).count(), 1, "no ghost is left behind");
  });

  it("a restarted server finds everybody again, and what was written meanwhile is sent", async () => {
    const ada = await joinChat(browser, server.url, "Ada", { allow: NETWORK_ERRORS });
    const bob = await joinChat(browser, server.url, "Bob", { allow: NETWORK_ERRORS });
    await say(ada, "before");
    await message(bob, "before");
    await server.kill();
    await ada.getByText(/Trying again in \d s/).waitFor();
    await bob.waitForSelector("#status[data-state=reconnecting], #status[data-state=connecting]");
    await say(ada, "written without a server");
    await say(ada, "and another one");
    await message(ada, "and another one", { own: true, status: "waiting" });
    await screenshot(ada, "reconnecting");

    await server.startAgain();
    await Promise.all([online(ada), online(bob)]);
    await delivered(ada, "and another one");
    await message(bob, "and another one");
    await say(bob, "welcome back");
    await message(ada, "welcome back");
    const expected = ["before", "written without a server", "and another one", "welcome back"];
    assert.deepEqual(await texts(ada), expected);
    assert.deepEqual(await texts(bob), expected);
    assert.equal(await ada.locator("#people .person").count(), 2);
    assert.equal(await ada.locator("#banner").isVisible(), false);
  });

  it("“Try now” does not wait for the countdown", async () => {
    const ada = await joinChat(browser, server.url, "Ada", { allow: NETWORK_ERRORS });
    await server.kill();
    await ada.getByText(/Trying again in [45] s/).waitFor({ timeout: 30_000 });
    await server.startAgain();
    await ada.click("#retry-now");
    await online(ada, 3000);
  });

  it("what others wrote during a network failure is fetched afterwards, in order", async () => {
    const ada = await joinChat(browser, server.url, "Ada", { allow: NETWORK_ERRORS });
    const bob = await joinChat(browser, server.url, "Bob");
    await say(bob, "one");
    await message(ada, "one");
    await ada.context().setOffline(true);
    await ada.waitForSelector("#status[data-state=reconnecting]");
    await say(ada, "four");
    await say(bob, "two");
    await say(bob, "three");
    await delivered(bob, "three");
    await ada.context().setOffline(false);
    await online(ada);
    await delivered(ada, "four");
    await message(bob, "four");
    assert.deepEqual(await texts(ada), ["one", "two", "three", "four"]);
    assert.deepEqual(await texts(bob), await texts(ada));
    assert.equal(await ada.locator("#people .person", { hasText: "Ada" }).count(), 1);
  });

  it("without WebSocket the chat works over polling", async () => {
    const prepare = (page) => page.routeWebSocket(/.*/, (ws) => ws.close());
    const ada = await joinChat(browser, server.url, "Ada", { prepare });
    const bob = await joinChat(browser, server.url, "Bob", { prepare });
    await say(ada, "over HTTP");
    await message(bob, "over HTTP");
    await say(bob, "so it is");
    await message(ada, "so it is");
    await delivered(bob, "so it is");
    assert.match(await ada.locator("#status").textContent(), /Online · polling/);
  });

  it("a proxy that swallows WebSocket frames does no harm either", async () => {
    const ada = await joinChat(browser, server.url, "Ada", { prepare: (page) => page.routeWebSocket(/.*/, () => {}) });
    const bob = await joinChat(browser, server.url, "Bob");
    await say(ada, "over HTTP");
    await message(bob, "over HTTP");
    await say(bob, "fine");
    await message(ada, "fine");
    assert.match(await ada.locator("#status").textContent(), /Online · polling/);
  });

  it("the same person in a second window of the same session takes over", async (t) => {
    const ada = await joinChat(browser, server.url, "Ada");
    const session = await ada.evaluate(() => JSON.parse(sessionStorage.getItem("sockeye-chat")).session);
    const again = await official(t, "Ada", { auth: { name: "Ada", session } });
    assert.equal(again.me.name, "Ada");
    await ada.getByText("The server ended this connection").waitFor();
    await ada.click("text=Connect again");
    await online(ada);
    assert.equal(await ada.locator("#my-name").textContent(), "Ada");
  });
});

describe("with the official client", () => {
  it("shares rooms, messages, files and typing", async (t) => {
    const ada = await joinChat(browser, server.url, "Ada");
    const node = await official(t, "Node");
    const joined = await node.ask("join", { room: "lobby" });
    assert.deepEqual(joined.members.map(({ name }) => name).sort(), ["Ada", "Node"]);
    await ada.locator("#people .person", { hasText: "Node" }).waitFor();

    node.emit("typing", { room: "lobby", typing: true });
    await ada.getByText("Node is typing").waitFor();
    assert.equal((await node.ask("message", { room: "lobby", text: "from Node" })).ok, true);
    await message(ada, "from Node", { own: false });

    const arrived = new Promise((resolve) => node.once("message", resolve));
    const bytes = randomBytes(5000);
    await ada.setInputFiles("#file", [{ name: "a.bin", mimeType: "application/x-test", buffer: bytes }]);
    await ada.waitForSelector("#staged li");
    await say(ada, "from the page");
    const received = await arrived;
    assert.equal(received.text, "from the page");
    assert.equal(received.from.name, "Ada");
    assert.deepEqual({ ...received.files[0], id: 0, data: 0 }, { id: 0, name: "a.bin", type: "application/x-test", size: 5000, data: 0 });
    assert.ok(Buffer.from(received.files[0].data).equals(bytes));
  });

  it("nothing that people write becomes markup", async (t) => {
    const ada = await joinChat(browser, server.url, "Ada");
    const evil = await official(t, "<b onclick=alert(1)>x");
    await evil.ask("join", { room: "lobby" });
    const attacks = ['<img src=x onerror="window.pwned=1">', "<script>window.pwned=1</script>", "javascript:alert(1) https://a.b/\"onmouseover=1"];
    for (const text of attacks) await evil.ask("message", { room: "lobby", text });
    const picture = { name: '"><svg onload=window.pwned=1>.png', type: "image/png", data: Buffer.from("not a picture") };
    const page = { name: "<i>page.html", type: "text/html", data: Buffer.from("<script>window.pwned=1</script>") };
    assert.equal((await evil.ask("message", { room: "lobby", files: [picture, page] })).ok, true);
    await message(ada, attacks[0]);
    await message(ada, attacks[1]);
    await ada.getByText("could not be shown").waitFor();
    assert.equal(await ada.locator("#log img, #log script, #log b, #log i, #people b").count(), 0);
    assert.deepEqual(await ada.locator("#log a").evaluateAll((links) => links.map((link) => link.getAttribute("href"))), ["https://a.b/"]);
    assert.equal(await ada.locator("#people .person bdi").last().textContent(), "<b onclick=alert(1)>x");
    assert.equal(await ada.evaluate(() => window.pwned), undefined);
    const saved = await download(ada, () => ada.click(".file"));
    assert.equal(saved.bytes.toString(), "<script>window.pwned=1</script>");
    await screenshot(ada, "markup-stays-text");
  });
});

describe("a phone", () => {
  for (const colorScheme of ["light", "dark"]) {
    it(`has everything in reach, ${colorScheme}`, async () => {
      const ada = await joinChat(browser, server.url, "Ada Lovelace", { ...PHONE, colorScheme });
      const bob = await joinChat(browser, server.url, "Bob", { ...DESKTOP, colorScheme });
      await say(bob, "Lunch at one? The place by the river has tables in the sun again.");
      await say(ada, `${"w".repeat(300)}`);
      await say(ada, "Yes!\nhttps://example.org/a/rather/long/link/that/has/no/spaces/to/break/at/and/goes/on/and/on");
      const picture = await drawing(bob);
      await bob.setInputFiles("#file", [1, 2, 3].map((n) => ({ name: `view-${n}.png`, mimeType: "image/png", buffer: picture })));
      await bob.locator("#staged li").nth(2).waitFor();
      await bob.click("#send");
      await ada.locator(".image.loaded").nth(2).waitFor();
      await bob.locator("#text").pressSequentially("And");
      await ada.getByText("Bob is typing").waitFor();
      await screenshot(ada, `phone-${colorScheme}`);
      await screenshot(bob, `desktop-${colorScheme}`);

      const fits = (selector) => ada.locator(selector).evaluate((node) => node.scrollWidth <= node.clientWidth);
      assert.ok(await fits("html"), "the page does not scroll sideways");
      assert.ok(await fits("#log"), "the messages do not scroll sideways");
      const send = await ada.locator("#send").boundingBox();
      assert.ok(send.x + send.width <= 390 && send.y + send.height <= 844, "the send button is on screen");

      await ada.tap("#open-rooms");
      await ada.waitForFunction(() => document.getElementById("rooms-panel").getBoundingClientRect().left === 0);
      await screenshot(ada, `phone-rooms-${colorScheme}`);
      await ada.tap('[data-room="random"]');
      await ada.waitForFunction(() => document.getElementById("room-title").textContent === "#random");
      await screenshot(ada, `phone-empty-${colorScheme}`);
      await ada.tap("#open-people");
      await ada.locator("#people .person", { hasText: "Ada" }).waitFor();
      await screenshot(ada, `phone-people-${colorScheme}`);
      await ada.locator("#people-panel [data-close]").tap();
      await ada.waitForSelector("#conversation:not([inert])");
    });
  }
});

describe("the keyboard", () => {
  it("reaches everything that the mouse does", async () => {
    const ada = await openWindow(browser, server.url, PHONE);
    const focused = (id) => ada.waitForFunction((wanted) => document.activeElement?.id === wanted, id);
    await focused("name");
    await ada.keyboard.type("Ada");
    await ada.keyboard.press("Tab");
    await ada.keyboard.press("Enter");
    await online(ada);
    await ada.focus("#open-rooms");
    await ada.keyboard.press("Enter");
    await ada.waitForSelector("#rooms-panel.open");
    assert.ok(await ada.evaluate(() => document.getElementById("rooms-panel").contains(document.activeElement)));
    await ada.keyboard.press("Escape");
    await focused("open-rooms");
    for (let n = 0; n < 12; n += 1) {
      await ada.keyboard.press("Tab");
      assert.ok(!(await ada.evaluate(() => document.activeElement.closest("#rooms-panel, #people-panel"))), "hidden panels are skipped");
    }
    await ada.focus("#text");
    await ada.keyboard.type("two");
    await ada.keyboard.press("Shift+Enter");
    await ada.keyboard.type("lines");
    await ada.keyboard.press("Enter");
    await delivered(ada, "two\nlines");
    await ada.click("#open-rooms");
    await ada.click('[data-room="rust"]');
    await ada.waitForFunction(() => document.getElementById("room-title").textContent === "#rust");
    await ada.keyboard.press("Alt+ArrowUp");
    await ada.waitForFunction(() => document.getElementById("room-title").textContent === "#lobby");
  });
});

describe("the static files", () => {
  it("come with their types and a strict policy", async () => {
    const types = {
      "": "text/html", "style.css": "text/css", "icon.svg": "image/svg+xml",
      ...Object.fromEntries(["chat", "view", "composer", "panels", "sockeye", "engineio"].map((name) => [`${name}.js`, "text/javascript"])),
    };
    for (const [path, type] of Object.entries(types)) {
      const response = await fetch(server.url + path);
      assert.equal(response.status, 200, path);
      assert.ok(response.headers.get("content-type").startsWith(type), path);
      assert.match(response.headers.get("content-security-policy"), /default-src 'none'/);
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
      assert.doesNotMatch(await response.text(), /<script>|<style|style="|innerHTML|https?:\/\/(?!www\.w3\.org|example\.org)[a-z]/, `${path} has nothing inline and nothing from elsewhere`);
    }
    assert.equal((await fetch(`${server.url}nothing-here`)).status, 404);
  });
});
