"""Probes: what a set of embeddings looks like, one file a phenomenon.

A probe takes rows (N, d), tensor or array, and returns a float or a small frozen record: the value, what unrelated data
would give, and warnings. Nothing is centred or normalised in secret, and no N x N matrix is held.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.probes.agreement import principal_cosines
    from lab.probes.augmented import Concentration, augmented_distances, concentration
    from lab.probes.axes import RankAxis, rank_axis
    from lab.probes.axis_extremes import (
        AxisModel,
        axis_model,
        normal_spearman,
        optimal_axis_correlation,
        two_extremes_correlation,
    )
    from lab.probes.axis_fit import Axis, extremes_axis, ridge_axis
    from lab.probes.axis_order import order_axis
    from lab.probes.circular import CircularAxes, angular_error, circular_axes
    from lab.probes.class_geometry import ClassMeanGeometry, frame_distance, nc2, simplex_distance
    from lab.probes.class_means import class_centres
    from lab.probes.class_moments import ClassMoments, CollapseReport
    from lab.probes.collapse import VariabilityCollapse, nc1
    from lab.probes.compatibility import StrictCompatibility, average_compatibility, strict_compatibility
    from lab.probes.cone import Cone, cone_statistics, mean_cosine, relu_cone
    from lab.probes.cosine_distributions import Cosines, ModalCosines, modal_cosines
    from lab.probes.cut_offs import CutOff, best_cut_off, cut_off, pooled_auc
    from lab.probes.decay import NumericalRank, PowerLaw, numerical_rank, power_law_exponent
    from lab.probes.dimension import Dimension, mle_dimension, two_nn
    from lab.probes.dimension_bias import gaussian_dimension
    from lab.probes.distances import NeighbourDistances, neighbour_distances
    from lab.probes.downstream import equal_error_rate, knn_accuracy, linear_accuracy
    from lab.probes.duplicates import distinct_rows
    from lab.probes.factors import AdditiveFactors, additive_factors
    from lab.probes.few_labels import few_label_error, labels_needed
    from lab.probes.frechet import Frechet, frechet_distance
    from lab.probes.gap import ModalityGap, modality_gap
    from lab.probes.graph import graph_agreement, laplacian_eigenvectors
    from lab.probes.hubs import Hubness, hubness, hubness_of
    from lab.probes.isotropy import DirectionsUsed, IsoScore, RankMe, directions_used, iso_score, iso_score_star, rankme
    from lab.probes.kernel_alignment import Alignment, kernel_cka, linear_cka
    from lab.probes.kernel_discrepancy import KernelDiscrepancy, kernel_mmd
    from lab.probes.lid import LocalDimension, local_dimension
    from lab.probes.linearity import Linearity, linearity_score
    from lab.probes.mining import Mined, mine_pairs, mined_f1, precision_at_recall
    from lab.probes.moments import (
        SecondMoment,
        Spectrum,
        effective_rank_null,
        participation_ratio_null,
        second_moment,
        spectrum_of,
    )
    from lab.probes.norms import Norms, norm_statistics
    from lab.probes.occurrence_counts import k_occurrence
    from lab.probes.offsets import BiasSubspace, Parallelism, bias_subspace, parallelism
    from lab.probes.partition import PartitionIsotropy, partition_isotropy, partition_isotropy_null
    from lab.probes.rank_agreement import RankScores, rank_scores
    from lab.probes.rankings import Ranking, rank_gallery
    from lab.probes.result_lists import ListAgreement, list_agreement, neighbour_agreement
    from lab.probes.retrieval import Retrieval, map_at_r, ndcg_at_k, r_precision, recall_at_k
    from lab.probes.rotation_fit import Procrustes, procrustes_distance
    from lab.probes.self_duality import CentreAgreement, CentreDisagreement, SelfDuality, nc3, nc4
    from lab.probes.separability import Separability, modality_separability
    from lab.probes.spectrum import effective_rank, participation_ratio
    from lab.probes.sphere import Uniformity, alignment, gradient_entropy, tolerance, uniformity, uniformity_limit
    from lab.probes.zero_shot import ZeroShot, zero_shot_accuracy

_LAZY = {
    "AdditiveFactors": "lab.probes.factors",
    "Alignment": "lab.probes.kernel_alignment",
    "Axis": "lab.probes.axis_fit",
    "AxisModel": "lab.probes.axis_extremes",
    "BiasSubspace": "lab.probes.offsets",
    "CentreAgreement": "lab.probes.self_duality",
    "CentreDisagreement": "lab.probes.self_duality",
    "CircularAxes": "lab.probes.circular",
    "ClassMeanGeometry": "lab.probes.class_geometry",
    "ClassMoments": "lab.probes.class_moments",
    "CollapseReport": "lab.probes.class_moments",
    "Concentration": "lab.probes.augmented",
    "Cone": "lab.probes.cone",
    "Cosines": "lab.probes.cosine_distributions",
    "CutOff": "lab.probes.cut_offs",
    "Dimension": "lab.probes.dimension",
    "DirectionsUsed": "lab.probes.isotropy",
    "Frechet": "lab.probes.frechet",
    "Hubness": "lab.probes.hubs",
    "IsoScore": "lab.probes.isotropy",
    "KernelDiscrepancy": "lab.probes.kernel_discrepancy",
    "Linearity": "lab.probes.linearity",
    "ListAgreement": "lab.probes.result_lists",
    "LocalDimension": "lab.probes.lid",
    "Mined": "lab.probes.mining",
    "ModalCosines": "lab.probes.cosine_distributions",
    "ModalityGap": "lab.probes.gap",
    "NeighbourDistances": "lab.probes.distances",
    "Norms": "lab.probes.norms",
    "NumericalRank": "lab.probes.decay",
    "Parallelism": "lab.probes.offsets",
    "PartitionIsotropy": "lab.probes.partition",
    "PowerLaw": "lab.probes.decay",
    "Procrustes": "lab.probes.rotation_fit",
    "RankAxis": "lab.probes.axes",
    "RankMe": "lab.probes.isotropy",
    "RankScores": "lab.probes.rank_agreement",
    "Ranking": "lab.probes.rankings",
    "Retrieval": "lab.probes.retrieval",
    "SecondMoment": "lab.probes.moments",
    "SelfDuality": "lab.probes.self_duality",
    "Separability": "lab.probes.separability",
    "Spectrum": "lab.probes.moments",
    "StrictCompatibility": "lab.probes.compatibility",
    "Uniformity": "lab.probes.sphere",
    "VariabilityCollapse": "lab.probes.collapse",
    "ZeroShot": "lab.probes.zero_shot",
    "additive_factors": "lab.probes.factors",
    "alignment": "lab.probes.sphere",
    "angular_error": "lab.probes.circular",
    "augmented_distances": "lab.probes.augmented",
    "average_compatibility": "lab.probes.compatibility",
    "axis_model": "lab.probes.axis_extremes",
    "best_cut_off": "lab.probes.cut_offs",
    "bias_subspace": "lab.probes.offsets",
    "circular_axes": "lab.probes.circular",
    "class_centres": "lab.probes.class_means",
    "concentration": "lab.probes.augmented",
    "cone_statistics": "lab.probes.cone",
    "cut_off": "lab.probes.cut_offs",
    "directions_used": "lab.probes.isotropy",
    "distinct_rows": "lab.probes.duplicates",
    "effective_rank": "lab.probes.spectrum",
    "effective_rank_null": "lab.probes.moments",
    "equal_error_rate": "lab.probes.downstream",
    "extremes_axis": "lab.probes.axis_fit",
    "few_label_error": "lab.probes.few_labels",
    "frame_distance": "lab.probes.class_geometry",
    "frechet_distance": "lab.probes.frechet",
    "gaussian_dimension": "lab.probes.dimension_bias",
    "gradient_entropy": "lab.probes.sphere",
    "graph_agreement": "lab.probes.graph",
    "hubness": "lab.probes.hubs",
    "hubness_of": "lab.probes.hubs",
    "iso_score": "lab.probes.isotropy",
    "iso_score_star": "lab.probes.isotropy",
    "k_occurrence": "lab.probes.occurrence_counts",
    "kernel_cka": "lab.probes.kernel_alignment",
    "kernel_mmd": "lab.probes.kernel_discrepancy",
    "knn_accuracy": "lab.probes.downstream",
    "labels_needed": "lab.probes.few_labels",
    "laplacian_eigenvectors": "lab.probes.graph",
    "linear_accuracy": "lab.probes.downstream",
    "linear_cka": "lab.probes.kernel_alignment",
    "linearity_score": "lab.probes.linearity",
    "list_agreement": "lab.probes.result_lists",
    "local_dimension": "lab.probes.lid",
    "map_at_r": "lab.probes.retrieval",
    "mean_cosine": "lab.probes.cone",
    "mine_pairs": "lab.probes.mining",
    "mined_f1": "lab.probes.mining",
    "mle_dimension": "lab.probes.dimension",
    "modal_cosines": "lab.probes.cosine_distributions",
    "modality_gap": "lab.probes.gap",
    "modality_separability": "lab.probes.separability",
    "nc1": "lab.probes.collapse",
    "nc2": "lab.probes.class_geometry",
    "nc3": "lab.probes.self_duality",
    "nc4": "lab.probes.self_duality",
    "ndcg_at_k": "lab.probes.retrieval",
    "neighbour_agreement": "lab.probes.result_lists",
    "neighbour_distances": "lab.probes.distances",
    "norm_statistics": "lab.probes.norms",
    "normal_spearman": "lab.probes.axis_extremes",
    "numerical_rank": "lab.probes.decay",
    "optimal_axis_correlation": "lab.probes.axis_extremes",
    "order_axis": "lab.probes.axis_order",
    "parallelism": "lab.probes.offsets",
    "participation_ratio": "lab.probes.spectrum",
    "participation_ratio_null": "lab.probes.moments",
    "partition_isotropy": "lab.probes.partition",
    "partition_isotropy_null": "lab.probes.partition",
    "pooled_auc": "lab.probes.cut_offs",
    "power_law_exponent": "lab.probes.decay",
    "precision_at_recall": "lab.probes.mining",
    "principal_cosines": "lab.probes.agreement",
    "procrustes_distance": "lab.probes.rotation_fit",
    "r_precision": "lab.probes.retrieval",
    "rank_axis": "lab.probes.axes",
    "rank_gallery": "lab.probes.rankings",
    "rank_scores": "lab.probes.rank_agreement",
    "rankme": "lab.probes.isotropy",
    "recall_at_k": "lab.probes.retrieval",
    "relu_cone": "lab.probes.cone",
    "ridge_axis": "lab.probes.axis_fit",
    "second_moment": "lab.probes.moments",
    "simplex_distance": "lab.probes.class_geometry",
    "spectrum_of": "lab.probes.moments",
    "strict_compatibility": "lab.probes.compatibility",
    "tolerance": "lab.probes.sphere",
    "two_extremes_correlation": "lab.probes.axis_extremes",
    "two_nn": "lab.probes.dimension",
    "uniformity": "lab.probes.sphere",
    "uniformity_limit": "lab.probes.sphere",
    "zero_shot_accuracy": "lab.probes.zero_shot",
}

__all__ = [
    "AdditiveFactors",
    "Alignment",
    "Axis",
    "AxisModel",
    "BiasSubspace",
    "CentreAgreement",
    "CentreDisagreement",
    "CircularAxes",
    "ClassMeanGeometry",
    "ClassMoments",
    "CollapseReport",
    "Concentration",
    "Cone",
    "Cosines",
    "CutOff",
    "Dimension",
    "DirectionsUsed",
    "Frechet",
    "Hubness",
    "IsoScore",
    "KernelDiscrepancy",
    "Linearity",
    "ListAgreement",
    "LocalDimension",
    "Mined",
    "ModalCosines",
    "ModalityGap",
    "NeighbourDistances",
    "Norms",
    "NumericalRank",
    "Parallelism",
    "PartitionIsotropy",
    "PowerLaw",
    "Procrustes",
    "RankAxis",
    "RankMe",
    "RankScores",
    "Ranking",
    "Retrieval",
    "SecondMoment",
    "SelfDuality",
    "Separability",
    "Spectrum",
    "StrictCompatibility",
    "Uniformity",
    "VariabilityCollapse",
    "ZeroShot",
    "additive_factors",
    "alignment",
    "angular_error",
    "augmented_distances",
    "average_compatibility",
    "axis_model",
    "best_cut_off",
    "bias_subspace",
    "circular_axes",
    "class_centres",
    "concentration",
    "cone_statistics",
    "cut_off",
    "directions_used",
    "distinct_rows",
    "effective_rank",
    "effective_rank_null",
    "equal_error_rate",
    "extremes_axis",
    "few_label_error",
    "frame_distance",
    "frechet_distance",
    "gaussian_dimension",
    "gradient_entropy",
    "graph_agreement",
    "hubness",
    "hubness_of",
    "iso_score",
    "iso_score_star",
    "k_occurrence",
    "kernel_cka",
    "kernel_mmd",
    "knn_accuracy",
    "labels_needed",
    "laplacian_eigenvectors",
    "linear_accuracy",
    "linear_cka",
    "linearity_score",
    "list_agreement",
    "local_dimension",
    "map_at_r",
    "mean_cosine",
    "mine_pairs",
    "mined_f1",
    "mle_dimension",
    "modal_cosines",
    "modality_gap",
    "modality_separability",
    "nc1",
    "nc2",
    "nc3",
    "nc4",
    "ndcg_at_k",
    "neighbour_agreement",
    "neighbour_distances",
    "norm_statistics",
    "normal_spearman",
    "numerical_rank",
    "optimal_axis_correlation",
    "order_axis",
    "parallelism",
    "participation_ratio",
    "participation_ratio_null",
    "partition_isotropy",
    "partition_isotropy_null",
    "pooled_auc",
    "power_law_exponent",
    "precision_at_recall",
    "principal_cosines",
    "procrustes_distance",
    "r_precision",
    "rank_axis",
    "rank_gallery",
    "rank_scores",
    "rankme",
    "recall_at_k",
    "relu_cone",
    "ridge_axis",
    "second_moment",
    "simplex_distance",
    "spectrum_of",
    "strict_compatibility",
    "tolerance",
    "two_extremes_correlation",
    "two_nn",
    "uniformity",
    "uniformity_limit",
    "zero_shot_accuracy",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lab.probes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
