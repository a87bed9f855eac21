"""Two and four real processes with different data each, against one process that has the whole batch."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

import lab.losses
from lab.losses.ranks import across_ranks, gather

sys.path.insert(0, str(Path(__file__).parent))  # started processes import the module of their function by name
import rank_worker

HERE = Path(__file__).parent
EXAMPLES, ROWS = runpy.run_path(str(HERE / "collect_examples.py"))["collect"]()


@pytest.fixture(scope="module", params=[2, 4])
def report(request, tmp_path_factory, processes):
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    workers = [
        processes.Process(
            target=rank_worker.main, args=(rank, request.param, str(folder / "meeting"), str(folder / "result.json"))
        )
        for rank in range(request.param)
    ]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join(timeout=240)
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * request.param
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_every_loss_has_the_gradient_and_value_of_the_whole_batch(report):
    wanted = {name for name in EXAMPLES if ROWS.get(name) and hasattr(lab.losses, name)}
    assert set(report["losses"]) == wanted and len(wanted) > 40
    wrong = {
        name: found
        for name, found in report["losses"].items()
        if "error" in found
        or not (
            abs(found["projection"] - 1) < 1e-10
            and abs(found["cosine"] - 1) < 1e-10
            and found["value"] < 1e-12
            and found["size"] > 0
        )
    }
    assert not wrong


def test_without_the_other_ranks_rows_the_gradient_is_another(report):
    assert set(report["local"]) == {"nt_xent", "barlow_twins"}
    assert all(cosine < 0.999 for cosine in report["local"].values())


def test_data_parallel_training_takes_the_same_path(report):
    assert report["ddp"]["loss"] < 1e-12
    assert report["ddp"]["weights"] < 1e-12


def test_ranks_with_different_numbers_of_rows_are_told_so(report):
    assert "different numbers of rows" in report["uneven"]


def test_without_a_process_group_nothing_changes():
    x = torch.eye(3)
    assert gather(x) is x
    loss = across_ranks(lab.losses.info_nce, rows=("anchors", "positives"))
    assert loss(x, x, temperature=0.1) == lab.losses.info_nce(x, x, temperature=0.1)
    assert loss.__name__ == "info_nce"


def test_a_name_the_loss_does_not_take_is_refused():
    with pytest.raises(ValueError, match="views"):
        across_ranks(lab.losses.info_nce, rows=("views",))
