"""Classifier heads other than a learned linear layer: fixed simplex vertices, distances, standardised outputs.

Labels are class indices 0 .. C - 1, booleans with one column a class (then the mean over an item's classes), or `Pairs`
of items and classes. Leading dimensions are kept. Nothing is normalised unless said.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.geometry import check_positive, fails
from lab.losses.class_logits import class_cross_entropy, class_pairs, one_dtype
from lab.losses.selection import Selected, WithoutPositives, over_anchors
from lab.losses.similarity import check_columns, full_rows, product
from lab.losses.stable import softplus


def simplex(
    classes: int, dim: int, generator: torch.Generator | None = None, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Vertices of a regular simplex around the origin: unit rows whose cosines are all -1 / (C - 1).

    Args:
        classes: C >= 2, spare vertices for later classes among them.
        dim: d >= C - 1.
        generator: turns the simplex by a random rotation; None leaves it in the first C - 1 coordinates.
        dtype: of the result; it is computed in float64.

    Returns:
        (C, d); the rows sum to 0.

    Raises:
        ValueError: fewer than two classes, or fewer than C - 1 dimensions.

    Cost: O(C^2 d).

    Source: the fixed classifier of cores and stationary-representations; as an equiangular tight frame the limit of
    neural collapse. CoReS has d = C - 1; its public code divides the vertices by their common Frobenius norm, which
    makes all logits smaller.

    Example:
        >>> v = simplex(3, 2, dtype=torch.float64)
        >>> (v @ v.T).round(decimals=4).abs().tolist()
        [[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]]
    """
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    if dim < classes - 1:
        raise ValueError(f"dim must be at least classes - 1 = {classes - 1}, got {dim}")
    # Columns of Helmert's matrix: an orthonormal basis of what is orthogonal to the vector of ones.
    k = torch.arange(1, classes, dtype=torch.float64)
    above = torch.arange(classes)[:, None] < k
    basis = above.double() - torch.diag_embed(k, offset=-1)[:, : classes - 1]
    vertices = basis / (k * (k + 1)).sqrt() * math.sqrt(classes / (classes - 1))
    if generator is None:
        return F.pad(vertices, (0, dim - classes + 1)).to(dtype)
    gaussian = torch.randn(dim, classes - 1, generator=generator, dtype=torch.float64, device=generator.device)
    frame = torch.linalg.qr(gaussian)[0]
    return (vertices.to(frame.device) @ frame.T).to(dtype)


