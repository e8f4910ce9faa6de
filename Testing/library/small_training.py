"""A training that takes seconds."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "method_settings": {"network": {"unet": {"width": 4, "multipliers": [1, 2], "embedding": 16, "groups": 2}}},
    "preprocessing": {"grid": {"spacing_mm": 6.0}},
    "precision": "32-true",
    "every_draw": False,
    "learning_rate": 5e-3,
}
"""Fields of `TrainSettings`."""
