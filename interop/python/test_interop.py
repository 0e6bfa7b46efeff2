"""The client of python-socketio against the server under test (see CONTRACT.md)."""

import time

import pytest
import socketio
from client import eventually
from server import ServerUnderTest

BYTES = bytes(range(256))


def test_connects_and_is_welcomed(connect, transports):
    client = connect()
    assert client.next("welcome") == ({"namespace": "/", "auth": {}, "recovered": False},)
    assert client.transport == transports[-1]
    assert client.id != client.io.eio.sid, "the Engine.IO session id is a secret"


def test_connects_to_a_custom_namespace(connect):
    assert connect("/chat").next("welcome")[0]["namespace"] == "/chat"


def test_is_refused_by_an_unknown_namespace(connect):
    with pytest.raises(socketio.exceptions.ConnectionError, match="One or more namespaces failed to connect"):
        connect("/unknown")


def test_hands_over_authentication_data(connect):
    auth = {"token": "secret", "nested": [1, None, "é"]}
    assert connect("/admin", auth=auth).next("welcome")[0]["auth"] == auth


def test_is_refused_by_the_middleware_with_message_and_data(server, transports):
    refusals = []
    client = socketio.Client(reconnection=False, handle_sigint=False)
    client.on("connect_error", refusals.append, namespace="/admin")
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, transports=transports, namespaces=["/admin"], auth={"token": "wrong"})
    assert refusals == [{"message": "unauthorized", "data": {"status": 401, "hint": "token"}}]


def test_sees_its_handshake(connect, transports):
    client = connect(headers={"x-test": "a header"})
    assert client.ask("handshake") == {"header": "a header", "query": None, "address": "127.0.0.1"}


def test_echoes_values_and_text(connect):
    client = connect()
    args = (0, -1.5, True, None, "text", [], {"a": [{}]}, '"\\/\n\x1e\u2028', "aé€\U0001f41f\U0010ffff")
    client.emit("echo", *args)
    assert client.next("echo") == args
    client.emit("any-\U0001f41f\"'\n", 1)
    assert client.next("caught") == ("any-\U0001f41f\"'\n", 1)


def test_echoes_binary_data(connect):
    client = connect()
    args = (BYTES, {"list": [b"second", {"third": b""}]}, "text", [[b"\x1e\x00\xff"]])
    client.emit("echo", *args)
    assert client.next("echo") == args


def test_gets_acknowledgements(connect):
    client = connect()
    assert [client.ask("echo-ack", i) for i in range(20)] == list(range(20))
    assert client.ask("echo-ack", 1, {"two": BYTES}) == (1, {"two": BYTES})
    assert client.ask("echo-ack") is None


def test_acknowledgement_times_out_when_nobody_answers(connect):
    client = connect()
    with pytest.raises(socketio.exceptions.TimeoutError):
        client.ask("nobody-listens", timeout=0.2)
    assert client.ask("echo-ack", "next") == "next"


def test_answers_the_server(connect):
    client = connect()
    client.answers = lambda value: {"got": value, "more": b"\x09"}
    for value in [21, {"bytes": BYTES}]:
        client.emit("ask-me", value, 4000)
        assert client.next("answer") == (None, {"got": value, "more": b"\x09"})


def test_server_gives_up_on_an_answer(connect):
    client = connect()
    client.answers = lambda value: time.sleep(0.5)
    client.emit("ask-me", 1, 150)
    assert client.next("answer") == ("timeout",)
    time.sleep(0.5)
    assert client.ask("echo-ack", "next") == "next"
    assert client.all("answer") == []


def test_keeps_the_order_of_messages(connect):
    client = connect()
    # python-engineio refuses a polling payload of more than 16 packets, so that the pace is bounded.
    for start in range(0, 300, 10):
        for i in range(start, start + 10):
            client.emit("echo", i)
        assert [client.next("echo") for _ in range(10)] == [(i,) for i in range(start, start + 10)]


def test_carries_large_messages(connect):
    client = connect()
    text = "y" * 900_000
    client.emit("echo", text)
    assert client.next("echo") == (text,)
    client.emit("echo", BYTES * 2000)
    assert client.next("echo") == (BYTES * 2000,)


def test_joins_leaves_and_hears_its_rooms(connect, request):
    room, other = f"1 {request.node.name}", f"2 {request.node.name}"
    a, b, c = connect(), connect(), connect()
    assert a.ask("join", room) == sorted([a.id, room])
    b.ask("join", room)
    b.ask("join", other)
    c.ask("join", other)

    a.emit("broadcast", {"from": "io", "to": [room]}, "room")
    a.emit("broadcast", {"from": "io", "to": [room, other]}, "once")
    a.emit("broadcast", {"from": "socket", "to": [room, other]}, "not a")
    a.emit("broadcast", {"from": "io", "to": [room, other], "except": [other]}, "only a")
    a.emit("broadcast", {"from": "io", "to": [c.id]}, b"only c")
    a.ask("echo-ack")
    for client in (b, c):
        client.ask("echo-ack")
    assert a.all("news") == [("room",), ("once",), ("only a",)]
    assert b.all("news") == [("room",), ("once",), ("not a",)]
    assert c.all("news") == [("once",), ("not a",), (b"only c",)]

    assert b.ask("leave", room) == sorted([b.id, other])
    assert a.ask("sockets-in", room) == [a.id]


def test_is_disconnected_by_the_server(connect, observer):
    client = connect()
    id = client.id
    client.emit("kick")
    assert client.ends.get(timeout=5) == client.io.reason.SERVER_DISCONNECT
    report = eventually(lambda: observer.get(id), "the report")
    assert report == ("/", "server namespace disconnect", [id])


def test_disconnects(connect, observer):
    client = connect()
    id = client.id
    client.close()
    assert client.ends.get(timeout=5) == client.io.reason.CLIENT_DISCONNECT
    report = eventually(lambda: observer.get(id), "the report")
    assert report[1] in ("client namespace disconnect", "transport close", "transport error")


def test_uses_two_namespaces_on_one_connection(server, transports):
    client = socketio.Client(reconnection=False, handle_sigint=False)
    client.connect(server.url, transports=transports, namespaces=["/", "/chat"], wait_timeout=5)
    try:
        assert client.call("echo-ack", "root", timeout=5) == "root"
        assert client.call("echo-ack", "chat", namespace="/chat", timeout=5) == "chat"
        assert client.get_sid("/") != client.get_sid("/chat")
    finally:
        client.disconnect()


def test_comes_back_after_a_restart(connect):
    server = ServerUnderTest()
    try:
        client = connect(to=server, reconnection=True)
        client.connects.get(timeout=5)
        before = client.id
        server.kill()
        client.ends.get(timeout=10)
        server.start_again()
        client.connects.get(timeout=15)
        assert client.ask("echo-ack", "alive") == "alive"
        assert client.id != before
    finally:
        server.kill()


def test_stays_through_many_heartbeats(connect):
    server = ServerUnderTest(PING_INTERVAL=150, PING_TIMEOUT=400)
    try:
        client = connect(to=server)
        time.sleep(1.5)
        assert client.ends.empty()
        assert client.ask("echo-ack", "alive") == "alive"
    finally:
        server.kill()
