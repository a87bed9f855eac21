"""Blocks against the whole matrix, which is written out here in plain torch and in loops."""

import math

import pytest
import torch

from lab.losses.blockwise import compare, rows_a_block
from lab.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from lab.losses.pair_sums import total_softplus
from lab.losses.sigmoid import sigmoid_pairs
from lab.losses.supervised import sup_con_in, sup_con_out


def units(*shape, seed=0, dtype=torch.float64):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).to(dtype).requires_grad_()


def matrix(x, y, tau, *, skip=False, offset=0, keep=None):
    """All logits at once: the form every block must agree with."""
    tau = torch.as_tensor(tau, dtype=x.dtype)
    logits = x @ y.transpose(-1, -2) / (tau[..., None, None] if tau.ndim else tau)
    own = torch.stack([logits[..., i, i + offset] for i in range(min(x.shape[-2], y.shape[-2] - offset))], -1)
    mask = torch.zeros(x.shape[-2], y.shape[-2], dtype=torch.bool)
    if skip:
        for i in range(x.shape[-2]):
            mask[i, i + offset] = True
    if keep is not None:
        mask = mask | ~keep
    logits = logits.masked_fill(mask, -math.inf)
    return torch.logsumexp(logits, -1), torch.logsumexp(logits, -2), own


def gradients(value, *inputs):
    return torch.autograd.grad(value, inputs, allow_unused=True)


