#!/usr/bin/env python3
"""Runs the Autobahn test suite against the WebSocket server and client, side by side.

The testees are commands; they default to the release binaries of the workspace:
  AUTOBAHN_SERVER  prints `listening 127.0.0.1:PORT` and echoes text and binary messages
  AUTOBAHN_CLIENT  gets ws://127.0.0.1:PORT as its argument and runs the cases as the agent `sockeye-client`

The suite is Python 2 code. PYTHON27 names the interpreter; otherwise `python2.7` in the PATH and the versions of
pyenv are tried. Exit status: 0 passed, 1 failed, 75 not run because there is no Python 2.7.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time

import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = HERE / ".venv"
SUITE = "autobahntestsuite==25.10.1"
# Sections 12 and 13, permessage-deflate, take most of the time, and nearly all of it in the suite itself.
DEFAULT_CASES = "*"
DEFAULT_COUNT = 517
START_S = 20
# On a busy machine a case or two miss the suite's deadline for closing.
MAX_AGAIN = 3
NOT_RUN = 75


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=["server", "client", "both"], default="both", help="the testee's role")
    parser.add_argument("--cases", default=DEFAULT_CASES, help="comma separated patterns, default %(default)s")
    parser.add_argument("--expect", type=int, default=DEFAULT_COUNT, help="number of cases, default %(default)s")
    parser.add_argument("--out", default=HERE.parent / "out" / "autobahn", type=pathlib.Path, help="folder of the reports")
    parser.add_argument("--timeout", type=int, default=3000, help="seconds per role, default %(default)s")
    options = parser.parse_args()

    python27 = find_python27()
    if python27 is None:
        print("Autobahn did NOT run: its test suite needs Python 2.7 and there is none here.")
        print("Install it with `pyenv install 2.7.18`, or set PYTHON27 to an interpreter.")
        return NOT_RUN
    install(python27)

    roles = {"server": test_server, "client": test_client}
    chosen = roles if options.role == "both" else [options.role]
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {role: pool.submit(roles[role], options) for role in chosen}
        passed = True
        for role, run in runs.items():
            try:
                cases = run.result()
            except Failure as failure:
                print(f"Autobahn, {role}: {failure}")
                passed = False
                continue
            again = report.cut_off(cases)
            if again and len(again) <= MAX_AGAIN:
                print(f"Autobahn, {role}: the suite's own deadline of 1 s ended {', '.join(again)}; once more, alone")
                cases |= roles[role](argparse.Namespace(**vars(options) | {"cases": ",".join(again), "out": options.out / "again"}))
            passed &= report.summarize(f"Autobahn, {role}", cases, options.expect)
    print(f"Autobahn {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s")
    return 0 if passed else 1


class Failure(Exception):
    """The run itself went wrong, so that there is nothing to judge."""


def find_python27():
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    pyenv_roots = {os.environ.get("PYENV_ROOT"), str(pathlib.Path.home() / ".pyenv")}
    for root in filter(None, pyenv_roots):
        candidates += sorted(map(str, pathlib.Path(root).glob("versions/2.7*/bin/python2.7")))
    check = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in filter(None, candidates):
        # A shim of pyenv is in the PATH even where its version is not enabled, so that only running it tells.
        with contextlib.suppress(OSError):
            if subprocess.run([candidate, "-c", check], capture_output=True).returncode == 0:
                return candidate
    return None


def install(python27):
    """Creates the virtual environment of the suite; done once."""
    python = VENV / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import autobahntestsuite"], capture_output=True).returncode == 0:
        return
    print("Installing the Autobahn test suite ...", flush=True)
    bootstrap = HERE / ".venv-bootstrap"
    shutil.rmtree(VENV, ignore_errors=True)
    if not bootstrap.exists():
        call(sys.executable, "-m", "venv", bootstrap)
    # The last virtualenv that can create environments for Python 2.7.
    call(bootstrap / "bin" / "pip", "install", "--quiet", "virtualenv==20.21.1")
    call(bootstrap / "bin" / "virtualenv", "--quiet", "--python", python27, VENV)
    call(VENV / "bin" / "pip", "install", "--quiet", "--requirement", HERE / "requirements.txt")
    # Its metadata asks for Python 3 packages.
    call(VENV / "bin" / "pip", "install", "--quiet", "--no-deps", SUITE)


def call(*command):
    subprocess.run([str(part) for part in command], check=True, stderr=subprocess.DEVNULL)


def test_server(options):
    """The testee is a server, Autobahn's fuzzing client runs the cases."""
    command = testee("AUTOBAHN_SERVER", "autobahn-server")
    with process(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        match = re.fullmatch(r"listening (127\.0\.0\.1:\d+)\n", line)
        if not match:
            raise Failure(f"the server did not announce its port: {line!r}")
        folder = fresh(options.out / "server")
        spec = {"servers": [{"agent": "sockeye-server", "url": f"ws://{match[1]}"}]}
        with wstest("fuzzingclient", folder, spec, options) as suite:
            wait(suite, folder, options)
        if server.poll() is not None:
            raise Failure(f"the server ended with status {server.returncode}")
    return report.read([folder])


def test_client(options):
    """The testee is a client, Autobahn's fuzzing server runs the cases."""
    folder = fresh(options.out / "client")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    with wstest("fuzzingserver", folder, {"url": url}, options) as suite:
        await_listening(port, suite, folder)
        with process([*testee("AUTOBAHN_CLIENT", "autobahn-client"), url]) as client:
            wait(client, folder, options)
            if client.returncode != 0:
                raise Failure(f"the client ended with status {client.returncode}")
    return report.read([folder])


def testee(variable, binary):
    command = os.environ.get(variable)
    return shlex.split(command) if command else [str(ROOT / "target" / "release" / binary)]


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder.resolve()


def wstest(mode, folder, spec, options):
    spec |= {"outdir": str(folder), "cases": options.cases.split(","), "exclude-cases": [], "exclude-agent-cases": {}}
    (folder / "spec.in").write_text(json.dumps(spec))
    command = [VENV / "bin" / "python", HERE / "loopback.py", "-m", mode, "-s", folder / "spec.in"]
    # The fuzzing server's own web page is not needed.
    command += ["-u", "0"] if mode == "fuzzingserver" else []
    log = open(folder / "wstest.log", "w")
    return process([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT)


@contextlib.contextmanager
def process(command, **settings):
    """A process that is ended, by its own id, with the block."""
    try:
        child = subprocess.Popen(command, **settings)
    except OSError as error:
        raise Failure(f"cannot start {command[0]}: {error.strerror}") from error
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait(child, folder, options):
    try:
        child.wait(options.timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"not done after {options.timeout} s, see {folder / 'wstest.log'}") from None


def await_listening(port, suite, folder):
    end = time.monotonic() + START_S
    while time.monotonic() < end and suite.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise Failure(f"the fuzzing server did not start, see {folder / 'wstest.log'}")


if __name__ == "__main__":
    sys.exit(main())