def fixed_classifier(
    embeddings: Tensor,
    labels: Any,
    vertices: Tensor,
    *,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Cross-entropy of a linear classifier without bias whose weights are given and not learned.

    Formula: mean_i - log [ exp(<x_i, v_y>) / sum_c exp(<x_i, v_c>) ].

    Args:
        embeddings: (..., N, d), as they are.
        labels: see the top of the file; vertices without items, spare ones for classes to come, are pushed off too.
        vertices: (C, d) or (..., C, d), C >= 2, as they are, for instance from ``simplex``.
        mask: booleans (..., N, C): classes an item is compared with; None for all.
        without_positives: what becomes of items whose class the mask removed.

    Returns:
        `Selected`, the loss >= 0: log C for embeddings 0; log(1 + (C - 1) exp(-r C / (C - 1))) for embeddings of length
        r on their vertices of a simplex. Lower is better.

    Raises:
        ValueError: non-finite rows, fewer than two vertices, a label without a vertex, a mask that removes everything.

    Cost: O(N C d).

    Source: cores (Biondi et al. 2023) and stationary-representations (Biondi et al. 2024): inner products with
    features as the network gives them, no bias; cosines are for retrieval alone.

    Relations: ``normalised_softmax`` normalises the embeddings and has a temperature; ``compatible_contrast`` is the
    term that stationary-representations adds in fine-tuning, as weight * this + (1 - weight) * that.

    Data: labels

    Example:
        >>> round(fixed_classifier(torch.zeros(2, 3), [0, 1], simplex(4, 3)).loss.item(), 4)
        1.3863
    """
    x, v = one_dtype(full_rows(embeddings, "embeddings"), full_rows(vertices, "vertices", min_rows=2))
    check_columns(x, v, ("embeddings", "vertices"))
    logits = product(x, v)
    if fails(torch.isfinite(logits.detach())):
        raise ValueError("embeddings are so long that their inner products with the vertices overflow")
    pairs = class_pairs(labels, *logits.shape[-2:], mask=mask, device=logits.device)
    return class_cross_entropy(logits, pairs, without_positives)


def harmonic(
    embeddings: Tensor,
    labels: Any,
    centres: Tensor,
    *,
    exponent: float,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Harmonic loss: a class is as likely as a power of the inverse distance to its centre.

    Formula: mean_i - log [ d_iy^-n / sum_c d_ic^-n ], d_ic = |x_i - w_c|, n the exponent.

    Args:
        embeddings: (..., N, d), as they are.
        labels: see the top of the file.
        centres: (C, d) or (..., C, d), C >= 2: the class weights, as they are.
        exponent: n > 0; about the square root of d in the paper.
        mask: booleans (..., N, C): classes an item is compared with; None for all.
        without_positives: what becomes of items whose class the mask removed.

    Returns:
        `Selected`, the loss >= 0: 0 for items on their centres, log C at equal distances; unchanged when embeddings
        and centres are scaled together. Lower is better.

    Raises:
        ValueError: non-finite rows, fewer than two centres, a label without a centre, exponent not above 0, a mask
            that removes everything.

    Cost: O(N C d), distances entry by entry: the loss lives on small ones.

    Source: harmonic-loss-trains-interpretable (Baek et al. 2025). Distances count as at least the machine epsilon
    times the item's largest one, with gradient 0 below, where the authors' code adds a constant to the square.

    Relations: cross-entropy of the logits -n log d; ``proxy_nca`` has logits -d^2 on the sphere.

    Data: labels

    Example:
        >>> x, w = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]])
        >>> round(harmonic(x, [0], w, exponent=2.0).loss.item(), 4)
        0.2231
    """
    check_positive(exponent, "exponent")
    x, w = one_dtype(full_rows(embeddings, "embeddings"), full_rows(centres, "centres", min_rows=2))
    check_columns(x, w, ("embeddings", "centres"))
    # The loss does not depend on the scale of all, nor on that of an item's distances: both are taken as constants, so
    # that squares neither overflow nor vanish.
    largest = torch.maximum(x.detach().abs().max(), w.detach().abs().max())
    largest = torch.where(largest > torch.finfo(x.dtype).tiny, largest, 1)
    distances = torch.cdist(x / largest, w / largest, compute_mode="donot_use_mm_for_euclid_dist")
    furthest = distances.detach().amax(-1, keepdim=True)
    distances = distances / torch.where(furthest > torch.finfo(x.dtype).tiny, furthest, 1)
    logits = -exponent * distances.clamp(min=torch.finfo(x.dtype).eps).log()
    pairs = class_pairs(labels, *logits.shape[-2:], mask=mask, device=logits.device)
    return class_cross_entropy(logits, pairs, without_positives)


def z_loss(
    logits: Tensor,
    labels: Any,
    *,
    sharpness: float,
    threshold: float,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Z-loss: a soft hinge on how many standard deviations the own class stands above the mean output.

    Formula: mean_i softplus(a (b - z_iy)) / a, z_ic = (o_ic - mean_c o_ic) / std_c o_ic, a the sharpness, b the
    threshold; the standard deviation divides by C.

    Args:
        logits: (..., N, C), the outputs o, C >= 3: with two classes z is always -1 or 1.
        labels: see the top of the file.
        sharpness: a > 0.
        threshold: b, where the hinge bends; any finite number.
        without_positives: what becomes of items without a class, which `Pairs` can have.

    Returns:
        `Selected`, the loss > 0; z lies in -sqrt(C - 1) .. sqrt(C - 1), so the loss is at least
        softplus(a (b - sqrt(C - 1))) / a, reached where the own class stands above all others, these being equal.
        Unchanged when a row is shifted, or scaled by a positive factor. Lower is better.

    Raises:
        ValueError: fewer than three classes, non-finite outputs, a row of equal outputs (it has no standard deviation),
            a label out of range, sharpness not above 0, threshold not finite.

    Cost: O(N C); the paper's point, updates independent of C, needs its factored output layer.

    Source: the-z-loss (de Brebisson and Vincent 2016). No relation to the penalty on the squared log-sum-exp that goes
    by the same name.

    Relations: cross-entropy is invariant to shifts alone.

    Data: class logits

    Example:
        >>> o = torch.tensor([[2.0, 0.0, 0.0]])
        >>> round(z_loss(o, [0], sharpness=1.0, threshold=0.0).loss.item(), 4)
        0.2176
    """
    check_positive(sharpness, "sharpness")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    o = full_rows(logits, "logits")
    if o.shape[-1] < 3:
        raise ValueError(f"logits must have at least three classes, got shape {tuple(o.shape)}")
    pairs = class_pairs(labels, *o.shape[-2:], device=o.device)
    # Neither shift nor factor matters, so both are taken as constants; halves, since a difference could overflow.
    centred = o / 2 - (o.detach() / (2 * o.shape[-1])).sum(-1, keepdim=True)
    largest = centred.detach().abs().amax(-1, keepdim=True)
    if fails(largest > torch.finfo(o.dtype).tiny):
        raise ValueError("logits has a row whose outputs are all equal: it has no standard deviation")
    scaled = centred / largest
    scaled = scaled - scaled.mean(-1, keepdim=True)
    z = scaled / scaled.square().mean(-1, keepdim=True).sqrt()
    own = torch.where(pairs.positive, softplus(sharpness * (threshold - z)) / sharpness, 0).sum(-1)
    counts = pairs.positive.sum(-1)
    return over_anchors(own / counts.clamp(min=1), counts > 0, without_positives)
