"""A white-box transformer (CRATE): each layer is a step that compresses tokens, then a step that makes them sparse.

Tokens are rows, (..., N, d), where the paper has columns. Leading axes are kept, and the weights of a stack of S seeds
have a leading axis S, so that S seeds are trained as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lab.geometry import check_positive
from lab.losses import coding_rate

__all__ = ["WhiteBoxTransformer", "sparsify", "subspace_attention", "subspace_rate"]


def subspace_attention(tokens: Tensor, bases: Tensor) -> Tensor:
    """Multi-head subspace self-attention (MSSA): in each subspace, a token becomes a mean of the tokens like it.

    Formula: sum_k softmax(P_k P_k^T / sqrt(p)) P_k U_k^T with P_k = Z U_k, the softmax over the last axis.

    Args:
        tokens: Z, (..., N, d).
        bases: U, (K, d, p) or (..., K, d, p): K subspaces, spanned by the columns of U_k. Query, key and value are the
            same projection, and its transpose leads back.

    Returns:
        (..., N, d). Equal tokens z come back as sum_k U_k U_k^T z; orthonormal bases that together span the space
        give z itself.

    Raises:
        ValueError: shapes that do not match.

    Cost: O(K (N d p + N^2 p)).

    Source: white-box-transformers-sparse (Yu et al. 2023). The paper has no sqrt(p), its code has; the code learns the
    way back as a matrix of its own, the formula, and this function, take U^T.

    Example:
        >>> subspace_attention(torch.tensor([[2.0, 1.0], [2.0, 1.0]]), torch.eye(2)[None, :, :1]).tolist()
        [[2.0, 0.0], [2.0, 0.0]]
    """
    projected = _project(tokens, bases)
    alike = projected @ projected.mT / math.sqrt(bases.shape[-1])
    return (alike.softmax(-1) @ projected @ bases.mT).sum(-3)


def sparsify(tokens: Tensor, dictionary: Tensor, *, step: float, penalty: float) -> Tensor:
    """One step of ISTA towards a sparse, non-negative code of each token in a dictionary, begun at the token itself.

    Formula: relu(z + step * ((z - z D^T) D - penalty)): a gradient step on |z - a D^T|^2 / 2 + penalty * sum(a) from
    a = z, then negative entries become 0.

    Args:
        tokens: (..., N, d).
        dictionary: D, (d, d) or (..., d, d), its columns the atoms.
        step: above 0.
        penalty: at least 0.

    Returns:
        (..., N, d), all entries >= 0; with an orthogonal D and step 1 it is relu(z D - penalty).

    Raises:
        ValueError: shapes that do not match, step not above 0, penalty below 0.

    Cost: O(N d^2).

    Source: white-box-transformers-sparse (Yu et al. 2023), whose code has step 0.1 and penalty 0.1.

    Example:
        >>> sparsify(torch.tensor([[1.0, -1.0]]), torch.eye(2), step=1.0, penalty=0.25).tolist()
        [[0.75, 0.0]]
    """
    check_positive(step, "step")
    if not 0 <= penalty < math.inf:
        raise ValueError(f"penalty must be a finite number of at least 0, got {penalty}")
    if dictionary.shape[-2:] != (tokens.shape[-1],) * 2:
        raise ValueError(f"dictionary must be (..., {tokens.shape[-1]}, {tokens.shape[-1]}), got {_shape(dictionary)}")
    aligned = dictionary if dictionary.ndim == 2 else _aligned(dictionary, tokens, 2)
    rest = tokens - tokens @ aligned.mT
    return torch.relu(tokens + step * (rest @ aligned - penalty))


def subspace_rate(tokens: Tensor, bases: Tensor, *, epsilon: float) -> Tensor:
    """What it costs, in nats a token, to code tokens subspace by subspace: the rate that attention should lower.

    Formula: sum_k log det(I + p / (N epsilon^2) P_k^T P_k) / 2 with P_k = Z U_k.

    Args:
        tokens: (..., N, d), as they are: shorter tokens cost less.
        bases: (K, d, p) or (..., K, d, p).
        epsilon: allowed error, above 0, squared in the formula.

    Returns:
        Value of the leading shape, >= 0; 0 for tokens at right angles to all subspaces. Lower is more compressed.

    Raises:
        ValueError: shapes that do not match, non-finite tokens, epsilon not above 0.

    Cost: O(K (N d p + p^3)).

    Source: white-box-transformers-sparse, there R^c(Z; U). Relations: a sum of ``coding_rate``.

    Example:
        >>> round(subspace_rate(torch.eye(2), torch.eye(2)[None], epsilon=1.0).item(), 4)
        0.6931
    """
    return coding_rate(_project(tokens, bases), epsilon=epsilon).sum(-1)


class WhiteBoxTransformer(nn.Module):
    """A stack of S small CRATE classifiers over patches of pictures.

    Layer: n = norm(z), c = (1 - mixing) n + mixing * attention(n), z <- sparsify(norm(c)); norm is a layer norm without
    weights. Patches are put in linearly, with a learned place each; the mean token goes into a linear head.

    Args:
        seeds: S seeds of the weights; the global random state is neither read nor changed.
        size: height and width of the pictures, one channel.
        patch: side of a patch; divides ``size``.
        classes: C.
        dim: d, length of a token.
        heads: K subspaces of d / K dimensions.
        depth: layers.
        step, penalty: of ``sparsify``.
        mixing: length of the step of attention, at most 1; 0 leaves attention out, below 0 it moves tokens apart.

    Returns:
        ``forward`` maps (S, B, 1, size, size) to logits (S, B, C); ``layers`` gives the tokens on the way.

    Raises:
        ValueError: sizes that do not divide.

    Cost: about 3 ms a picture of 49 tokens of 32, 4 layers, forward and backward, on one core.

    Source: white-box-transformers-sparse. The first step is the paper's formula; its code adds attention(n) to z, which
    for z = n and mixing 1/2 differs by a factor 2. Orthonormal subspaces are what the derivation asks for; in the code
    they are free and may grow. Its class token, dropout and learned norms are left out.

    Example:
        >>> net = WhiteBoxTransformer([0, 1], size=4, patch=2, classes=3, dim=8, heads=2, depth=2)
        >>> net(torch.rand(2, 5, 1, 4, 4)).shape, [tuple(z.shape) for z, _, _ in net.layers(torch.rand(2, 5, 1, 4, 4))]
        (torch.Size([2, 5, 3]), [(2, 5, 4, 8), (2, 5, 4, 8)])
    """

    def __init__(
        self,
        seeds: Sequence[int],
        *,
        size: int,
        patch: int,
        classes: int,
        dim: int = 32,
        heads: int = 4,
        depth: int = 4,
        step: float = 0.1,
        penalty: float = 0.1,
        mixing: float = 0.5,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"patch must divide size = {size}, got {patch}")
        if dim % heads:
            raise ValueError(f"heads must divide dim = {dim}, got {heads}")
        if not -math.inf < mixing <= 1:
            raise ValueError(f"mixing must be a finite number of at most 1, got {mixing}")
        self.size, self.patch, self.step, self.penalty, self.mixing = size, patch, step, penalty, mixing
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        tokens = (size // patch) ** 2

        def normal(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.stack([scale * torch.randn(shape, generator=g) for g in generators]))

        def orthogonal() -> Tensor:
            return torch.stack([torch.linalg.qr(torch.randn(dim, dim, generator=g))[0] for g in generators])

        self.patches = normal(patch * patch, dim, scale=1 / patch)
        self.places = normal(1, tokens, dim, scale=0.1)
        self.heads = heads
        self.frames = nn.ParameterList([nn.Parameter(orthogonal()) for _ in range(depth)])  # (S, d, d) each
        self.dictionaries = nn.ParameterList([nn.Parameter(orthogonal()) for _ in range(depth)])
        self.head = normal(dim, classes, scale=1 / math.sqrt(dim))

    @property
    def bases(self) -> list[Tensor]:
        """Of every layer the orthonormal bases of its subspaces, (S, K, d, p)."""
        return [torch.linalg.qr(frame)[0].unflatten(-1, (self.heads, -1)).movedim(-2, 1) for frame in self.frames]

    def layers(self, images: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of every layer the normed tokens, those after attention and after the sparse step, (S, B, N, d) each."""
        side = self.size // self.patch
        cut = images.reshape(*images.shape[:2], side, self.patch, side, self.patch).transpose(3, 4)
        z = cut.reshape(*images.shape[:2], side * side, -1) @ self.patches[:, None] + self.places
        found = []
        for basis, dictionary in zip(self.bases, self.dictionaries, strict=True):
            normed = _norm(z)
            compressed = (1 - self.mixing) * normed
            if self.mixing:
                compressed = compressed + self.mixing * subspace_attention(normed, basis[:, None])
            z = sparsify(_norm(compressed), dictionary[:, None], step=self.step, penalty=self.penalty)
            found.append((normed, compressed, z))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits (S, B, C)."""
        return _norm(self.layers(images)[-1][2]).mean(-2) @ self.head


def _norm(z: Tensor) -> Tensor:
    return nn.functional.layer_norm(z, z.shape[-1:])


def _project(tokens: Tensor, bases: Tensor) -> Tensor:
    """(..., K, N, p): the tokens in the coordinates of each subspace."""
    if bases.ndim < 3 or bases.shape[-2] != tokens.shape[-1]:
        raise ValueError(f"bases must be (..., K, {tokens.shape[-1]}, p), got {_shape(bases)}")
    return tokens[..., None, :, :] @ (bases if bases.ndim == 3 else _aligned(bases, tokens, 3))


def _aligned(weights: Tensor, tokens: Tensor, last: int) -> Tensor:
    try:
        torch.broadcast_shapes(weights.shape[:-last], tokens.shape[:-2])
    except RuntimeError:
        raise ValueError(f"leading axes do not match: {_shape(weights)} for tokens {_shape(tokens)}") from None
    return weights


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)
