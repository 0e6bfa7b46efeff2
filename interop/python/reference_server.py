"""The server of CONTRACT.md on python-socketio, as far as the tests of the client need it."""

import asyncio
import os
import socket

import socketio
import uvicorn


def milliseconds(name, default):
    return int(os.environ.get(name, default)) / 1000



sio = socketio.AsyncServer(
    async_mode="asgi",
    namespaces="*",
    ping_interval=milliseconds("PING_INTERVAL", 25_000),
    ping_timeout=milliseconds("PING_TIMEOUT", 20_000),
    max_http_buffer_size=int(os.environ.get("MAX_HTTP_BUFFER_SIZE", 1_000_000)),
    serializer="msgpack" if os.environ.get("PARSER") == "msgpack" else "default",
)


def exists(namespace):
    return namespace in ("/", "/chat", "/admin", "/observer") or (
        namespace.startswith("/dynamic-") and namespace.removeprefix("/dynamic-").isdigit()
    )


@sio.on("connect", namespace="*")
async def connect(namespace, sid, environ, auth=None):
    if not exists(namespace):
        raise socketio.exceptions.ConnectionRefusedError("Invalid namespace")
    if namespace == "/admin" and (auth or {}).get("token") != "secret":
        raise socketio.exceptions.ConnectionRefusedError("unauthorized", {"status": 401, "hint": "token"})
    await sio.save_session(sid, {"environ": environ}, namespace=namespace)
    if namespace != "/observer":

        async def welcome():
            # Behind the answer to CONNECT, which leaves when this handler is done.
            await sio.emit(
                "welcome",
                {"namespace": namespace, "auth": auth or {}, "recovered": False},
                to=sid,
                namespace=namespace,
            )

        sio.start_background_task(welcome)


@sio.on("disconnect", namespace="*")
async def disconnect(namespace, sid, reason):
    if namespace != "/observer":
        await sio.emit("disconnected", (sid, namespace, str(reason), []), namespace="/observer")


@sio.on("*", namespace="*")
async def any_event(event, namespace, sid, *args):
    handler = HANDLERS.get(event)
    if handler:
        return await handler(namespace, sid, *args)
    # An answer that does not come, for a client that asked.
    await asyncio.sleep(3600)


async def echo(namespace, sid, *args):
    await sio.emit("echo", args, to=sid, namespace=namespace)


async def echo_ack(namespace, sid, *args):
    return args


async def ask_me(namespace, sid, value, timeout):
    async def ask():
        try:
            answer = await sio.call("question", value, to=sid, namespace=namespace, timeout=timeout / 1000)
        except socketio.exceptions.TimeoutError:
            await sio.emit("answer", "timeout", to=sid, namespace=namespace)
        else:
            await sio.emit("answer", (None, answer), to=sid, namespace=namespace)

    sio.start_background_task(ask)


async def join(namespace, sid, room):
    await sio.enter_room(sid, room, namespace=namespace)
    return (sorted(sio.rooms(sid, namespace=namespace)),)


async def broadcast(namespace, sid, options, *args):
    skip = sid if options.get("from") == "socket" else None
    await sio.emit("news", args, room=options.get("to"), skip_sid=skip, namespace=namespace)


async def count(namespace, sid, number):
    for value in range(number):
        await sio.emit("count", value, to=sid, namespace=namespace)


async def big(namespace, sid, length):
    await sio.emit("big", "x" * length, to=sid, namespace=namespace)


async def handshake(namespace, sid):
    environ = (await sio.get_session(sid, namespace=namespace))["environ"]
    from urllib.parse import parse_qs

    query = parse_qs(environ["QUERY_STRING"])
    return {
        "header": environ.get("HTTP_X_TEST"),
        "query": query.get("test", [None])[0],
        "address": environ.get("REMOTE_ADDR"),
    }


async def kick(namespace, sid):
    await sio.disconnect(sid, namespace=namespace)


async def caught(namespace, sid, *args):
    await sio.emit("caught", ("any-thing", *args), to=sid, namespace=namespace)


HANDLERS = {
    "echo": echo,
    "echo-ack": echo_ack,
    "ask-me": ask_me,
    "join": join,
    "broadcast": broadcast,
    "count": count,
    "big": big,
    "handshake": handshake,
    "kick": kick,
    "kick-hard": kick,
    "any-thing": caught,
}


async def refuse(scope, receive, send):
    """The header `x-refuse` of CONTRACT.md."""
    text = dict(scope.get("headers", [])).get(b"x-refuse")
    if text is None or scope["type"] != "http":
        if text is not None:
            await send({"type": "websocket.close", "code": 1008})
            return
        await application(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 403, "headers": []})
    await send({"type": "http.response.body", "body": text})


application = socketio.ASGIApp(sio)


async def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", 0))))
    listener.listen(128)
    config = uvicorn.Config(refuse, log_level="error", ws_max_size=100_000_000, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    print(f"listening 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await server.serve(sockets=[listener])


asyncio.run(main())
