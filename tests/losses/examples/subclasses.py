"""Arguments for the contrast of subclasses, as the shared tests want them."""

import torch

EXAMPLES = {
    "subclass_contrast": lambda g, n, d: {
        "embeddings": torch.randn(n, d, generator=g),
        "labels": torch.arange(n) // 4,
        "subclasses": torch.arange(n) // 2,
        "temperature": 0.1,
        "class_temperature": 0.3,
        "weight": 0.5,
    },
}

ROWS = {"subclass_contrast": ("embeddings", "labels", "subclasses")}
