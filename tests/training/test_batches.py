"""Batches: epochs without replacement, each step a pure function of its seed, stacks equal to single runs."""

from __future__ import annotations

import pytest
import torch

from lab.augment import Augment
from lab.training import Rows, TwoViews, Views

# image i is grey of value i / 50, so that a batch shows which rows it holds
IMAGES = (torch.arange(50.0) / 50)[:, None, None, None].expand(50, 1, 6, 6).contiguous()


def test_an_epoch_holds_each_row_once_and_the_next_is_shuffled_anew() -> None:
    batches = Rows(torch.arange(50), batch_size=10, seed=0)
    epochs = [torch.cat([batches(5 * e + i).rows[0] for i in range(5)]) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(50))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


def test_rows_left_over_at_the_end_of_an_epoch_are_not_used_and_batches_have_distinct_rows() -> None:
    batches = Rows(torch.arange(50), batch_size=16, seed=0)
    for step in range(7):
        assert batches(step).index.unique().numel() == 16
    first_epoch = torch.cat([batches(i).index for i in range(3)])
    assert first_epoch.unique().numel() == 48


def test_index_label_and_rows_match() -> None:
    labels = torch.arange(50) * 7
    batch = TwoViews(IMAGES, 8, Augment.none(), 3, labels)(2)
    assert torch.equal(batch.label, batch.index * 7)
    assert torch.equal(batch.view1[:, 0, 0, 0], batch.index / 50)
    assert torch.equal(batch.view1, batch.view2)
    assert TwoViews(IMAGES, 8, Augment.none(), 3)(2).label is None


def test_a_step_is_a_function_of_seed_and_step_alone() -> None:
    images = torch.rand(30, 1, 14, 14)
    long, fresh = (TwoViews(images, 8, Augment.strong(), 5) for _ in range(2))
    for step in (0, 1, 9, 4, 4):
        last = long(step)
    jumped = fresh(4)
    assert torch.equal(last.view1, jumped.view1) and torch.equal(last.view2, jumped.view2)
    assert torch.equal(last.index, jumped.index)
    assert not torch.equal(last.view1, last.view2)
    other = TwoViews(images, 8, Augment.strong(), 6)(4)
    assert not torch.equal(other.index, last.index)


def test_another_augmentation_keeps_the_order_of_the_images() -> None:
    weak, strong = (TwoViews(IMAGES, 8, augment, 5)(3) for augment in (Augment.weak(), Augment.strong()))
    assert torch.equal(weak.index, strong.index)


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    TwoViews(IMAGES, 8, Augment.strong(), 5)(0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("augment", [Augment(), Augment.strong()])
def test_each_member_of_a_stack_gets_what_its_single_run_gets(augment: Augment) -> None:
    images, labels = torch.rand(30, 1, 14, 14), torch.arange(30)
    stacked = Views(images, 8, augment, [4, 9, 2], n_views=3, labels=labels)
    for step in (0, 5):
        batch = stacked(step)
        assert len(batch.views) == 3 and batch.views[0].shape == (3, 8, 1, 14, 14)
        for member, seed in enumerate([4, 9, 2]):
            single = Views(images, 8, augment, seed, n_views=3, labels=labels)(step)
            assert torch.equal(batch.index[member], single.index) and torch.equal(batch.label[member], single.label)
            for mine, theirs in zip(batch.views, single.views, strict=True):
                torch.testing.assert_close(mine[member], theirs, atol=1e-6, rtol=0)


def test_rows_stacked() -> None:
    x, y = torch.rand(20, 3), torch.arange(20)
    batch = Rows(x, y, batch_size=5, seed=[1, 2])(0)
    assert batch.rows[0].shape == (2, 5, 3)
    assert torch.equal(batch.rows[0], x[batch.rows[1]])
    assert torch.equal(batch.index[1], Rows(x, y, batch_size=5, seed=2)(0).index)


def test_one_seed_in_a_list_is_a_stack_of_one() -> None:
    assert Rows(torch.rand(9, 2), batch_size=3, seed=[0])(0).rows[0].shape == (1, 3, 2)


def test_to_moves_the_data_and_leaves_the_first_alone() -> None:
    batches = Rows(torch.rand(9, 2), batch_size=3)
    assert batches.to("cpu") is batches
    moved = batches.to("meta")
    assert moved.device.type == "meta" and batches.device.type == "cpu"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="batch_size must be at most the number of rows, got 60 for 50 rows"):
        TwoViews(IMAGES, 60, Augment())
    with pytest.raises(ValueError, match="at least one row, got none"):
        TwoViews(IMAGES[:0], 1, Augment())
    with pytest.raises(ValueError, match="labels must have one entry an image, got 3 for 50"):
        TwoViews(IMAGES, 8, Augment(), labels=torch.arange(3))
    with pytest.raises(ValueError, match="batch_size must be an int of at least 1, got 0"):
        Rows(torch.rand(4, 2), batch_size=0)
    with pytest.raises(ValueError, match=r"others\[0\] must have as many rows as x, got 3 for 4"):
        Rows(torch.rand(4, 2), torch.rand(3, 2), batch_size=2)
    with pytest.raises(ValueError, match="seed must be an int or a non-empty sequence"):
        Rows(torch.rand(4, 2), batch_size=2, seed=[])
    with pytest.raises(ValueError, match="n_views must be at least 1, got 0"):
        Views(IMAGES, 8, Augment(), n_views=0)
    with pytest.raises(ValueError, match=r"images must be a floating tensor of shape \(N, C, H, W\), got \(50,\)"):
        Views(torch.rand(50), 8, Augment())
    with pytest.raises(ValueError, match="step must be an int of at least 0, got -1"):
        Rows(torch.rand(4, 2), batch_size=2)(-1)
