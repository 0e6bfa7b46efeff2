// TCP proxies in front of a server under test, for what the network does.
import net from "node:net";

/** Delays all that WebSocket connections carry by `ms` in both directions; HTTP requests pass at once. */
export async function slowWebSockets(t, server, ms) {
  return proxy(t, server, (from, to) => {
    let isWebSocket = false;
    from.on("data", (chunk) => {
      isWebSocket ||= /upgrade: websocket/i.test(chunk.toString("latin1"));
      if (isWebSocket && ms > 0) setTimeout(() => to.write(chunk), ms);
      else to.write(chunk);
    });
  });
}

/** A proxy whose connections can be cut (`cut()`) and whose listener can refuse new ones while it is `down`. */
export async function breakableLink(t, server) {
  const link = await proxy(t, server, (from, to) => from.on("data", (chunk) => to.write(chunk)));
  link.cut = () => link.sockets.forEach((socket) => socket.destroy());
  return link;
}

async function proxy(t, server, forward) {
  const link = { sockets: new Set(), down: false };
  const listener = net.createServer((client) => {
    if (link.down) return client.destroy();
    const upstream = net.connect(server.port, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ]) {
      link.sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("end", () => to.end());
      from.on("close", (failed) => {
        link.sockets.delete(from);
        if (failed) to.destroy();
        else to.end();
      });
      forward(from, to);
    }
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    listener.close();
    link.sockets.forEach((socket) => socket.destroy());
  });
  link.port = listener.address().port;
  link.url = `http://127.0.0.1:${link.port}`;
  return link;
}
