// A node of CONTRACT.md, built on the official packages.
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { Server } from "socket.io";

const { REDIS_URL, ADAPTER, MODE, NODE_NAME = "", RECOVERY, CHANNEL_PREFIX: prefix = "socket.io" } = process.env;

async function client() {
  const client = createClient({ url: REDIS_URL });
  client.on("error", (error) => console.error("redis:", error.message));
  await client.connect();
  return client;
}

async function adapter() {
  switch (ADAPTER) {
    case "pub-sub":
      return createAdapter(await client(), await client(), { key: prefix });
    case "sharded":
      return createShardedAdapter(new Redis(REDIS_URL), new Redis(REDIS_URL), { subscriptionMode: MODE, channelPrefix: prefix });
    case "streams":
      return createStreamsAdapter(await client(), { channelPrefix: prefix });
    default:
      throw new Error(`unknown adapter ${ADAPTER}`);
  }
}

const http = createServer();
const io = new Server(http, {
  adapter: await adapter(),
  connectionStateRecovery: RECOVERY === "1" ? {} : undefined,
});

function select(namespace, { to = [], except = [], volatile, local }) {
  let selected = namespace.compress(true);
  for (const room of to) selected = selected.to(room);
  for (const room of except) selected = selected.except(room);
  if (volatile) selected = selected.volatile;
  return local ? selected.local : selected;
}

const describe = (socket) => ({
  id: socket.id,
  rooms: [...socket.rooms].sort(),
  data: socket.data,
  header: socket.handshake.headers["x-test"] ?? null,
});

for (const name of ["/", "/chat"]) {
  const namespace = io.of(name);
  namespace.on("hello", (...args) => namespace.local.emit("hello", NODE_NAME, ...args));
  namespace.on("question", (question, answer) => answer([NODE_NAME, question]));
  namespace.on("connection", (socket) => {
    socket.on("join", (room, ack) => (socket.join(room), ack()));
    socket.on("data", (value, ack) => ((socket.data = value), ack()));
    socket.on("status", (ack) => ack(socket.recovered));
    socket.on("emit", (selection, event, ...rest) => {
      const ack = rest.pop();
      select(namespace, selection).emit(event, ...rest);
      ack();
    });
    socket.on("ask", (selection, ms, event, ...rest) => {
      const ack = rest.pop();
      select(namespace, selection).timeout(ms).emit(event, ...rest, (error, answers) => ack(error !== null, answers));
    });
    socket.on("fetch", async (selection, ack) => {
      try {
        const sockets = await select(namespace, selection).fetchSockets();
        ack(false, sockets.map(describe));
      } catch {
        ack(true, []);
      }
    });
    socket.on("sockets-join", (selection, room, ack) => (select(namespace, selection).socketsJoin(room), ack()));
    socket.on("sockets-leave", (selection, room, ack) => (select(namespace, selection).socketsLeave(room), ack()));
    socket.on("disconnect-sockets", (selection, close, ack) => (ack(), select(namespace, selection).disconnectSockets(close)));
    socket.on("server-emit", (...args) => {
      const ack = args.pop();
      namespace.serverSideEmit("hello", ...args);
      ack();
    });
    socket.on("server-ask", (question, ack) => {
      namespace.serverSideEmit("question", question, (error, answers) => ack(error !== null, answers));
    });
    socket.on("server-count", async (ack) => ack(await namespace.adapter.serverCount()));
    socket.on("all-rooms", async (ack) => {
      const rooms = namespace.adapter.allRooms ? await namespace.adapter.allRooms() : new Set();
      ack([...rooms].sort());
    });
  });
}

http.listen(0, "127.0.0.1", () => console.log(`listening 127.0.0.1:${http.address().port}`));
process.on("SIGTERM", () => io.close(() => process.exit(0)));
