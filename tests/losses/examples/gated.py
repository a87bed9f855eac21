"""Arguments for the loss with gates, as the shared tests want them."""

import torch

EXAMPLES = {
    "gated_info_nce": lambda g, n, d: {
        "anchors": torch.randn(n, d, generator=g),
        "positives": torch.randn(n, d, generator=g),
        "gates": 0.05 + torch.rand(n, d, generator=g),
        "temperature": 0.2,
    },
}

ROWS = {"gated_info_nce": ("anchors", "positives", "gates")}
