"""Corrections: what one does about what the probes find.

Corrections of vectors are scikit-learn transformers: fitted on the gallery, applied to gallery and queries alike.
Corrections of scores are functions of a matrix of similarities (queries x gallery), and for sets whose matrix is too
large ``fit_...`` functions, whose result scores or searches queries block by block. In every one of them bigger scores
are nearer.
"""

from lab.corrections.bank import Fitted
from lab.corrections.decision import Decision, frechet_mean, temperature_scale
from lab.corrections.directions import PCA, AllButTheTop, BiasSubspaceRemoval
from lab.corrections.dissim import dissim_global, dissim_local, fit_dissim_global, fit_dissim_local
from lab.corrections.dual import dual_bank_normalisation, dual_softmax, fit_dual_bank, fit_dual_softmax
from lab.corrections.modality import ModalityShift
from lab.corrections.proximity import (
    fit_mutual_proximity_empiric,
    fit_mutual_proximity_gauss,
    mutual_proximity_empiric,
    mutual_proximity_gauss,
)
from lab.corrections.querybank import (
    fit_inverted_softmax,
    fit_querybank,
    inverted_softmax,
    querybank_normalisation,
)
from lab.corrections.relative import RelativeRepresentation
from lab.corrections.scaling import fit_local_scaling, fit_nicdm, local_scaling, nicdm
from lab.corrections.scores import csls, fit_csls, fit_ratio_margin, ratio_margin
from lab.corrections.vectors import Centring, Standardising, UnitNorm
from lab.corrections.whitening import GroupWhitening, Whitening

__all__ = [
    "PCA",
    "AllButTheTop",
    "BiasSubspaceRemoval",
    "Centring",
    "Decision",
    "Fitted",
    "GroupWhitening",
    "ModalityShift",
    "RelativeRepresentation",
    "Standardising",
    "UnitNorm",
    "Whitening",
    "csls",
    "dissim_global",
    "dissim_local",
    "dual_bank_normalisation",
    "dual_softmax",
    "fit_csls",
    "fit_dissim_global",
    "fit_dissim_local",
    "fit_dual_bank",
    "fit_dual_softmax",
    "fit_inverted_softmax",
    "fit_local_scaling",
    "fit_mutual_proximity_empiric",
    "fit_mutual_proximity_gauss",
    "fit_nicdm",
    "fit_querybank",
    "fit_ratio_margin",
    "frechet_mean",
    "inverted_softmax",
    "local_scaling",
    "mutual_proximity_empiric",
    "mutual_proximity_gauss",
    "nicdm",
    "querybank_normalisation",
    "ratio_margin",
    "temperature_scale",
]
