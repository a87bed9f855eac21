"""Contrastive losses seen as spectral methods: exact losses of an augmentation graph, and the sampled two-view form.

An augmentation graph has one node a view. Its weight w_ij is the probability that i and j are drawn as a positive
pair, so the weights are symmetric and sum to 1, and the mass p_i = sum_j w_ij is the probability of drawing i at all. A
loss of the whole graph is what the sampled loss tends to with endless pairs and negatives: no batch, no noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_embeddings, check_same_shape, fails
from lab.losses.similarity import divisor, product, unit_rows


def check_graph(weights: Tensor, name: str = "weights") -> Tensor:
    """Return ``weights`` if they are those of an augmentation graph, else raise an error that names them.

    Args:
        weights: (..., N, N), floating: symmetric, not negative, sum 1, no node without weight.

    Raises:
        TypeError: not a floating tensor.
        ValueError: not square, NaN or infinity, negative, not symmetric, a sum other than 1, an isolated node.

    Example:
        >>> check_graph(torch.full((2, 2), 0.25)).sum().item()
        1.0
    """
    check_embeddings(weights, name)
    if weights.shape[-1] != weights.shape[-2]:
        raise ValueError(f"{name} must be square, got {tuple(weights.shape)}")
    if fails(weights >= 0):
        raise ValueError(f"{name} must not be negative, got {float(weights.min())}")
    total = weights.sum((-2, -1))
    digits = 1e-9 if weights.dtype == torch.float64 else 1e-4
    if fails((total - 1).abs() <= digits):
        raise ValueError(f"{name} must sum to 1 (they are probabilities of pairs), got {total.flatten()[0].item():g}")
    if fails((weights - weights.mT).abs() <= digits * weights.amax()):
        raise ValueError(f"{name} must be symmetric")
    if fails(weights.sum(-1) != 0):
        raise ValueError(f"{name} leave node {int((weights.sum(-1) == 0).nonzero()[0][-1])} without any pair")
    return weights


def _on_graph(embeddings: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    check_graph(weights)
    if weights.shape[-1] != embeddings.shape[-2]:
        raise ValueError(f"weights must have one row an embedding ({embeddings.shape[-2]}), got {weights.shape[-1]}")
    return weights.to(embeddings.dtype), weights.sum(-1).to(embeddings.dtype)


def graph_info_nce(embeddings: Tensor, weights: Tensor, *, temperature: float | Tensor) -> Tensor:
    """InfoNCE of a whole augmentation graph: every pair with its probability, every node as a negative.

    Formula: sum_ij w_ij [ log sum_k p_k exp(s_ik / tau) - s_ij / tau ], s = cosine, p_i = sum_j w_ij.

    Args:
        embeddings: (..., N, d), row i embeds node i; normalised inside.
        weights: (N, N) or (..., N, N), see ``check_graph``.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each member of a stack its own.

    Returns:
        Loss of the leading shape, in -2 / tau .. 2 / tau; 0 when all rows are equal, at any temperature. Lower is
        better.

    Raises:
        ValueError: weights that are no graph or of another size, a zero or non-finite row, temperature not above 0.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: contrastive-learning-spectral-clustering (Tan et al. 2023). There each row of the graph draws one neighbour
    and the loss is the cross-entropy between the draws of the graph and those of the kernel exp(-|x - y|^2 / (2 tau)),
    which on the sphere is exp(s / tau) up to a factor. Negatives are drawn by mass, and the node itself is among them.

    Relations: the limit of ``info_nce`` minus the log of its number of candidates; ``graph_spectral`` is its quadratic
    kin.

    Data: pairs

    Example:
        >>> graph_info_nce(torch.ones(4, 3), torch.full((4, 4), 1 / 16), temperature=0.5).item()
        0.0
    """
    z = unit_rows(embeddings, "embeddings")
    w, mass = _on_graph(z, weights)
    logits = product(z, z) / divisor(temperature)
    denominators = torch.logsumexp(logits + mass.log().unsqueeze(-2), -1)
    return (mass * denominators).sum(-1) - (w * logits).sum((-2, -1))


def graph_spectral(embeddings: Tensor, weights: Tensor) -> Tensor:
    """The spectral contrastive loss of a whole augmentation graph.

    Formula: -2 sum_ij w_ij <f_i, f_j> + sum_ij p_i p_j <f_i, f_j>^2. With F_i = sqrt(p_i) f_i and the normalised
    adjacency A_ij = w_ij / sqrt(p_i p_j) it equals ||A - F F'||^2 - ||A||^2: the best F spans the first d eigenvectors.

    Args:
        embeddings: (..., N, d), used as they are: lengths matter, nothing is normalised.
        weights: (N, N) or (..., N, N), see ``check_graph``.

    Returns:
        Loss of the leading shape; 0 when all rows are zero, at best minus the sum of the squares of the d largest
        positive eigenvalues of A. Lower is better.

    Raises:
        ValueError: weights that are no graph or of another size, NaN or infinity.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: HaoChen, Wei, Gaidon and Ma (2021), Provable guarantees for self-supervised deep learning with spectral
    contrastive loss, the population form, without its constant ||A||^2.

    Relations: ``spectral_contrastive`` estimates it from two views.

    Data: pairs

    Example:
        >>> graph_spectral(torch.ones(4, 1), torch.full((4, 4), 1 / 16)).item()
        -1.0
    """
    f = check_embeddings(embeddings, "embeddings")
    w, mass = _on_graph(f, weights)
    products = product(f, f)
    both = mass.unsqueeze(-1) * mass.unsqueeze(-2)
    return (both * products.square()).sum((-2, -1)) - 2 * (w * products).sum((-2, -1))


def spectral_contrastive(view1: Tensor, view2: Tensor) -> Tensor:
    """The spectral contrastive loss of a batch: positives pulled linearly, all others pushed by squares.

    Formula: -2 mean_i <x_i, y_i> + mean over i != j of <x_i, y_j>^2.

    Args:
        view1, view2: (..., N, d), N >= 2; row i of one is the other view of row i. Used as they are: lengths matter.

    Returns:
        Loss of the leading shape; its mean over batches is ``graph_spectral`` where different rows are drawn
        independently. 0 when all rows are zero. Lower is better. One fixed batch has no lowest value (a few long
        orthogonal rows have nothing to push against), the mean over batches has.

    Raises:
        ValueError: shapes differ, fewer than two rows, NaN or infinity.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: HaoChen et al. (2021). The paper's experiments also cap the length of the rows; here nothing is capped and
    no factor is hidden.

    Relations: no temperature; ``info_nce`` weighs its negatives by an exponential instead of a square.

    Data: pairs

    Example:
        >>> spectral_contrastive(torch.eye(3), torch.eye(3)).item()
        -2.0
    """
    check_same_shape(view1, view2, ("view1", "view2"))
    x, y = check_embeddings(view1, "view1", min_rows=2), check_embeddings(view2, "view2", min_rows=2)
    if x.dtype in (torch.float16, torch.bfloat16):  # squares of products leave the range of half precision
        x, y = x.float(), y.float()
    n = x.shape[-2]
    squares = product(x, y).square()
    others = squares.sum((-2, -1)) - torch.diagonal(squares, dim1=-2, dim2=-1).sum(-1)
    return others / (n * (n - 1)) - 2 * (x * y).sum(-1).mean(-1)
