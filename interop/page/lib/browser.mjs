// A browser, windows in it, and what one does in a window of the chat.
import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const OUT = fileURLToPath(new URL("../../out/", import.meta.url));
mkdirSync(OUT, { recursive: true });

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // not there
      }
    }
  }
  throw new Error("no chromium in PATH; CHROMIUM can name one");
}

export const launch = () => chromium.launch({ executablePath: executable(), headless: true, args: ARGS });

export const DESKTOP = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** What Chromium itself reports when a server is not there. */
export const NETWORK_ERRORS = /net::ERR_|WebSocket connection to .* failed|status of 400/;

const windows = [];

/** Closes the windows of a test; fails if one of them had an error on its console. To be called before the server goes. */
export async function closeWindows() {
  for (const { context, errors } of windows.splice(0)) {
    await context.close();
    assert.deepEqual(errors, [], "the console has no errors");
  }
}

/** A window that notes every error on its console but those that `allow` says belong to the test. */
export async function openWindow(browser, url, { allow, prepare, ...options } = {}) {
  const context = await browser.newContext({ ...DESKTOP, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !allow?.test(message.text())) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error.stack ?? error)));
  page.setDefaultTimeout(10_000);
  windows.push({ context, errors });
  await prepare?.(page);
  await page.goto(url);
  return page;
}

/** A window whose user has chosen a name and is in the lobby. */
export async function joinChat(browser, url, name, options) {
  const page = await openWindow(browser, url, options);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await online(page);
  await page.waitForSelector("#joined-rooms [aria-current]", { state: "attached" });
  return page;
}

export const online = (page, ms = 15_000) => page.waitForSelector("#status[data-state=online]", { timeout: ms });

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits for the message with this text in the room on screen. */
export function message(page, text, { own, status } = {}) {
  const classes = own === undefined ? "" : own ? ".own" : ":not(.own)";
  const found = page.locator(`.message${classes}${status ? `[data-status=${status}]` : ""}`).filter({ has: page.getByText(text, { exact: true }) });
  return found.first().waitFor({ timeout: 15_000 }).then(() => found);
}

export const delivered = (page, text) => message(page, text, { own: true, status: "sent" });

export const texts = (page) => page.locator(".message .text").allTextContents();

export const screenshot = (page, name) => page.screenshot({ path: join(OUT, `${name}.png`), animations: "disabled" });

/** The bytes that `action` makes the browser download, and the name it gives them. */
export async function download(page, action) {
  const [file] = await Promise.all([page.waitForEvent("download"), action()]);
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

/** A picture as PNG, drawn by the browser. */
export async function drawing(page) {
  const bytes = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 420 });
    const pen = canvas.getContext("2d");
    const sky = pen.createLinearGradient(0, 0, 0, 420);
    sky.addColorStop(0, "#f7b36b");
    sky.addColorStop(0.6, "#d65a4a");
    sky.addColorStop(1, "#223a55");
    pen.fillStyle = sky;
    pen.fillRect(0, 0, 640, 420);
    pen.fillStyle = "#fff2d8";
    pen.arc(480, 110, 38, 0, 7);
    pen.fill();
    pen.fillStyle = "#18283b";
    pen.beginPath();
    for (const [x, y] of [[0, 420], [0, 300], [160, 200], [280, 310], [430, 170], [640, 330], [640, 420]]) pen.lineTo(x, y);
    pen.fill();
    const blob = await new Promise((done) => canvas.toBlob(done));
    return [...new Uint8Array(await blob.arrayBuffer())];
  });
  return Buffer.from(bytes);
}
