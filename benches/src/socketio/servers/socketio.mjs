// The official server, on Node: node socketio.mjs <package.json of the folder with node_modules>
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { Server } = createRequire(process.argv[2])("socket.io");
const httpServer = createServer();
const io = new Server(httpServer, { pingInterval: 300000, serveClient: false });
io.on("connection", (socket) => {
  socket.on("echo", (text) => socket.emit("echo", text));
  socket.on("ask", (text, answer) => answer(text));
  socket.on("join", (rooms, answer) => {
    for (const room of rooms) socket.join(`room ${room}`);
    answer();
  });
  socket.on("shout", (text) => io.emit("shout", text));
  socket.on("say", (room, text) => io.to(`room ${room}`).emit("say", text));
  socket.on("big", (length) => io.emit("big", "x".repeat(length)));
});
httpServer.listen(0, "127.0.0.1", () => console.log(httpServer.address().port));
