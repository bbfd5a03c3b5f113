"""The bits of every layer of a model, as rows and columns."""

from dataclasses import dataclass

from pocketvl.export.layers import linear_layers
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import ModelGeometry

_TEXT_COLUMNS = {
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "o_proj": "o",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
}
_VISION_COLUMNS = {"qkv": "qkv", "proj": "proj", "fc1": "fc1", "fc2": "fc2"}


@dataclass(frozen=True)
class Cell:
    bits: int  # 4, 8, 16 or 32
    group_size: int | None


@dataclass(frozen=True)
class Grid:
    """Cells of one tower: a row a layer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class BitMap:
    text: Grid
    vision: Grid
    single: tuple[tuple[str, Cell], ...]  # layers that stand alone: patch embedding, merger, head


def bit_map(geometry: ModelGeometry, recipe: Recipe) -> BitMap:
    """What the recipe gives each layer. Raises RecipeError if a layer cannot take it."""
    cells = {}
    for layer in linear_layers(geometry):
        bits = recipe.bits(layer.name, layer.in_features)
        cells[layer.name] = Cell(bits.bits, bits.group_size)
    text = _grid(cells, "text_decoder.layers", _TEXT_COLUMNS, geometry.text.num_layers)
    vision = _grid(cells, "vision_encoder.blocks", _VISION_COLUMNS, geometry.vision.depth)
    single = tuple((name.removeprefix("vision_encoder."), cell) for name, cell in cells.items())
    return BitMap(text, vision, single)


def _grid(cells: dict[str, Cell], prefix: str, columns: dict[str, str], count: int) -> Grid:
    """Takes the grid's cells out of `cells`."""
    rows = tuple(tuple(cells.pop(f"{prefix}.{row}.{name}") for name in columns) for row in range(count))
    return Grid(tuple(columns.values()), rows)
