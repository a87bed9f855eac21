"""Checkpoints that survive being killed at any moment: safetensors, a JSON file beside them, renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lab.training.generators import restore_generators, state_of_generators
from lab.training.packing import pack, unpack
from lab.training.run import Callback, Run

__all__ = ["Checkpoints", "DamagedCheckpoint", "read_checkpoint", "write_checkpoint"]

_SCHEMA = 1


class DamagedCheckpoint(ValueError):
    """A checkpoint cannot be used; names the file and what is wrong with it."""


def write_checkpoint(folder: Path | str, step: int, state: Mapping[str, Any]) -> Path:
    """Write one checkpoint; it counts from the moment its JSON file has its name.

    The tensors go to ``step-N.safetensors`` and the rest to ``step-N.json``, with the SHA-256 of both. Each is written
    under another name, flushed to the disk and renamed, the JSON file last. So a process killed at any moment leaves
    this checkpoint whole or not there at all, and those before it as they were.

    Args:
        folder: made if it is not there.
        step: number of updates done, at least 0.
        state: what :func:`lab.training.packing.pack` takes.

    Returns:
        The JSON file.

    Raises:
        TypeError: something in the state that cannot be saved without pickling.

    Example:
        >>> import tempfile
        >>> path = write_checkpoint(tempfile.mkdtemp(), 3, {"weight": torch.ones(2), "note": "three"})
        >>> path.name, read_checkpoint(path)["note"]
        ('step-00000003.json', 'three')
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    body = {"schema": _SCHEMA, "step": step, "state": pack(dict(state), tensors)}
    stem = f"step-{step:08d}"
    data, side = folder / f"{stem}.safetensors", folder / f"{stem}.json"
    side.unlink(missing_ok=True)  # an older one of this step must not vouch for new tensors
    started = folder / f".{stem}.safetensors.part"
    save_file(tensors, started)
    body["sha256"] = _digest(started)
    _rename(started, data)
    text = json.dumps(body)
    started = folder / f".{stem}.json.part"
    outer = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": text}
    started.write_text(json.dumps(outer), encoding="utf-8")
    _rename(started, side)
    return side


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """The state of a checkpoint, on the CPU, after both its files were checked byte by byte.

    Args:
        path: the JSON file.

    Returns:
        The state, and "step".

    Raises:
        DamagedCheckpoint: a file is missing, cut short or changed; nothing of it is used.
    """
    from safetensors.torch import load_file

    path = Path(path)
    data = path.with_suffix(".safetensors")
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        text = outer["body"]
        sound = hashlib.sha256(text.encode()).hexdigest() == outer["sha256"]
        body = json.loads(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path} is no checkpoint: {error}") from error
    if not sound:
        raise DamagedCheckpoint(f"{path} was changed: its SHA-256 is not the one it was written with")
    if body["schema"] != _SCHEMA:
        raise DamagedCheckpoint(f"{path} has schema {body['schema']}, this version reads {_SCHEMA}")
    if not data.is_file():
        raise DamagedCheckpoint(f"{data} is missing")
    if _digest(data) != body["sha256"]:
        raise DamagedCheckpoint(f"{data} was changed or cut short: its SHA-256 is not the one it was written with")
    return {**unpack(body["state"], load_file(data)), "step": body["step"]}


