// The server of CONTRACT.md on the official packages.
import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";

const env = process.env;
const number = (name, fallback) => (env[name] ? Number(env[name]) : fallback);
const headTimeout = number("HEAD_TIMEOUT", 10_000);

const http = createServer(
  { headersTimeout: headTimeout, requestTimeout: 0, connectionsCheckingInterval: Math.max(50, headTimeout / 10) },
  (_, response) => response.writeHead(404).end(),
);
const io = new Server(http, {
  pingInterval: number("PING_INTERVAL", 25_000),
  pingTimeout: number("PING_TIMEOUT", 20_000),
  upgradeTimeout: number("UPGRADE_TIMEOUT", 10_000),
  connectTimeout: number("CONNECT_TIMEOUT", 45_000),
  maxHttpBufferSize: number("MAX_HTTP_BUFFER_SIZE", 1_000_000),
  parser: env.PARSER === "msgpack" ? msgpackParser : undefined,
  allowEIO3: env.ALLOW_EIO3 === "1",
  cors: env.CORS_ORIGIN ? { origin: env.CORS_ORIGIN, credentials: true } : false,
  cookie: env.COOKIE === "1",
  connectionStateRecovery: env.RECOVERY === "1" ? {} : undefined,
  allowRequest(request, answer) {
    const refusal = request.headers["x-refuse"];
    answer(refusal ?? null, refusal === undefined);
  },
});

const REFUSAL = new Error("not allowed");
const observer = io.of("/observer");

io.of("/admin").use((socket, next) => {
  if (socket.handshake.auth.token === "secret") return next();
  next(Object.assign(new Error("unauthorized"), { data: { status: 401, hint: "token" } }));
});

for (const namespace of ["/", "/chat", "/admin", /^\/dynamic-\d+$/]) {
  io.of(namespace).on("connection", serve);
}

function serve(socket) {
  const nsp = socket.nsp;
  const rooms = () => [...socket.rooms].sort();

  socket.emit("welcome", { namespace: nsp.name, auth: socket.handshake.auth, recovered: socket.recovered });

  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("echo-ack", (...args) => args.pop()(...args));
  socket.on("ask-me", async (value, ms) => {
    try {
      socket.emit("answer", null, await socket.timeout(ms).emitWithAck("question", value));
    } catch {
      socket.emit("answer", "timeout");
    }
  });
  socket.on("ask-room", (room, value, ms, ack) => {
    nsp.to(room).timeout(ms).emit("question", value, (error, answers) => ack(error !== null, answers.sort()));
  });

  socket.on("join", (room, ack) => {
    socket.join(room);
    ack(rooms());
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack(rooms());
  });
  socket.on("broadcast", (options, ...args) => {
    let operator = options.from === "socket" ? socket.broadcast : nsp;
    if (options.to) operator = operator.to(options.to);
    if (options.except) operator = operator.except(options.except);
    operator.emit("news", ...args);
  });
  socket.on("sockets-in", async (room, ack) => ack((await nsp.in(room).fetchSockets()).map((s) => s.id).sort()));
  socket.on("sockets-join", (room, other, ack) => {
    nsp.in(room).socketsJoin(other);
    ack();
  });
  socket.on("sockets-leave", (room, other, ack) => {
    nsp.in(room).socketsLeave(other);
    ack();
  });
  socket.on("disconnect-room", (room) => nsp.in(room).disconnectSockets());

  socket.on("count", (n) => {
    for (let i = 0; i < n; i++) socket.emit("count", i);
  });
  socket.on("big", (n) => socket.emit("big", "x".repeat(n)));
  socket.on("volatile", (n, payload) => {
    for (let i = 0; i < n; i++) socket.volatile.emit("volatile", i, payload);
    socket.emit("volatile-end");
  });
  socket.on("handshake", (ack) => {
    const { headers, query, address } = socket.handshake;
    ack({ header: headers["x-test"] ?? null, query: query.test ?? null, address });
  });

  socket.on("kick", () => socket.disconnect());
  socket.on("kick-hard", () => socket.disconnect(true));

  socket.use(([event], next) => next(event === "forbidden" ? REFUSAL : undefined));
  // Protocol errors come here too; only the middleware's refusals are told.
  socket.on("error", (error) => error === REFUSAL && socket.emit("refused", error.message));
  socket.on("forbidden", () => socket.emit("leaked"));
  socket.onAny((event, ...args) => {
    if (typeof event === "string" && event.startsWith("any-")) socket.emit("caught", event, ...args);
  });

  let lastRooms = [];
  socket.on("disconnecting", () => (lastRooms = rooms()));
  socket.on("disconnect", (reason) => observer.emit("disconnected", socket.id, nsp.name, reason, lastRooms));
}

process.on("SIGTERM", () => {
  io.close(() => process.exit(0));
  // Connections that never became sessions do not hold the process up.
  setTimeout(() => http.closeAllConnections(), 500);
});

http.listen(number("PORT", 0), "127.0.0.1", () => {
  console.log(`listening 127.0.0.1:${http.address().port}`);
});
