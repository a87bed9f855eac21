"""Processes that start with their libraries loaded: one process loads them and forks each worker, and its kernel.

Loading torch, its optimisers, scipy, pandas and matplotlib takes a kernel five seconds, papermill takes its worker two
more: longer than many a notebook computes at profile smoke. A run of several notebooks pays for it once. A kernel that
was forked has the same surroundings as one started afresh. The science of `lab` itself is not loaded here: the notebook
imports it, as it is by then.

Forking is safe while a process has one thread and no accelerator in use. The server makes sure of the first and is not
used on machines with an accelerator, nor outside Linux: there each worker is started by itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.collection.fingerprint import PACKAGE

# What a worker and its kernel need whatever the notebook does.
BASIC = ("papermill", "ipykernel.ipkernel", "ipykernel.kernelapp", "IPython.core.magics")
# What most notebooks load; the order is that of what they depend on.
SCIENCE = (
    "torch._dynamo",
    "lightning_fabric",
    "scipy.optimize",
    "scipy.stats",
    "matplotlib.pyplot",
    "pandas",
    "sklearn.linear_model",
    "sklearn.neighbors",
)
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/accel")
# pyarrow's allocator would start a thread while it loads
_ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_LOOK = 0.02  # seconds between two looks at the children
_LARGEST = 1 << 17  # bytes of a message


def libraries(sources: Sequence[str]) -> tuple[str, ...]:
    """The modules worth loading before notebooks of these texts are run: those of science only where one uses torch."""
    return BASIC + (SCIENCE if any("torch" in source for source in sources) else ())


def available() -> bool:
    """Whether workers can be forked here: on Linux, with no accelerator whose driver might be in use by then."""
    return sys.platform == "linux" and not any(Path(device).exists() for device in _DEVICES)


class Forked:
    """A forked process, with the part of `subprocess.Popen` that its owner needs.

    Args:
        pid: its number, and that of its process group.
        look: returns its exit code (negative for a signal), or None while it runs.
    """

    def __init__(self, pid: int, look: Callable[[], int | None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._look = look

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._look()
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        while (code := self.poll()) is None:
            time.sleep(_LOOK)
        return code


class ForkServer:
    """The server, as its owner sees it; for one thread. It ends with its owner, or by `close`.

    Args:
        env: environment of the server; it counts for what libraries read while they load.
        modules: modules to load first.
    """

    def __init__(self, env: Mapping[str, str], modules: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._codes: dict[int, int] = {}
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "lab.collection.fork_server", str(theirs.fileno()), *modules],
                env={**env, **_ONE_THREAD},
                cwd=PACKAGE.parent,  # Python looks for modules here first: not where this happens to be called
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what goes wrong here goes wrong in a fresh worker, which has a log
                start_new_session=True,
            )

    def start(self, env: Mapping[str, str], cwd: Path, stdin: int, log: int) -> Forked | None:
        """Fork a worker; waits until the server has loaded its modules.

        Args:
            env: the environment of the worker.
            cwd: its working directory.
            stdin: file descriptor it reads from.
            log: file descriptor for its standard output and error.

        Returns:
            The process, or None where the server is gone or found itself unfit to fork.
        """
        try:
            socket.send_fds(self._channel, [json.dumps({"env": dict(env), "cwd": str(cwd)}).encode()], [stdin, log])
            while (answer := self._answer()) is not None:
                if "started" in answer:
                    return Forked(answer["started"], lambda: self._code(answer["started"]))
        except OSError:
            pass
        return None

    def close(self) -> None:
        """End the server, though it may still be loading; its workers are their owner's to end."""
        self._channel.close()
        self._server.kill()
        self._server.wait()

    def _code(self, pid: int) -> int | None:
        while pid not in self._codes and select.select([self._channel], [], [], 0)[0]:
            if self._answer() is None:
                break
        if pid in self._codes:
            return self._codes.pop(pid)
        # Without the server nobody can say how a worker ended; that it is gone will do.
        return None if self._server.poll() is None else 1

    def _answer(self) -> dict[str, Any] | None:
        try:
            text = self._channel.recv(_LARGEST)
        except ConnectionResetError:
            return None
        if not text:
            return None
        answer: dict[str, Any] = json.loads(text)
        if "ended" in answer:
            self._codes[answer["ended"]] = answer["code"]
        return answer


@contextlib.contextmanager
def started(env: Mapping[str, str], sources: Sequence[str], *, starts: int = 3) -> Iterator[ForkServer | None]:
    """A server for notebooks of these texts, or None where none is possible or it would not pay."""
    if not available() or len(sources) < starts:
        yield None
        return
    server = ForkServer(env, libraries(sources))
    try:
        yield server
    finally:
        server.close()


def threads() -> int:
    """Number of threads of this process, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))


def serve(channel: socket.socket) -> dict[str, Any]:
    """Fork for each message that comes; returns in the child alone, with its message; ends when the owner is gone."""
    children: set[int] = set()
    while True:
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                _tell(channel, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})
        if not select.select([channel], [], [], _LOOK if children else None)[0]:
            continue
        text, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 2)
        if not text:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            channel.close()
            return {**json.loads(text), "descriptors": descriptors}
        with contextlib.suppress(OSError):  # whoever is first; a group is there before anybody may end it
            os.setpgid(pid, pid)
        for descriptor in descriptors:
            os.close(descriptor)
        children.add(pid)
        _tell(channel, {"started": pid})


def _tell(channel: socket.socket, message: dict[str, int]) -> None:
    try:
        channel.send(json.dumps(message).encode())
    except OSError:
        os._exit(0)  # the owner is gone


def settle(job: Mapping[str, Any]) -> None:
    """Take up the surroundings of a message of `serve`: directory, environment, standard streams."""
    stdin, log = job["descriptors"]
    for target, descriptor in ((0, stdin), (1, log), (2, log)):
        os.dup2(descriptor, target)
    os.close(stdin)
    os.close(log)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])


def main(words: Sequence[str]) -> None:
    """Load the modules and serve; in a child, execute its notebook."""
    from lab.collection import fingerprint, kernel, worker
    from lab.collection.imports import skip_iri_grammar

    skip_iri_grammar()
    del sys.path[0]  # the directory above
    with socket.socket(fileno=int(words[0])) as channel:
        channel.set_inheritable(False)
        for name in words[1:]:
            importlib.import_module(name)
        fingerprint.code_hash()  # remembered file by file; each notebook asks for it at its end
        if threads() > 1:
            return
        gc.collect()
        gc.freeze()  # what is loaded stays: no collection in a child has to look through it, nor to copy its pages
        settle(serve(channel))
    kernel.fork()
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1:])
