// Node's ws as an echo server: node ws.mjs <package.json of the folder with node_modules> [--deflate]
import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(process.argv[2])("ws");
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  maxPayload: 64 << 20,
  perMessageDeflate: process.argv.includes("--deflate"),
});
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", (error) => console.error(error.message));
});
