// The chat of examples/chat as a Node server with the official socket.io package: what the page and its tests are developed against. It follows
// examples/chat/PROTOCOL.md in every point. PORT: where to listen on 127.0.0.1 (0: a free port).
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { Server } from "socket.io";

const PAGE = new URL("../../examples/chat/page/", import.meta.url);
const STATIC = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/style.css": ["style.css", "text/css; charset=utf-8"],
  "/chat.js": ["chat.js", "text/javascript; charset=utf-8"],
  "/view.js": ["view.js", "text/javascript; charset=utf-8"],
  "/composer.js": ["composer.js", "text/javascript; charset=utf-8"],
  "/panels.js": ["panels.js", "text/javascript; charset=utf-8"],
  "/sockeye.js": ["sockeye.js", "text/javascript; charset=utf-8"],
  "/engineio.js": ["engineio.js", "text/javascript; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};
const HEADERS = {
  "cache-control": "no-cache",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

const http = createServer(async (request, response) => {
  const [name, type] = STATIC[request.url.split("?")[0]] ?? [];
  if (!name || !["GET", "HEAD"].includes(request.method)) return response.writeHead(404).end();
  const body = await readFile(new URL(name, PAGE));
  response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": body.length }).end(request.method === "GET" ? body : undefined);
});

const io = new Server(http, { serveClient: false });

const LIMITS = { text: 2000, files: 10, fileBytes: 700_000, messageBytes: 2_000_000, rooms: 8 };
const PREDEFINED = ["lobby", "rust", "random"];
const ROOMS = 200, HISTORY = 50, CONTENT = 32_000_000, BUCKET = 40, REFILL = 10;

const boot = Date.now().toString(36);
let counter = 0;
const nextId = () => `${boot}-${(counter += 1).toString(36)}`;

const rooms = new Map(PREDEFINED.map((name) => [name, { members: new Map(), history: [] }]));
const contents = new Map(); // file id -> { room, name, type, data }, oldest first
let contentBytes = 0;

const refuse = (error, more) => ({ ok: false, error, ...more });
const length = (text) => [...text].length;
const isRoom = (name) => typeof name === "string" && /^[a-z0-9_-]{1,32}$/.test(name);
const hasControl = (text, except = "") => [...text].some((char) => /\p{Cc}/u.test(char) && !except.includes(char));

const list = () => {
  const names = [...rooms.keys()];
  const others = names.filter((name) => !PREDEFINED.includes(name)).sort();
  return [...PREDEFINED, ...others].map((room) => ({ room, members: rooms.get(room).members.size }));
};
let announcing = null;
const announce = () => {
  announcing ??= setTimeout(() => {
    announcing = null;
    io.emit("rooms", { list: list() });
  }, 100);
};

function dropContent(id) {
  const file = contents.get(id);
  if (!file) return;
  contents.delete(id);
  contentBytes -= file.data.length;
}

const dropMessage = (message) => message.files.forEach(({ id }) => dropContent(id));

function leave(socket, name) {
  const room = rooms.get(name);
  if (!room?.members.delete(socket.id)) return;
  socket.leave(name);
  socket.to(name).emit("left", { room: name, member: socket.data.me });
  announce();
}

function nameProblem(name) {
  if (typeof name !== "string") return "missing";
  const trimmed = name.trim();
  if (!trimmed) return "empty";
  if (length(trimmed) > 24) return "too long";
  return hasControl(trimmed) ? "control character" : null;
}

io.use((socket, next) => {
  const { name, session } = socket.handshake.auth;
  const reason = nameProblem(name);
  if (reason) return next(Object.assign(new Error("invalid name"), { data: { reason } }));
  socket.data.session = typeof session === "string" && /^[A-Za-z0-9_-]{16,64}$/.test(session) ? session : null;
  const all = [...io.of("/").sockets.values()];
  if (socket.data.session) all.find((other) => other.data.session === socket.data.session)?.disconnect();
  const taken = new Set([...io.of("/").sockets.values()].map((other) => other.data.me?.name.toLowerCase()));
  let given = name.trim();
  for (let n = 2; taken.has(given.toLowerCase()); n += 1) given = [...name.trim()].slice(0, 24 - ` ${n}`.length).join("").trimEnd() + ` ${n}`;
  socket.data.me = { id: socket.id, name: given };
  next();
});

const requests = {
  join(socket, { room: name, after }) {
    const joined = [...rooms.values()].filter((room) => room.members.has(socket.id)).length;
    let room = rooms.get(name);
    const already = room?.members.has(socket.id);
    if (!already && joined >= LIMITS.rooms) return refuse("too many rooms");
    if (!room) {
      if (rooms.size >= ROOMS) {
        const empty = [...rooms].find(([other, { members }]) => !members.size && !PREDEFINED.includes(other));
        if (!empty) return refuse("server full");
        empty[1].history.forEach(dropMessage);
        rooms.delete(empty[0]);
      }
      rooms.set(name, room = { members: new Map(), history: [] });
    }
    if (!already) {
      socket.to(name).emit("joined", { room: name, member: socket.data.me });
      socket.join(name);
      room.members.set(socket.id, socket.data.me);
      announce();
    }
    const from = room.history.findIndex(({ message }) => message.id === after) + 1;
    return { ok: true, room: name, history: room.history.slice(from).map(({ message }) => message), members: [...room.members.values()] };
  },

  leave(socket, { room }) {
    leave(socket, room);
    return { ok: true, room };
  },

  message(socket, { room: name, text = "", files = [], clientId }) {
    const room = rooms.get(name);
    if (!room?.members.has(socket.id)) return refuse("not in room");
    if (typeof text !== "string" || hasControl(text, "\n\t")) return refuse("invalid text");
    if (length(text) > LIMITS.text) return refuse("text too long");
    if (!Array.isArray(files)) return refuse("invalid file");
    if (!text.trim() && !files.length) return refuse("empty message");
    if (files.length > LIMITS.files) return refuse("too many files");
    const isFile = (file) => typeof file?.name === "string" && typeof file.type === "string" && Buffer.isBuffer(file.data);
    if (!files.every(isFile)) return refuse("invalid file");
    for (const file of files) {
      if (!file.data.length) return refuse("empty file");
      if (file.data.length > LIMITS.fileBytes) return refuse("file too large");
    }
    if (files.reduce((sum, { data }) => sum + data.length, 0) > LIMITS.messageBytes) return refuse("message too large");
    if (typeof clientId !== "string" || !clientId || length(clientId) > 64) clientId = null;
    const earlier = clientId && room.history.find((entry) => entry.clientId === clientId);
    if (earlier) return { ok: true, id: earlier.message.id, at: earlier.message.at };

    const message = { id: nextId(), room: name, from: socket.data.me, text, at: Date.now(), files: [] };
    const withData = [];
    for (const { name: given, type: claimed, data } of files) {
      const clean = [...given.replace(/[\p{Cc}/\\]/gu, "").trim()].slice(0, 100).join("") || "file";
      const type = claimed.length <= 100 && /^[a-z0-9.+-]+\/[a-z0-9.+-]+$/.test(claimed) ? claimed : "application/octet-stream";
      const file = { id: nextId(), name: clean, type, size: data.length };
      message.files.push(file);
      withData.push({ ...file, data });
      contents.set(file.id, { room: name, name: clean, type, data });
      contentBytes += data.length;
    }
    while (contentBytes > CONTENT) dropContent(contents.keys().next().value);
    room.history.push({ clientId, message });
    if (room.history.length > HISTORY) dropMessage(room.history.shift().message);
    socket.to(name).emit("message", { ...message, files: withData });
    return { ok: true, id: message.id, at: message.at };
  },

  rooms: () => ({ ok: true, list: list() }),

  "file-content"(socket, { id }) {
    const file = contents.get(id);
    if (!file || !rooms.get(file.room)?.members.has(socket.id)) return refuse("no such file");
    return { ok: true, id, name: file.name, type: file.type, data: file.data };
  },
};

io.on("connection", (socket) => {
  let tokens = BUCKET, refilled = Date.now();
  const take = () => {
    const now = Date.now();
    tokens = Math.min(BUCKET, tokens + (now - refilled) * REFILL / 1000);
    refilled = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
  socket.emit("welcome", { me: socket.data.me, list: list(), limits: LIMITS });
  for (const [event, handle] of Object.entries(requests)) {
    socket.on(event, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : null;
      const [argument = null] = args;
      const data = argument !== null && typeof argument === "object" ? argument : {};
      const needsRoom = ["join", "leave", "message"].includes(event);
      const answer = !take() ? refuse("rate limited", { retryAfter: Math.ceil((1 - tokens) * 1000 / REFILL) })
        : needsRoom && !isRoom(data.room) ? refuse("invalid room") : handle(socket, data);
      ack?.(answer);
    });
  }
  socket.on("typing", (data) => {
    if (!take() || typeof data?.typing !== "boolean" || !rooms.get(data.room)?.members.has(socket.id)) return;
    socket.to(data.room).volatile.emit("typing", { room: data.room, member: socket.data.me, typing: data.typing });
  });
  socket.on("disconnecting", () => {
    for (const name of rooms.keys()) leave(socket, name);
  });
});

http.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}/`));
