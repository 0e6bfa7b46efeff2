# -*- coding: utf-8 -*-
"""wstest for Python 2.7 that listens on 127.0.0.1 only, and prints its progress unbuffered."""
import os
import sys

sys.stdout = os.fdopen(sys.stdout.fileno(), "w", 0)

import autobahntestsuite  # noqa: F401 - puts its own directory on sys.path
from autobahntestsuite import wstest
from twisted.internet import reactor

LOOPBACK = "127.0.0.1"
listen_tcp, listen_ssl = reactor.listenTCP, reactor.listenSSL
reactor.listenTCP = lambda port, factory, backlog=50, interface="": listen_tcp(port, factory, backlog, LOOPBACK)
reactor.listenSSL = lambda port, factory, context, backlog=50, interface="": listen_ssl(
    port, factory, context, backlog, LOOPBACK
)
wstest.run()
