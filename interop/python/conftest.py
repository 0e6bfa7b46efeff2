import contextlib

import pytest
from client import WAYS, Client
from server import ServerUnderTest


@pytest.fixture(scope="session")
def server():
    server = ServerUnderTest()
    yield server
    server.kill()


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def transports(request):
    return request.param


@pytest.fixture
def connect(server, transports):
    """Connects clients that are closed with the test."""
    with contextlib.ExitStack() as clients:

        def connect(namespace="/", to=server, **options):
            client = Client(to, transports, namespace, **options)
            clients.callback(client.close)
            return client

        yield connect


@pytest.fixture
def observer(server):
    """The disconnections that the server reported, by socket id."""
    client = Client(server, ["websocket"], "/observer")
    reports = {}
    client.io.on("disconnected", lambda id, *report: reports.__setitem__(id, report), namespace="/observer")
    yield reports
    client.close()
