"""Probes: what a set of embeddings looks like, one file a phenomenon.

A probe takes rows (N, d), tensor or array, and returns a float or a small frozen record beside the value's null.
"""

from lab.probes.agreement import principal_cosines
from lab.probes.augmented import Concentration, augmented_distances, concentration
from lab.probes.downstream import equal_error_rate, knn_accuracy, linear_accuracy
from lab.probes.few_labels import few_label_error, labels_needed
from lab.probes.graph import graph_agreement, laplacian_eigenvectors
from lab.probes.spectrum import effective_rank, participation_ratio
from lab.probes.sphere import Uniformity, alignment, gradient_entropy, tolerance, uniformity, uniformity_limit

__all__ = [
    "Concentration",
    "Uniformity",
    "alignment",
    "augmented_distances",
    "concentration",
    "effective_rank",
    "equal_error_rate",
    "few_label_error",
    "gradient_entropy",
    "graph_agreement",
    "knn_accuracy",
    "labels_needed",
    "laplacian_eigenvectors",
    "linear_accuracy",
    "participation_ratio",
    "principal_cosines",
    "tolerance",
    "uniformity",
    "uniformity_limit",
]
