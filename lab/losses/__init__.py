"""Losses: pure functions on tensors, one file a family.

Every loss takes rows (..., N, d), works on the last two axes and returns a value of the leading shape, so that a stack
of seeds is trained as one. Losses on cosines normalise inside; ``temperature`` is always a divisor. Losses that select
positives and negatives by labels return a `Selected`: the loss, and how many anchors had no positive. What has state
(a learned temperature, proxies, a queue) is a thin module beside its function. ``lab losses`` lists them by data.
"""

from lab.losses.class_prior import mutual_information_contrast
from lab.losses.clip import LearnedTemperature, clip_loss
from lab.losses.clusters import SwAV, sinkhorn, swav
from lab.losses.codes import class_codes, orthogonal_code_cosine
from lab.losses.collapse_terms import NeuralCollapse, nc1_loss, nc2_loss
from lab.losses.compatibility import compatible_contrast
from lab.losses.confusion import energy_confusion
from lab.losses.contextual import contextual_loss, contextual_similarity, mean_cosine_penalty
from lab.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from lab.losses.cross_triplets import boosted_triplet, triplet_alignment
from lab.losses.crossmodal import continuous_weights, cwcl, weighted_info_nce
from lab.losses.decoupling import coupling, decoupled, weighted_decoupled
from lab.losses.euclidean_pairs import entailment_cones, euclidean_clip
from lab.losses.gap_closing import cross_uniformity, gap_closing_terms
from lab.losses.gated import gated_info_nce
from lab.losses.guided_negatives import guided_info_nce, kept_by_guide
from lab.losses.hard_negatives import hard_contrastive
from lab.losses.heads import fixed_classifier, harmonic, simplex, z_loss
from lab.losses.individual_temperature import best_temperature, individual_info_nce
from lab.losses.instance_discrimination import instance_nce, instance_softmax, log_partition
from lab.losses.latent_classes import collision_bound, logistic_contrast, mean_classifier_loss
from lab.losses.leave_one_out import cloob, hopfield_retrieve, info_loob
from lab.losses.lifted import generalised_lifted_structure, lifted_structure
from lab.losses.lorentz import lorentz_clip, lorentz_cones
from lab.losses.margins import arcface, cosface, normalised_softmax, sub_centre_arcface
from lab.losses.multi_head import multi_head_info_nce, pair_temperature, temperature_penalty
from lab.losses.multi_label import multi_label_clusters, nearest_centres
from lab.losses.multi_positive import decoupled_softmax
from lab.losses.multilinear import multilinear_product, multilinear_scores, symile
from lab.losses.multiview import mv_dhel, mv_dhel_parts, mv_info_nce, pairwise_info_nce
from lab.losses.ordered import conr, rank_n_contrast
from lab.losses.ordered_mixtures import supremix
from lab.losses.pairs import circle, margin_contrastive, multi_similarity
from lab.losses.predictive import byol, negative_cosine, prediction_distance, simsiam
from lab.losses.proxies import ClassProxies, proxy_anchor, proxy_nca
from lab.losses.push_pull import attraction, attraction_repulsion, repulsion
from lab.losses.ranks import across_ranks, gather
from lab.losses.redundancy import barlow_twins, neighbour_barlow
from lab.losses.regularisers import align_uniform, alignment, uniformity
from lab.losses.scores import cosent, margin_mse, relevance_margin
from lab.losses.selection import Pairs, Selected, by_index, by_label
from lab.losses.separation import mann_whitney
from lab.losses.sigmoid import LearnedSigmoid, sigmoid_pairs
from lab.losses.similarity import cosine, cosine_distance, dot, euclidean, snr, squared_euclidean
from lab.losses.sorting import group_ordering, score_ordering, soft_sort
from lab.losses.spectral import graph_info_nce, graph_spectral, spectral_contrastive
from lab.losses.spread import coding_rate, coding_rate_reduction, koleo, total_coding_rate
from lab.losses.stores import MemoryBank, Queue
from lab.losses.subclasses import subclass_contrast
from lab.losses.subspaces import collaborative_inner_product
from lab.losses.supervised import pairwise_sup_con, sup_con_in, sup_con_out
from lab.losses.synthetic_negatives import mixed_info_nce, mixed_negatives, noise_negatives
from lab.losses.topk import soft_top_k, soft_top_k_loss
from lab.losses.translated_prototypes import EpisodePrototypes, back_translation, prototype_alignment
from lab.losses.triplets import triplet
from lab.losses.tuples import AngularPrototypical, angular_prototypical, n_pairs, proto_triplet, protonet, prototypes
from lab.losses.variance_covariance import vicreg, vicreg_covariance, vicreg_invariance, vicreg_variance
from lab.losses.weighted_negatives import hardness_weighted_info_nce, instance_weighted_info_nce
from lab.losses.whitening import w_mse, whiten

