"""A kernel that talks over sockets of its own and lives in the process group of the process that started it.

With TCP a port that was free when it was picked can be taken when the kernel binds it; sockets in a folder of the
kernel's own cannot collide. Sharing the process group makes one signal to the group end the kernel too, and whatever
the kernel started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from typing import Any

from jupyter_client import AsyncKernelManager
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.provisioning import LocalProvisioner

# The folder for connection file and sockets; short, since the path of a Unix socket may have about 100 bytes.
FOLDER_VARIABLE = "LAB_KERNEL_FOLDER"

_waiting: list[ForkedKernel] = []


class ForkedKernel:
    """A forked process that is to become a kernel, and then is one; what a provisioner needs of `subprocess.Popen`.

    Args:
        pid: its number.
        pipe: file descriptor over which it is told what to run.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._pipe = pipe

    def begin(self, command: list[str], cwd: str | None, env: dict[str, str]) -> None:
        """Make it the kernel that `command`, ``python -m ipykernel_launcher -f FILE``, would start."""
        text = json.dumps({"words": command[command.index("-f") :], "cwd": cwd, "env": env}).encode()
        with open(self._pipe, "wb") as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(text)

    def poll(self) -> int | None:
        """Exit code, negative for a signal, or None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def fork() -> None:
    """Fork the kernel of this process, which must have one thread; `GroupProvisioner` tells it later what to run."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        _waiting.append(ForkedKernel(pid, writing))
        return
    os.close(writing)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    if not text:
        os._exit(0)  # the worker ended before it needed a kernel
    _become_kernel(json.loads(text))
    sys.exit()


def _become_kernel(told: dict[str, Any]) -> None:
    os.chdir(told["cwd"] or ".")
    os.environ.clear()
    os.environ.update(told["env"])
    sys.argv = ["ipykernel_launcher.py", *told["words"]]
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


class GroupProvisioner(LocalProvisioner):
    """Starts the kernel in the caller's process group, where the stock provisioner gives it a session of its own."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start `cmd`; the kernel ends itself when this process is gone (it polls ``JPY_PARENT_PID``)."""
        if sys.platform == "win32":
            return await super().launch_kernel(cmd, **kwargs)
        env = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}
        made: Any  # a forked kernel has what the stock methods use of a Popen
        if _waiting:
            made = _waiting.pop()
            made.begin(cmd, kwargs.get("cwd"), env)
        else:
            made = subprocess.Popen(cmd, cwd=kwargs.get("cwd"), env=env, stdin=subprocess.DEVNULL)
        self.process, self.pid = made, made.pid
        self.pgid = None  # signals meant for the kernel go to it alone, never to the group it shares with us
        return self.connection_info


class GroupKernelManager(AsyncKernelManager):
    """Kernel manager of `GroupProvisioner`, over IPC (TCP on Windows), for the interpreter that runs this."""

    def __init__(self, **kwargs: Any) -> None:
        folder = os.environ[FOLDER_VARIABLE]
        if sys.platform != "win32":
            kwargs.update(transport="ipc", ip=os.path.join(folder, "k"))
        super().__init__(connection_file=os.path.join(folder, "kernel.json"), **kwargs)
        # No folder is searched for kernel specs: a "python3" somebody registered may belong to another environment.
        self.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        self.kernel_id = str(uuid.uuid4())
        self.provisioner = GroupProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
