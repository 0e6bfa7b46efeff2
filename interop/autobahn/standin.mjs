// Stands in for the testees to check the runner itself: `standin.mjs server`, `standin.mjs client URL`.
import { WebSocket, WebSocketServer } from "ws";

const LIMIT = 64 * 1024 * 1024;
const [role, url] = process.argv.slice(2);

function echo(socket) {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", () => {});
}

async function visit(path, prepare) {
  const socket = new WebSocket(url + path, { perMessageDeflate: false, maxPayload: LIMIT });
  prepare(socket);
  await new Promise((resolve) => socket.once("close", resolve));
}

if (role === "server") {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, maxPayload: LIMIT });
  server.on("connection", echo);
  server.on("listening", () => console.log(`listening 127.0.0.1:${server.address().port}`));
} else {
  let count = 0;
  await visit("/getCaseCount", (socket) => socket.on("message", (text) => (count = Number(text))));
  for (let i = 1; i <= count; i++) await visit(`/runCase?case=${i}&agent=sockeye-client`, echo);
  await visit("/updateReports?agent=sockeye-client", echo);
}
