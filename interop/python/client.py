"""The client of python-socketio, with the events that it received and deadlines for what it waits for."""

import queue
import time

import socketio

WAIT_S = 5
WAYS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "polling, upgraded": ["polling", "websocket"],
}


class Client:
    def __init__(self, server, transports, namespace="/", reconnection=False, **options):
        self.namespace = namespace
        self.received = {}
        self.io = socketio.Client(
            reconnection=reconnection, reconnection_delay=0.05, reconnection_delay_max=0.2, handle_sigint=False
        )
        self.refusals = queue.Queue()
        self.connects = queue.Queue()
        self.ends = queue.Queue()
        self.answers = None
        self.io.on("*", self._on_event, namespace=namespace)
        self.io.on("connect_error", self.refusals.put, namespace=namespace)
        self.io.on("connect", lambda: self.connects.put(None), namespace=namespace)
        self.io.on("disconnect", self.ends.put, namespace=namespace)
        # Answered by `answers`; other events are only collected.
        self.io.on("question", self._on_question, namespace=namespace)
        self.io.connect(server.url, transports=transports, namespaces=[namespace], wait_timeout=WAIT_S, **options)

    @property
    def id(self):
        return self.io.get_sid(self.namespace)

    @property
    def transport(self):
        return self.io.transport()

    def emit(self, event, *args):
        self.io.emit(event, args, namespace=self.namespace)

    def ask(self, event, *args, timeout=WAIT_S):
        return self.io.call(event, args, namespace=self.namespace, timeout=timeout)

    def next(self, event, timeout=WAIT_S):
        """The arguments of the next `event`."""
        return self._queue(event).get(timeout=timeout)

    def all(self, event):
        """The arguments of every `event` so far."""
        events = self._queue(event)
        return [events.get() for _ in range(events.qsize())]

    def close(self):
        self.io.disconnect()

    def _queue(self, event):
        return self.received.setdefault(event, queue.Queue())

    def _on_event(self, event, *args):
        self._queue(event).put(args)

    def _on_question(self, value):
        return self.answers(value)


def eventually(check, what):
    end = time.monotonic() + WAIT_S
    while not (value := check()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {WAIT_S} s for {what}")
        time.sleep(0.01)
    return value
