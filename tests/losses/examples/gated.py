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

ROWS: dict = {"gated_info_nce": ()}  # not for several ranks yet: rows without a gate are refused there
