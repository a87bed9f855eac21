"""Probes: what a set of embeddings looks like, one file a phenomenon.

A probe takes rows (N, d), tensor or array, and returns a float or a small frozen record beside the value's null.
"""

from lab.probes.agreement import principal_cosines
from lab.probes.downstream import equal_error_rate, knn_accuracy, linear_accuracy
from lab.probes.spectrum import effective_rank, participation_ratio
from lab.probes.sphere import Uniformity, alignment, gradient_entropy, tolerance, uniformity, uniformity_limit

__all__ = [
    "Uniformity",
    "alignment",
    "effective_rank",
    "equal_error_rate",
    "gradient_entropy",
    "knn_accuracy",
    "linear_accuracy",
    "participation_ratio",
    "principal_cosines",
    "tolerance",
    "uniformity",
    "uniformity_limit",
]
