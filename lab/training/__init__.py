"""Training: one loop, one model or many seeds at once."""

from lab.training.batches import Pair, RowBatch, Rows, TwoViews, ViewBatch, Views
from lab.training.free import free_embeddings
from lab.training.history import History
from lab.training.loop import NonFiniteLoss, fit
from lab.training.recipes import train_two_views
from lab.training.stacked import Stacked, stack
from lab.training.triples import ClassTriples, Triple

__all__ = [
    "ClassTriples",
    "History",
    "NonFiniteLoss",
    "Pair",
    "RowBatch",
    "Rows",
    "Stacked",
    "Triple",
    "TwoViews",
    "ViewBatch",
    "Views",
    "fit",
    "free_embeddings",
    "stack",
    "train_two_views",
]