@pytest.mark.parametrize("block", [1, 3, 7, 100])
@pytest.mark.parametrize(("skip", "offset"), [(False, 0), (True, 0), (True, 4), (False, 2)])
def test_sums_and_their_gradients_equal_those_of_the_whole_matrix(block, skip, offset):
    x, y = units(7, 5), units(12, 5, seed=1)
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    weigh = [torch.randn(k, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (7, 12, 8)]
    got = compare(x, y, tau, columns=True, skip=(offset,) if skip else (), offset=offset, block=block)
    wanted = matrix(x, y, tau, skip=skip, offset=offset)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    total = sum((w[: len(part)] * part).sum() for w, part in zip(weigh, got, strict=True))
    truth = sum((w[: len(part)] * part).sum() for w, part in zip(weigh, wanted, strict=True))
    for a, b in zip(gradients(total, x, y, tau), gradients(truth, x, y, tau), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_mask_is_asked_for_block_by_block_and_a_row_of_nothing_has_no_gradient():
    x, y = units(6, 4), units(5, 4, seed=1)
    keep = torch.rand(6, 5, generator=torch.Generator().manual_seed(2)) > 0.4
    keep[2] = False
    got = compare(x, y, 0.2, keep=lambda part: keep[part], diagonal=False, block=2)
    wanted = matrix(x, y, 0.2, keep=keep)[0]
    torch.testing.assert_close(got.rows, wanted)
    assert got.rows[2] == -math.inf
    some = [0, 1, 3, 4, 5]
    got_gradients = gradients(got.rows[some].sum(), x, y)
    for a, b in zip(got_gradients, gradients(wanted[some].sum(), x, y), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert (got_gradients[0][2] == 0).all()


def test_a_stack_with_its_own_temperatures_equals_single_calls():
    x, y = units(3, 6, 4), units(3, 6, 4, seed=1)
    tau = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    got = compare(x, y, tau, columns=True, block=4)
    loss = (got.rows + got.columns - got.diagonal).sum()
    one = [compare(x[s], y[s], tau[s], columns=True, block=0) for s in range(3)]
    truth = sum((c.rows + c.columns - c.diagonal).sum() for c in one)
    torch.testing.assert_close(loss, truth)
    for a, b in zip(gradients(loss, x, y, tau), gradients(truth, x, y, tau), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [0, 1, 4, 50])
def test_the_sigmoid_sum_equals_a_loop_over_pairs(block):
    x, y = units(5, 4), units(9, 4, seed=3)
    tau = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
    got = total_softplus(x, y, tau, bias, offset=2, block=block)
    truth = torch.zeros((), dtype=torch.float64)
    for i in range(5):
        for j in range(9):
            z = (x[i] @ y[j]) / tau + bias
            truth = truth + torch.log1p(torch.exp(-z if j == i + 2 else z))
    torch.testing.assert_close(got, truth, rtol=1e-13, atol=0)
    for a, b in zip(gradients(got, x, y, tau, bias), gradients(truth, x, y, tau, bias), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_gradcheck_of_both_sums_in_blocks():
    x, y = units(4, 3), units(5, 3, seed=1)
    tau = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *a: compare(*a, columns=True, skip=(1,), offset=1, block=3), (x, y, tau))
    assert torch.autograd.gradcheck(lambda *a: total_softplus(*a, block=3), (x, y, tau, bias))


LOSSES = {
    "info_nce": info_nce,
    "symmetric_info_nce": symmetric_info_nce,
    "nt_xent": nt_xent,
    "nt_xent with a margin": lambda *a, **k: nt_xent(*a, margin=0.2, **k),
    "sigmoid_pairs": lambda *a, **k: sigmoid_pairs(*a, bias=-3.0, **k),
}
CLASSES = torch.arange(33) % 4
LABELLED = {
    "sup_con_out": lambda x, y, **k: sup_con_out(x, CLASSES, **k).loss,
    "sup_con_out with a reference": lambda x, y, **k: (
        sup_con_out(x, CLASSES, reference=y, reference_labels=CLASSES.flip(0), **k).loss
    ),
    "sup_con_in": lambda x, y, **k: sup_con_in(x, CLASSES, **k).loss,
}


@pytest.mark.parametrize("name", LOSSES | LABELLED)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("tau", [0.005, 0.1, 10.0])
def test_a_loss_in_blocks_equals_the_loss_that_holds_its_matrix(name, dtype, limit, tau):
    x, y = units(33, 8, dtype=dtype), units(33, 8, seed=1, dtype=dtype)
    held, blocked = ((LOSSES | LABELLED)[name](x, y, temperature=tau, block=b) for b in (0, 5))
    assert abs(held - blocked) <= limit * max(1, abs(held))
    for a, b in zip(gradients(held, x, y), gradients(blocked, x, y), strict=True):
        assert (a is None and b is None) or (a - b).abs().max() <= limit * a.abs().max()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("block", [0, 4])
def test_the_mean_over_parts_is_the_whole_loss(name, block):
    x, y = units(12, 5), units(12, 5, seed=1)
    whole = LOSSES[name](x, y, temperature=0.2)
    parts = [LOSSES[name](x, y, temperature=0.2, part=slice(s, s + 4), block=block) for s in (0, 4, 8)]
    mean = torch.stack(parts).mean()
    torch.testing.assert_close(mean, whole, rtol=1e-12, atol=1e-12)
    for a, b in zip(gradients(mean, x, y), gradients(whole, x, y), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


def test_explicit_negatives_in_blocks():
    x, y, n = units(9, 5), units(9, 5, seed=1), units(20, 5, seed=2)
    held, blocked = (info_nce(x, y, n, temperature=0.1, block=b) for b in (0, 4))
    for a, b in zip(gradients(held, x, y, n), gradients(blocked, x, y, n), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    truth = sum(
        torch.log(torch.exp(x[i] @ y[i] / 0.1) + sum(torch.exp(x[i] @ n[j] / 0.1) for j in range(20)))
        - x[i] @ y[i] / 0.1
        for i in range(9)
    )
    torch.testing.assert_close(blocked, truth / 9, rtol=1e-12, atol=0)


def test_blocks_are_taken_by_size_and_never_hold_the_matrix(largest_tensor):
    assert rows_a_block(1000, 1000) is None
    assert rows_a_block(16384, 16384) * 16384 <= 2**21
    assert rows_a_block(10**7, 10**7) == 1
    x = units(2000, 2, dtype=torch.float32)
    with largest_tensor() as largest:
        nt_xent(x, x.detach().flip(0), temperature=0.1).backward()
        sigmoid_pairs(x, x.detach().flip(0), temperature=0.1, bias=-10.0).backward()
        sup_con_out(x, torch.arange(2000) % 7, temperature=0.1).loss.backward()
    assert largest.numbers <= 2**21 < 2000 * 2000


@pytest.mark.parametrize("wrong", [-1, 2.5, True, "big"])
def test_a_wrong_block_is_refused(wrong):
    with pytest.raises(ValueError, match="block must be"):
        info_nce(units(4, 3), units(4, 3), temperature=0.1, block=wrong)


@pytest.mark.parametrize("wrong", [slice(3, 3), slice(0, 9), slice(0, 4, 2), slice(5, None)])
def test_a_wrong_part_is_refused(wrong):
    with pytest.raises(ValueError, match="part must select"):
        nt_xent(units(4, 3), units(4, 3), temperature=0.1, part=wrong)


def test_autocast_does_not_reach_the_products():
    x, y = units(8, 16, dtype=torch.float32), units(8, 16, seed=1, dtype=torch.float32)
    plain = [symmetric_info_nce(x, y, temperature=0.01, block=b) for b in (0, 3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [symmetric_info_nce(x, y, temperature=0.01, block=b) for b in (0, 3)]
    assert [a.item() for a in plain] == [a.item() for a in inside]
