"""Questions about images for sessions."""

import numpy as np
from PIL import Image


def image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (84, 84, 3), dtype=np.uint8))


def about(seed: int, text: str = "What?") -> list[dict[str, object]]:
    return [{"type": "image", "image": image(seed)}, {"type": "text", "text": text}]
