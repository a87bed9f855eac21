"""Checkpoints: killed runs end as others do, damaged files are refused by name, nothing is unpickled."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab.encoders import conv_net, mlp
from lab.training import Checkpoints, DamagedCheckpoint, Rows, fit, stack
from lab.training.checkpoints import read_checkpoint, write_checkpoint
from lab.training.packing import pack, unpack

sys.path.insert(0, str(Path(__file__).parent))  # started processes import the module of their function by name
import checkpoint_worker

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def start(processes) -> Callable[..., Any]:
    """``start(folder, result)`` trains in a process of its own."""

    def begin(folder: Path, result: Path, slow: bool = False) -> Any:
        made = processes.Process(target=checkpoint_worker.main, args=(str(folder), str(result), slow))
        made.start()
        return made

    return begin


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, start) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("untouched")
    worker = start(folder / "run", folder / "result")
    worker.join(timeout=120)
    assert worker.exitcode == 0
    return torch.load(folder / "result", weights_only=True)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


@pytest.mark.parametrize("slow", [False, True], ids=["anywhere", "while writing"])
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(start, untouched, tmp_path, slow) -> None:
    chance, kills = random.Random(int(slow)), 0
    for _ in range(200):
        worker = start(tmp_path / "run", tmp_path / "result", slow)
        # wait for a new checkpoint or a part of one, then a little longer, so that each start gets somewhere
        known = set((tmp_path / "run").glob("*")) if (tmp_path / "run").is_dir() else set()
        while worker.is_alive() and kills < 3:
            now = set((tmp_path / "run").glob("*")) | set((tmp_path / "run").glob(".*"))
            if now - known:
                time.sleep(chance.uniform(0, 0.15))
                worker.kill()
                kills += 1
                break
            time.sleep(0.005)
        worker.join(timeout=120)
        assert worker.exitcode in (0, -signal.SIGKILL)
        if worker.exitcode == 0:
            break
    assert kills == 3
    ended = torch.load(tmp_path / "result", weights_only=True)
    assert all(equal(untouched[key], ended[key]) for key in untouched)
    assert len(list((tmp_path / "run").glob("step-*.json"))) == 2


def test_without_the_generators_the_end_would_differ(start, untouched, tmp_path, monkeypatch) -> None:
    """The comparison above sees what it should: dropout drawn anew gives other weights."""
    saved = start(tmp_path / "run", tmp_path / "result")
    while not list((tmp_path / "run").glob("step-0000003*.json")):
        assert saved.is_alive()
        time.sleep(0.01)
    saved.kill()
    saved.join()
    path = max((tmp_path / "run").glob("*.json"))
    state = read_checkpoint(path)
    state["generators"][0]["torch"] = torch.Generator().manual_seed(77).get_state()
    step = state.pop("step")
    write_checkpoint(tmp_path / "run", step, state)
    again = start(tmp_path / "run", tmp_path / "result")
    again.join(timeout=120)
    assert again.exitcode == 0
    ended = torch.load(tmp_path / "result", weights_only=True)
    assert not equal(untouched["net"], ended["net"]) and ended["loss"].isfinite().all()


def loss(model: Any, batch: Any) -> torch.Tensor:
    return model(batch.rows[0]).square().mean((-2, -1))


def run(folder: Path, steps: int = 6, seed: int = 1, model: Any = None, **options: Any) -> Any:
    model = mlp(6, dim=3, width=8, seed=seed) if model is None else model
    saved = Checkpoints(folder, every=2, keep=3, **options)
    return model, fit(model, loss, Rows(DATA, batch_size=8), steps=steps, device="cpu", callbacks=[saved])


@pytest.mark.parametrize("ending", ["safetensors", "json"])
@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, ending, harm) -> None:
    model, history = run(tmp_path)
    path = tmp_path / f"step-00000006.{ending}"
    whole = path.read_bytes()
    if harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif harm == "changed":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    else:
        path.unlink()
    if (ending, harm) == ("json", "gone"):  # as if never finished
        again = run(tmp_path, seed=9)
    else:
        with pytest.raises(DamagedCheckpoint, match="step-00000006"):
            read_checkpoint(path.with_suffix(".json"))
        with pytest.warns(UserWarning, match=r"step-00000006.*the checkpoint before it is used"):
            again = run(tmp_path, seed=9)
    assert torch.equal(again[1].loss, history.loss)
    assert all(map(torch.equal, again[0].parameters(), model.parameters()))


def test_all_damaged_begins_anew_with_a_warning_for_each(tmp_path) -> None:
    _, history = run(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="step-00000002"):
        assert torch.equal(run(tmp_path)[1].loss, history.loss)


def test_another_run_is_refused(tmp_path) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match="of a run of 6 steps, this one has 8"):
        run(tmp_path, steps=8)
    with pytest.raises(ValueError, match="does not fit the model"):
        run(tmp_path, model=mlp(6, dim=3, width=9))
    with pytest.raises(ValueError, match="other things beside the model"):
        run(tmp_path, also={"queue": torch.nn.Linear(1, 1)})


def test_a_non_finite_loss_names_the_last_good_checkpoint(tmp_path) -> None:
    def bad(model: Any, batch: Any) -> torch.Tensor:
        bad.calls += 1
        return loss(model, batch) * (float("nan") if bad.calls == 6 else 1)

    bad.calls = 0
    saved = Checkpoints(tmp_path, every=2)
    with pytest.raises(ValueError, match="step 6") as caught:
        fit(mlp(6, dim=3), bad, Rows(DATA, batch_size=8), steps=9, device="cpu", callbacks=[saved])
    assert caught.value.__notes__[-1] == f"last good checkpoint: {tmp_path / 'step-00000004.json'}"


@pytest.mark.parametrize(
    "make", [lambda s: conv_net(width=4, hidden=8, seed=s), lambda s: stack([mlp(196, seed=s)] * 2)]
)
def test_conv_nets_and_stacks_come_back(tmp_path, make) -> None:
    rows = torch.rand(8, 1, 14, 14)
    seed = 0 if type(make(0)).__name__ == "Encoder" else [0, 1]
    ends = []
    for start_seed in (1, 2):
        model = make(start_seed)
        saved = Checkpoints(tmp_path, every=3)
        ends.append(fit(model, loss, Rows(rows, batch_size=4, seed=seed), steps=3, device="cpu", callbacks=[saved]))
        last = [p.detach().clone() for p in model.parameters()]
    assert torch.equal(ends[0].loss, ends[1].loss)
    assert all(map(torch.equal, last, model.parameters()))


def test_nested_state_comes_back_as_it_was() -> None:
    state = {
        "a": {0: torch.arange(3), "b": (1, 2.5, None, True)}, "c": [np.arange(4.0), "text", float("inf")], "d": {},
        "e": np.float32(2.0),
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    back = unpack(pack(state, tensors), tensors)
    assert back["a"]["b"] == (1, 2.5, None, True) and back["d"] == {} and back["e"] == 2.0
    assert torch.equal(back["a"][0], torch.arange(3)) and list(back["a"]) == [0, "b"]
    np.testing.assert_array_equal(back["c"][0], np.arange(4.0))
    assert back["c"][1:] == ["text", float("inf")]


@pytest.mark.parametrize("odd", [{"x": object()}, {"x": {1.5: 2}}, {"x": [lambda: 0]}])
def test_what_would_need_pickling_is_refused(odd) -> None:
    with pytest.raises(TypeError, match="x"):
        pack(odd, {})


def test_bad_options(tmp_path) -> None:
    with pytest.raises(ValueError, match="every"):
        Checkpoints(tmp_path, every=0)
    with pytest.raises(ValueError, match="keep"):
        Checkpoints(tmp_path, every=1, keep=0)
