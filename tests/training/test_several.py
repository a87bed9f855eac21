"""Two gloo processes against one with the same batches."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lab.encoders import embed
from lab.training import Rows, Shard, embed_on_ranks, on_ranks
from lab.training.several import share_of

sys.path.insert(0, str(Path(__file__).parent))  # started processes import the module of their function by name
import ranks_fit


@pytest.fixture(scope="module")
def alone() -> dict:
    return on_ranks(ranks_fit.train, True, devices=1, accelerator="cpu")


@pytest.fixture(scope="module")
def ends(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ends")


@pytest.fixture(scope="module")
def two(ends) -> list[dict]:
    return on_ranks(ranks_fit.both, ends, devices=2, accelerator="cpu")


def test_two_processes_train_as_one(alone, two) -> None:
    both, _ = two
    torch.testing.assert_close(both["loss"], alone["loss"], rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(both["weights"], alone["weights"], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    # every batch is shared out: nothing twice, nothing missing, in order
    assert [a + b for a, b in zip(*both["rows"], strict=True)] == alone["rows"][0]
    torch.testing.assert_close(both["out"], alone["out"], rtol=1e-9, atol=1e-9)
    assert both["out"].shape == (49, 3)


def test_each_process_leaves_the_group_before_it_ends(two, ends) -> None:
    # threads of the group that outlive the interpreter abort the process now and then
    assert {path.name: path.read_text() for path in ends.iterdir()} == {"0": "left the group", "1": "left the group"}


def test_without_the_rows_of_the_others_it_would_not(alone, two) -> None:
    _, apart = two
    assert (apart["loss"] - alone["loss"]).abs().max() > 0.1


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_are_all_rows_once(ranks) -> None:
    for rows in range(ranks, 12):
        shares = [list(range(rows))[share_of(rows, rank, ranks)] for rank in range(ranks)]
        assert [row for share in shares for row in share] == list(range(rows))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shards_of_a_stack_cut_rows_and_not_members() -> None:
    batches = Rows(torch.arange(20), batch_size=6, seed=[1, 2])
    parts = [Shard(batches, SimpleNamespace(global_rank=r, world_size=3))(4) for r in range(3)]
    assert all(part.index.shape == (2, 2) for part in parts)
    assert torch.equal(torch.cat([part.rows[0] for part in parts], 1), batches(4).rows[0])


def test_unequal_shares_are_refused() -> None:
    shard = Shard(Rows(torch.arange(20), batch_size=5), SimpleNamespace(global_rank=0, world_size=2))
    with pytest.raises(ValueError, match="5 rows cannot be shared equally by 2 ranks"):
        shard(0)
    fabric = SimpleNamespace(global_rank=0, world_size=8)
    with pytest.raises(ValueError, match="at least as many as ranks"):
        embed_on_ranks(ranks_fit.towers().left, ranks_fit.LEFT[:7], fabric)
    with pytest.raises(ValueError, match="devices"):
        on_ranks(ranks_fit.train, True, devices=0)


def test_one_rank_embeds_as_without() -> None:
    net = ranks_fit.towers().left
    fabric = SimpleNamespace(global_rank=0, world_size=1)
    assert torch.equal(embed_on_ranks(net, ranks_fit.LEFT, fabric), embed(net, ranks_fit.LEFT))
