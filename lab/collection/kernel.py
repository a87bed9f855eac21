"""A kernel that talks over sockets of its own and lives in the process group of the process that started it.

With TCP a port that was free when it was picked can be taken when the kernel binds it; sockets in a folder of the
kernel's own cannot collide. Sharing the process group makes one signal to the group end the kernel too, and whatever
the kernel started.
"""

from __future__ import annotations

import os
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


class GroupProvisioner(LocalProvisioner):
    """Starts the kernel in the caller's process group, where the stock provisioner gives it a session of its own."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start `cmd`; the kernel ends itself when this process is gone (it polls ``JPY_PARENT_PID``)."""
        if sys.platform == "win32":
            return await super().launch_kernel(cmd, **kwargs)
        env = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}
        self.process = subprocess.Popen(cmd, cwd=kwargs.get("cwd"), env=env, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
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
