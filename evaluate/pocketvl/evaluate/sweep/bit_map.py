"""The bits of every layer of a model, as rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import Layer, decoder_layer, vision_block
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.bundle.geometry import ModelGeometry


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
    precisions = resolve(recipe, geometry).precisions
    cells = {name: Cell(own.bits, own.group_size) for name, own in precisions.items()}
    text = _grid(cells, [decoder_layer(geometry.text, row) for row in range(geometry.text.num_layers)])
    vision = _grid(cells, [vision_block(geometry.vision, row) for row in range(geometry.vision.depth)])
    single = tuple((name.removeprefix("vision_encoder."), cell) for name, cell in cells.items())
    return BitMap(text, vision, single)


def _grid(cells: dict[str, Cell], blocks: Sequence[Sequence[Layer]]) -> Grid:
    """Takes the grid's cells out of `cells`."""
    columns = tuple(layer.kind.removesuffix("_proj") for layer in blocks[0])
    return Grid(columns, tuple(tuple(cells.pop(layer.name) for layer in block) for block in blocks))