class Checkpoints(Callback):
    """Saves a run every so many steps, and goes on from the newest sound checkpoint when the run is started again.

    Give it last among the callbacks, so that it saves what the others have done.

    Kept are the model, the optimisers, the losses and probes so far, the global random generators, and what
    ``also`` names. The order of the data and the schedule follow from seed and step. A run that was killed and started
    again ends with the same weights, bit for bit on a CPU, as one that was not.

    Args:
        folder: one run a folder.
        every: updates between checkpoints, at least 1; the last update is always saved.
        keep: newest checkpoints that stay on the disk, at least 1.
        also: further things with ``state_dict`` and ``load_state_dict``: a momentum encoder, a queue.

    Raises:
        ValueError: every or keep below 1; on resuming: a run of another number of steps, or another model. A damaged
            checkpoint is named in a warning, and the one before it is used.

    Cost: the state is copied and written once; SHA-256 takes about 1 s a GB.

    Relations: on several ranks the first writes, all read.

    Example:
        >>> import tempfile
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows, fit
        >>> folder, data = tempfile.mkdtemp(), Rows(torch.rand(8, 4), batch_size=4)
        >>> loss = lambda model, batch: model(batch.rows[0]).square().mean()
        >>> one = fit(mlp(4), loss, data, steps=4, callbacks=[Checkpoints(folder, every=2)])
        >>> again = fit(mlp(4, seed=9), loss, data, steps=4, callbacks=[Checkpoints(folder, every=2)])
        >>> bool((again.loss == one.loss).all())
        True
    """

    def __init__(self, folder: Path | str, *, every: int, keep: int = 2, also: Mapping[str, Any] | None = None) -> None:
        for name, value in (("every", every), ("keep", keep)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
        self.folder = Path(folder)
        self.every = every
        self.keep = keep
        self.also = dict(also or {})
        self.newest: Path | None = None

    def begin(self, run: Run) -> None:
        """Put back the newest sound checkpoint, if there is one."""
        for path in sorted(self.folder.glob("step-*.json"), reverse=True):
            try:
                state = read_checkpoint(path)
            except DamagedCheckpoint as error:
                warnings.warn(f"{error}; the checkpoint before it is used", stacklevel=2)
                continue
            self._restore(run, state, path)
            self.newest = path
            return

    def after_step(self, run: Run) -> None:
        """Save where it is due."""
        if run.done % self.every and run.done != run.steps and not run.stop:
            return
        # every rank's generators, as each draws its own dropout
        own = pack_generators(run)
        losses = torch.stack(run.losses).cpu()
        # On an accelerator the loop may not have looked yet: what is not finite any more must not pass for sound.
        if run.fabric.global_rank == 0 and bool(losses.isfinite().all()):
            state = {
                "steps": run.steps,
                "model": run.model.state_dict(),
                "optimisers": [one.state_dict() for one in run.optimisers],
                "losses": losses,
                "probes": run.probes,
                "generators": own,
                "also": {name: dict(thing.state_dict()) for name, thing in self.also.items()},
            }
            self.newest = write_checkpoint(self.folder, run.done, state)
            for path in sorted(self.folder.glob("step-*.json"))[: -self.keep]:
                path.unlink()  # first, so that no JSON file stands without its tensors
                path.with_suffix(".safetensors").unlink(missing_ok=True)
        run.fabric.barrier()

    def failed(self, run: Run, error: BaseException) -> None:
        """Say from where the run can go on."""
        error.add_note(f"last good checkpoint: {self.newest}" if self.newest else "no checkpoint was written before")

    def _restore(self, run: Run, state: dict[str, Any], path: Path) -> None:
        if state["steps"] != run.steps:
            raise ValueError(f"{path} is of a run of {state['steps']} steps, this one has {run.steps}")
        if set(state["also"]) != set(self.also) or len(state["optimisers"]) != len(run.optimisers):
            raise ValueError(f"{path} is of a run with other optimisers or other things beside the model")
        try:
            run.model.load_state_dict(state["model"])
            for name, thing in self.also.items():
                thing.load_state_dict(state["also"][name])
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit the model: {error}") from error
        for optimiser, saved in zip(run.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        run.done = state["step"]
        run.losses = list(state["losses"].to(run.fabric.device))
        run.probes = state["probes"]
        own = state["generators"]
        restore_generators(own[run.fabric.global_rank if run.fabric.global_rank < len(own) else 0])


def pack_generators(run: Run) -> list[dict[str, Any]]:
    """The generators of all ranks, in their order, on every rank."""
    mine = state_of_generators()
    if run.fabric.world_size == 1:
        return [mine]
    gathered: list[Any] = [None] * run.fabric.world_size
    torch.distributed.all_gather_object(gathered, mine)
    return gathered


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rename(part: Path, path: Path) -> None:
    """Flush to the disk, then rename: after a power cut too, a name stands for whole contents."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    if os.name == "posix":
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
