"""Starts and stops the server under test (see CONTRACT.md)."""

import os
import pathlib
import re
import subprocess

STOP_S = 5


class ServerUnderTest:
    def __init__(self, **settings):
        self.settings = {name: str(value) for name, value in settings.items()}
        self._launch(0)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def kill(self):
        """Ends the server without a farewell."""
        self._end(self.child.kill)

    def stop(self):
        """Shuts the server down in an orderly way and returns its exit status."""
        return self._end(self.child.terminate)

    def start_again(self):
        """Starts the server on the port it had."""
        self._launch(self.port)

    def _launch(self, port):
        path = pathlib.Path(os.environ["SERVER_UNDER_TEST"]).resolve()
        command = ["node", path] if path.suffix == ".mjs" else [path]
        environment = {**os.environ, **self.settings, "PORT": str(port)}
        self.child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        match = re.fullmatch(r"listening 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.kill()
            raise RuntimeError(f"the server under test did not announce its port: {line!r}")
        self.port = int(match[1])

    def _end(self, how):
        how()
        try:
            return self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()
        finally:
            self.child.stdout.close()