__all__ = [
    "AngularPrototypical",
    "ClassProxies",
    "EpisodePrototypes",
    "LearnedSigmoid",
    "LearnedTemperature",
    "MemoryBank",
    "NeuralCollapse",
    "Pairs",
    "Queue",
    "Selected",
    "SwAV",
    "across_ranks",
    "align_uniform",
    "alignment",
    "angular_prototypical",
    "arcface",
    "attraction",
    "attraction_repulsion",
    "back_translation",
    "barlow_twins",
    "best_temperature",
    "boosted_triplet",
    "by_index",
    "by_label",
    "byol",
    "circle",
    "class_codes",
    "clip_loss",
    "cloob",
    "coding_rate",
    "coding_rate_reduction",
    "collaborative_inner_product",
    "collision_bound",
    "compatible_contrast",
    "conr",
    "contextual_loss",
    "contextual_similarity",
    "continuous_weights",
    "cosent",
    "cosface",
    "cosine",
    "cosine_distance",
    "coupling",
    "cross_uniformity",
    "cwcl",
    "decoupled",
    "decoupled_softmax",
    "dot",
    "energy_confusion",
    "entailment_cones",
    "euclidean",
    "euclidean_clip",
    "fixed_classifier",
    "gap_closing_terms",
    "gated_info_nce",
    "gather",
    "generalised_lifted_structure",
    "graph_info_nce",
    "graph_spectral",
    "group_ordering",
    "guided_info_nce",
    "hard_contrastive",
    "hardness_weighted_info_nce",
    "harmonic",
    "hopfield_retrieve",
    "individual_info_nce",
    "info_loob",
    "info_nce",
    "instance_nce",
    "instance_softmax",
    "instance_weighted_info_nce",
    "kept_by_guide",
    "koleo",
    "lifted_structure",
    "log_partition",
    "logistic_contrast",
    "lorentz_clip",
    "lorentz_cones",
    "mann_whitney",
    "margin_contrastive",
    "margin_mse",
    "mean_classifier_loss",
    "mean_cosine_penalty",
    "mixed_info_nce",
    "mixed_negatives",
    "multi_head_info_nce",
    "multi_label_clusters",
    "multi_similarity",
    "multilinear_product",
    "multilinear_scores",
    "mutual_information_contrast",
    "mv_dhel",
    "mv_dhel_parts",
    "mv_info_nce",
    "n_pairs",
    "nc1_loss",
    "nc2_loss",
    "nearest_centres",
    "negative_cosine",
    "neighbour_barlow",
    "noise_negatives",
    "normalised_softmax",
    "nt_xent",
    "orthogonal_code_cosine",
    "pair_temperature",
    "pairwise_info_nce",
    "pairwise_sup_con",
    "prediction_distance",
    "proto_triplet",
    "protonet",
    "prototype_alignment",
    "prototypes",
    "proxy_anchor",
    "proxy_nca",
    "rank_n_contrast",
    "relevance_margin",
    "repulsion",
    "score_ordering",
    "sigmoid_pairs",
    "simplex",
    "simsiam",
    "sinkhorn",
    "snr",
    "soft_sort",
    "soft_top_k",
    "soft_top_k_loss",
    "spectral_contrastive",
    "squared_euclidean",
    "sub_centre_arcface",
    "subclass_contrast",
    "sup_con_in",
    "sup_con_out",
    "supremix",
    "swav",
    "symile",
    "symmetric_info_nce",
    "temperature_penalty",
    "total_coding_rate",
    "triplet",
    "triplet_alignment",
    "uniformity",
    "vicreg",
    "vicreg_covariance",
    "vicreg_invariance",
    "vicreg_variance",
    "w_mse",
    "weighted_decoupled",
    "weighted_info_nce",
    "whiten",
    "z_loss",
]
