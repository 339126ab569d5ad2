"""Finds the pins in a pin dir."""

import os
import re


def layout(pin_dir: str) -> str:
    """Returns the folder of the pins; never the temporary one that a killed start has left beside
    it."""
    return os.path.join(pin_dir, next(
        name for name in os.listdir(pin_dir) if re.fullmatch(r"layout-\d+", name)))
