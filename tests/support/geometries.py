"""Geometries that differ in everything a graph could have hard-coded."""

from dataclasses import replace

from pocketvl.runtime.bundle.geometry import ModelGeometry
from tests.support.checkpoints import SMALL_GEOMETRY

_VISION, _TEXT = SMALL_GEOMETRY.vision, SMALL_GEOMETRY.text

# For tests of what happens around a model: the least that every recipe fits.
ONE_LAYER = ModelGeometry(replace(_VISION, depth=1), replace(_TEXT, num_layers=1))

GEOMETRIES: dict[str, ModelGeometry] = {
    "tied, 6/2 heads of 16": SMALL_GEOMETRY,
    "untied, 4/4 heads of 32": ModelGeometry(
        vision=replace(_VISION, depth=2, hidden_size=96, intermediate_size=192, num_heads=4, output_size=128),
        text=replace(
            _TEXT,
            num_layers=3,
            hidden_size=128,
            intermediate_size=192,
            num_heads=4,
            num_kv_heads=4,
            head_dim=32,
            vocab_size=416,
            rope_theta=1e4,
            mrope_section=(4, 6, 6),
            tie_word_embeddings=False,
        ),
    ),
    "tied, 4/1 heads of 64": ModelGeometry(
        vision=replace(_VISION, depth=1, hidden_size=160, intermediate_size=320, output_size=256),
        text=replace(
            _TEXT,
            num_layers=4,
            hidden_size=256,
            intermediate_size=320,
            num_heads=4,
            num_kv_heads=1,
            head_dim=64,
            mrope_section=(16, 8, 8),
        ),
    ),
}
