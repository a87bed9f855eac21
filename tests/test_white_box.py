"""The white-box transformer against loops over single tokens, closed forms, and the descent it stands for."""

import math

import pytest
import torch

from lab.losses import coding_rate
from lab.white_box import WhiteBoxTransformer, sparsify, subspace_attention, subspace_rate


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_attention_is_the_loop_over_heads_and_tokens():
    z, bases = _random(5, 4), _random(3, 4, 2, seed=1)
    expected = torch.zeros(5, 4, dtype=torch.float64)
    for basis in bases:
        seen = [basis.T @ token for token in z]
        for i in range(5):
            weights = [math.exp(float(seen[i] @ other) / math.sqrt(2)) for other in seen]
            mean = sum(w * other for w, other in zip(weights, seen, strict=True)) / sum(weights)
            expected[i] += basis @ mean
    torch.testing.assert_close(subspace_attention(z, bases), expected)


def test_attention_of_equal_tokens_projects_them():
    token, basis = _random(6), torch.linalg.qr(_random(6, 4, seed=1))[0]
    got = subspace_attention(token.expand(3, 6), basis.unflatten(1, (2, 2)).movedim(1, 0))
    torch.testing.assert_close(got, (basis @ basis.T @ token).expand(3, 6))


def test_sparse_step_is_the_gradient_step_token_by_token():
    z, dictionary, step, penalty = _random(4, 3), _random(3, 3, seed=1), 0.3, 0.2
    rows = []
    for token in z:
        code = token.clone().requires_grad_()
        ((token - dictionary @ code).square().sum() / 2 + penalty * code.sum()).backward()
        rows.append((token - step * code.grad).clamp(min=0))
    torch.testing.assert_close(sparsify(z, dictionary, step=step, penalty=penalty), torch.stack(rows))


def test_sparse_step_with_orthogonal_atoms_is_a_threshold():
    z, dictionary = _random(4, 3), torch.linalg.qr(_random(3, 3, seed=1))[0]
    got = sparsify(z, dictionary, step=1.0, penalty=0.1)
    torch.testing.assert_close(got, (z @ dictionary - 0.1).clamp(min=0))


def test_rate_is_the_sum_over_subspaces():
    z, bases = _random(7, 4), _random(3, 4, 2, seed=1)
    expected = sum(0.5 * torch.logdet(torch.eye(2) + 2 / (7 * 0.5) * (z @ u).T @ (z @ u)) for u in bases)
    torch.testing.assert_close(subspace_rate(z, bases, epsilon=math.sqrt(0.5)), expected)


def test_rate_is_zero_across_the_subspaces():
    z = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])
    assert subspace_rate(z, torch.eye(3)[None, :, :2], epsilon=1.0).item() == 0
    assert coding_rate(z, epsilon=1.0).item() > 0


def test_stack_is_the_single_nets():
    options = dict(size=4, patch=2, classes=3, dim=8, heads=2, depth=2)
    images = torch.rand(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    together = WhiteBoxTransformer([3, 4], **options)
    for member, seed in enumerate((3, 4)):
        alone = WhiteBoxTransformer([seed], **options)
        torch.testing.assert_close(together(images)[member], alone(images[member, None])[0])


@pytest.mark.parametrize("mixing", [0.3, 0.0, -0.5])
def test_layers_are_the_two_steps_in_turn(mixing):
    options = dict(size=4, patch=2, classes=3, dim=8, heads=2, depth=2, step=0.2, penalty=0.3)
    images = torch.rand(1, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    net = WhiteBoxTransformer([0], mixing=mixing, **options)

    def norm(z: torch.Tensor) -> torch.Tensor:
        return (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True, correction=0) + 1e-5).sqrt()

    corners = [(0, 0), (0, 2), (2, 0), (2, 2)]
    cut = torch.stack([images[0, 0, 0, i : i + 2, j : j + 2].flatten() for i, j in corners])
    z = cut @ net.patches[0] + net.places[0, 0]
    layers = zip(net.layers(images), net.bases, net.dictionaries, strict=True)
    for (normed, compressed, sparse), basis, dictionary in layers:
        torch.testing.assert_close(normed[0, 0], norm(z))
        z = (1 - mixing) * norm(z) + mixing * subspace_attention(norm(z), basis[0])
        torch.testing.assert_close(compressed[0, 0], z)
        z = sparsify(norm(z), dictionary[0], step=0.2, penalty=0.3)
        torch.testing.assert_close(sparse[0, 0], z)
    expected = norm(z).mean(0) @ net.head[0]
    torch.testing.assert_close(net(images)[0, 0], expected)


def test_subspaces_stay_orthonormal_and_whole():
    net = WhiteBoxTransformer([0, 1], size=4, patch=2, classes=3, dim=6, heads=3, depth=1)
    with torch.no_grad():
        net.frames[0].add_(torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0)))
    for member in net.bases[0]:
        columns = torch.cat(list(member), 1)
        torch.testing.assert_close(columns.T @ columns, torch.eye(6))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: subspace_attention(torch.zeros(3, 4), torch.zeros(2, 5, 2)), "bases"),
        (lambda: subspace_rate(torch.zeros(3, 4), torch.zeros(4, 2), epsilon=1.0), "bases"),
        (lambda: subspace_rate(torch.zeros(3, 4), torch.zeros(1, 4, 2), epsilon=0.0), "epsilon"),
        (lambda: sparsify(torch.zeros(3, 4), torch.zeros(4, 3), step=1.0, penalty=0.0), "dictionary"),
        (lambda: sparsify(torch.zeros(3, 4), torch.eye(4), step=0.0, penalty=0.0), "step"),
        (lambda: sparsify(torch.zeros(3, 4), torch.eye(4), step=1.0, penalty=-1.0), "penalty"),
        (lambda: sparsify(torch.zeros(3, 2, 4), torch.zeros(2, 4, 4), step=1.0, penalty=0.0), "leading axes"),
        (lambda: WhiteBoxTransformer([0], size=5, patch=2, classes=3), "patch"),
        (lambda: WhiteBoxTransformer([0], size=4, patch=2, classes=3, dim=9), "heads"),
        (lambda: WhiteBoxTransformer([0], size=4, patch=2, classes=3, mixing=1.5), "mixing"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
