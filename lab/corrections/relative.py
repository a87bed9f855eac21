"""Rows described by their cosines with fixed anchors, so that spaces trained apart can be compared."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from lab.corrections.transformer import Array, RowTransformer, mean_row
from lab.corrections.vectors import look_for_zero_rows, unit_rows


class RelativeRepresentation(ClassNamePrefixFeaturesOutMixin, RowTransformer):
    """Replaces each row by its cosines with M anchors, which no rotation or scaling of the space changes.

    Formula: r_m = <x, a_m> / (|x| |a_m|), m = 1 .. M. With ``center`` the mean anchor is taken off rows and anchors
    first; then a shift of the whole space changes nothing either. The result is not normalised.

    fit(A): A (M, d), the anchors. Two spaces become comparable when each has its own transformer, fitted on its own
    embeddings of the *same* items in the *same* order; the widths may differ. Any row of the space can be transformed:
    a picture may be described by anchors that are texts, where both lie in one space.

    Args:
        center: whether the mean anchor is taken off.

    Attributes:
        mean_: (d,) float64, what is taken off: the mean anchor, or zeros.
        anchors_: (M, d) float64, unit rows (a zero row where an anchor is zero).

    transform(X): X (N, d) gives (N, M), entries in -1 .. 1. Compare such rows by their cosine. Rows of two unrelated
    spaces are related only as the mean cosine of a space, common to all rows, makes them; retrieval across is then at
    chance.

    Raises:
        ValueError: NaN or infinity, other numbers of columns than fitted. A zero row has no direction: its cosines are
            0, with a warning. With ``center`` that is a row equal to the mean anchor, without a warning.
        TypeError: ``center`` is no bool.

    Cost: O(N M d) time, O(M d + N M) memory.

    Source: Moschella et al. 2023 (relative-representations-enable-zero), with cosine as their similarity. They take
    anchors from the training set at random and centre nothing; ``center`` is an option of their later code.

    Relations: ``lab.probes.linear_cka`` compares all inner products within two spaces at once. A map fitted between
    the spaces needs the same paired items and keeps the width of one of them.

    Example:
        >>> space = np.random.default_rng(0).normal(size=(20, 3))
        >>> other = -2 * space[:, [2, 0, 1]]
        >>> one = RelativeRepresentation().fit(space[:5]).transform(space)
        >>> two = RelativeRepresentation().fit(other[:5]).transform(other)
        >>> one.shape, bool(np.allclose(one, two))
        ((20, 5), True)
    """

    def __init__(self, center: bool = False) -> None:
        self.center = center

    @property
    def _n_features_out(self) -> int:
        return len(self.anchors_)

    def _learn(self, rows: Array, y: object) -> None:
        if not isinstance(self.center, bool | np.bool_):
            raise TypeError(f"center must be True or False, got {self.center!r}")
        self.mean_ = mean_row(rows) if self.center else np.zeros(rows.shape[1])
        self.anchors_ = unit_rows(rows - self.mean_)

    def _look_over(self, rows: Array) -> None:
        if not self.center:
            look_for_zero_rows(rows)

    def _map(self, rows: Array) -> Array:
        return unit_rows(rows - self.mean_) @ self.anchors_.T
