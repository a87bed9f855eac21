"""Two towers and models side by side against separate runs."""

from functools import partial

import pytest
import torch

from lab.encoders import mlp
from lab.losses import symmetric_info_nce
from lab.training import Rows, SideBySide, Towers, fit, new_towers, train_towers

LEFT = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
RIGHT = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
MAKE = (partial(mlp, 6, dim=3, width=8), partial(mlp, 5, dim=3, width=8))
LOSS = partial(symmetric_info_nce, temperature=0.2)


def by_hand(seed: int, steps: int) -> Towers:
    towers = Towers(MAKE[0](seed=seed), MAKE[1](seed=seed + 2**31))
    batches = Rows(LEFT, RIGHT, batch_size=10, seed=seed)
    optimiser = torch.optim.AdamW(towers.parameters(), lr=3e-3, weight_decay=1e-4)
    for step in range(steps):
        optimiser.zero_grad()
        LOSS(*towers(*batches(step).rows)).backward()
        optimiser.step()
    return towers


def test_two_stacks_are_two_loops() -> None:
    towers = train_towers(
        LEFT, RIGHT, LOSS, seeds=[3, 8], steps=5, make=MAKE, batch_size=10, warmup=0, schedule="constant", device="cpu"
    )
    found = towers.embed(LEFT, RIGHT)
    for member, seed in enumerate((3, 8)):
        for side, expected in zip(found, by_hand(seed, 5).embed(LEFT, RIGHT), strict=True):
            torch.testing.assert_close(side[member], expected, rtol=1e-4, atol=1e-4)


def test_training_moves_both_sides() -> None:
    before = new_towers([0], MAKE).embed(LEFT, RIGHT)
    after = train_towers(LEFT, RIGHT, LOSS, seeds=[0], steps=3, make=MAKE, batch_size=10).embed(LEFT, RIGHT)
    assert all(float((a - b).abs().max()) > 1e-3 for a, b in zip(before, after, strict=True))


def test_the_two_sides_of_one_seed_start_apart() -> None:
    towers = new_towers([0], (MAKE[0], MAKE[0]))
    x, y = towers.embed(LEFT, LEFT)
    assert float((x - y).abs().max()) > 0.1


def test_no_seed() -> None:
    with pytest.raises(ValueError, match="seeds"):
        train_towers(LEFT, RIGHT, LOSS, seeds=[], steps=1, make=MAKE)


def pull(model: torch.nn.Module, batch, target: float) -> torch.Tensor:
    return (model(batch.rows[0]) - target).square().mean()


def test_side_by_side_is_each_alone() -> None:
    names = {"target -0.5": -0.5, "target 2": 2.0}
    objectives = {name: partial(pull, target=target) for name, target in names.items()}
    side = SideBySide({name: mlp(6, 2, 8, seed=4) for name in names}, objectives)
    fit(side, lambda m, b: m(b), Rows(LEFT, batch_size=10, seed=1), steps=6, lr=1e-2, device="cpu")
    for name in names:
        alone = mlp(6, 2, 8, seed=4)
        fit(alone, objectives[name], Rows(LEFT, batch_size=10, seed=1), steps=6, lr=1e-2, device="cpu")
        torch.testing.assert_close(side[name](LEFT), alone(LEFT))
    assert not torch.allclose(side["target -0.5"](LEFT), side["target 2"](LEFT))


def test_side_by_side_refuses() -> None:
    with pytest.raises(ValueError, match="models"):
        SideBySide({}, pull)
    with pytest.raises(ValueError, match="b"):
        SideBySide({"a": mlp(6)}, {"b": pull})
    with pytest.raises(KeyError, match="'a'"):
        SideBySide({"a": mlp(6)}, pull)["c"]
