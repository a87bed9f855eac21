"""Which probe answers which question: the probes and corrections of the package by what a person wants to know."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from lab.collection.catalogue import PACKAGE, sections


@dataclass(frozen=True)
class Question:
    """A question about embeddings, the probes that answer it (the first ones first), and what can be done about it.

    `probes` name public functions and classes of ``lab.probes``, `corrections` those of ``lab.corrections``.
    """

    asks: str
    probes: tuple[str, ...]
    corrections: tuple[str, ...] = ()


def _ask(asks: str, probes: str, corrections: str = "") -> Question:
    return Question(asks, tuple(probes.split()), tuple(corrections.split()))


# fmt: off
QUESTIONS = (
    _ask("Are the rows spread over the sphere, or do they sit in a cone?",
         "uniformity uniformity_limit mean_cosine cone_statistics gradient_entropy relu_cone",
         "Centring UnitNorm Whitening"),
    _ask("Do like things lie close together?",
         "alignment tolerance knn_accuracy concentration augmented_distances"),
    _ask("How long are the rows?", "norm_statistics distinct_rows", "UnitNorm"),
    _ask("How many directions are in use, and how evenly?",
         "directions_used effective_rank participation_ratio rankme iso_score iso_score_star partition_isotropy "
         "power_law_exponent numerical_rank spectrum_of second_moment effective_rank_null participation_ratio_null "
         "partition_isotropy_null",
         "PCA Whitening GroupWhitening Standardising AllButTheTop"),
    _ask("Of how many dimensions is the cloud, whatever space it lies in?",
         "two_nn mle_dimension local_dimension neighbour_distances gaussian_dimension"),
    _ask("Are a few rows everybody's neighbours?",
         "hubness hubness_of k_occurrence",
         "Centring csls querybank_normalisation inverted_softmax local_scaling mutual_proximity_gauss "
         "mutual_proximity_empiric nicdm dual_bank_normalisation dissim_local dissim_global"),
    _ask("Do two modalities keep apart?",
         "modality_gap modality_separability modal_cosines frechet_distance kernel_mmd", "ModalityShift Centring"),
    _ask("Does a search find what it should?",
         "rank_gallery recall_at_k r_precision map_at_r ndcg_at_k",
         "csls querybank_normalisation dual_softmax dual_bank_normalisation"),
    _ask("From which score on is a pair a match?",
         "best_cut_off cut_off pooled_auc equal_error_rate mine_pairs mined_f1 precision_at_recall",
         "ratio_margin csls temperature_scale"),
    _ask("Can classes be read off, with how many labels?",
         "linear_accuracy knn_accuracy zero_shot_accuracy few_label_error labels_needed", "frechet_mean"),
    _ask("Does a direction order the items by an attribute?",
         "rank_axis ridge_axis extremes_axis order_axis rank_scores axis_model two_extremes_correlation "
         "optimal_axis_correlation normal_spearman circular_axes angular_error"),
    _ask("Are combinations sums of their parts, and analogies parallel?",
         "additive_factors parallelism bias_subspace linearity_score", "BiasSubspaceRemoval"),
    _ask("Have the classes collapsed to points, and where do these lie?",
         "nc1 nc2 nc3 nc4 ClassMoments CentreAgreement class_centres simplex_distance frame_distance"),
    _ask("Do two models see the same?",
         "neighbour_agreement list_agreement linear_cka kernel_cka procrustes_distance principal_cosines "
         "average_compatibility strict_compatibility",
         "RelativeRepresentation"),
    _ask("How much of a graph's structure does the embedding hold?", "graph_agreement laplacian_eigenvectors"),
)
# fmt: on


@cache  # the gallery asks after every notebook of a run
def purposes(wing: str, package: Path = PACKAGE) -> Mapping[str, tuple[str, str]]:
    """First sentence and source of every top-level function and class of ``lab/<wing>/``, read without an import.

    As they are when this process first asks.

    Args:
        wing: folder of the package, such as "probes".
        package: folder of the package ``lab``.

    Returns:
        name -> (purpose, source), each on one line and empty where the docstring has none.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((package / wing).glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                text = ast.get_docstring(node) or ""
                purpose = text.split("\n\n")[0].replace("\n", " ").strip()
                found[node.name] = (purpose, sections(text).get("Source", ""))
    return MappingProxyType(found)


def working_with(names: tuple[str, ...], uses: Mapping[str, tuple[tuple[str, str], ...]]) -> list[str]:
    """The notebooks, by name, that take at least one of the probes or corrections `names` from the package.

    >>> working_with(("nc1",), {"a/01": (("probe", "nc1"),), "a/02": (("loss", "nc1"),)})
    ['a/01']
    """
    return [
        name
        for name, used in uses.items()
        if any(kind in ("probe", "correction") and item in names for kind, item in used)
    ]
