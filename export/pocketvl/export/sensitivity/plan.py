"""A recipe of mixed bits for a goal: a number of bytes, or a KL divergence."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvl.export.checkpoint import merge_lora, open_checkpoint
from pocketvl.export.component import ExportSettings, fit_calibration, fit_image, fit_settings
from pocketvl.export.estimate import BytesOf
from pocketvl.export.isolated import run_isolated
from pocketvl.export.layers import Layer, linear_layers, lm_head
from pocketvl.export.progress import Progress
from pocketvl.export.sensitivity.measure import Sensitivity, can_measure, measure_sensitivity
from pocketvl.quant.allocate import Option, least_cost, least_size
from pocketvl.quant.recipe import Calibration, Precision, Recipe, Rule
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import RecipeError

_INDEX = re.compile(r"\.(\d+)\.")
_Numbered = tuple[str, str]  # what stands before and behind a layer's number


def merge_rules(precisions: Mapping[str, Precision]) -> tuple[Rule, ...]:
    """Rules that give exactly these bits, layer -> bits, first match wins.

    Exceptions come first, neighbours with equal bits as one (text_decoder.layers.1[2-5].v_proj); then what
    most layers of a kind have (text_decoder.layers.*.v_proj); then what most of a component have.
    """
    components: dict[str, dict[str, Precision]] = {}
    for layer, chosen in precisions.items():
        components.setdefault(layer.partition(".")[0], {})[layer] = chosen
    exceptions: list[Rule] = []
    kinds: list[Rule] = []
    rest: list[Rule] = []
    for name, layers in components.items():
        common = _most(list(layers.values()))
        for numbered, members in _kinds(layers).items():
            usual = _most(list(members.values()))
            exceptions += _exceptions(numbered, members, usual)
            if usual != common:
                kinds.append(Rule("{}*{}".format(*numbered), usual))
        exceptions += [
            Rule(layer, chosen)
            for layer, chosen in layers.items()
            if not _INDEX.search(layer) and chosen != common
        ]
        rest.append(Rule(name if list(layers) == [name] else f"{name}.*", common))
    return (*exceptions, *kinds, *rest)


def _kinds(layers: Mapping[str, Precision]) -> dict[_Numbered, dict[int, Precision]]:
    """Layers of a component that differ in their number alone."""
    kinds: dict[_Numbered, dict[int, Precision]] = {}
    for layer, chosen in layers.items():
        found = _INDEX.search(layer)
        if found:
            ends = layer[: found.start(1)], layer[found.end(1) :]
            kinds.setdefault(ends, {})[int(found[1])] = chosen
    return kinds


def _exceptions(numbered: _Numbered, members: Mapping[int, Precision], usual: Precision) -> Iterator[Rule]:
    before, behind = numbered
    for precision in dict.fromkeys(members.values()):
        if precision != usual:
            for pattern in number_patterns([number for number, own in members.items() if own == precision]):
                yield Rule(f"{before}{pattern}{behind}", precision)


def number_patterns(numbers: Sequence[int]) -> Iterator[str]:
    """Shell-style patterns that match exactly these numbers: 3, 10, 11, 12 -> "3", "1[0-2]"."""
    decades: dict[int, list[int]] = {}
    for number in sorted(numbers):
        decades.setdefault(number // 10, []).append(number % 10)
    for tens, digits in decades.items():
        yield f"{tens or ''}{_digits(digits)}"


def _digits(digits: Sequence[int]) -> str:
    if len(digits) == 1:
        return str(digits[0])
    if len(digits) > 2 and digits[-1] - digits[0] == len(digits) - 1:
        return f"[{digits[0]}-{digits[-1]}]"
    return f"[{''.join(map(str, digits))}]"


def _most(precisions: Sequence[Precision]) -> Precision:
    """The commonest; of equally common ones the first."""
    return Counter(precisions).most_common(1)[0][0]


@dataclass(frozen=True)
class SizeBudget:
    """Bytes that all weights and scales of the bundle may take: without biases, norms, graphs and tokenizer,
    with the table of untied embeddings, without the copy of a table that transformers.js alone reads."""

    bytes: int
    name: str  # of the recipe

    def __post_init__(self) -> None:
        if self.bytes < 1:
            raise RecipeError(f"A size budget must be at least one byte, not {self.bytes}.")


@dataclass(frozen=True)
class MaxKL:
    """Predicted KL divergence of the float model and the bundle, in nats per token."""

    nats: float
    name: str

    def __post_init__(self) -> None:
        if not 0 < self.nats < float("inf"):
            raise RecipeError(f"A KL divergence to stay below must be positive, not {self.nats}.")


Goal = SizeBudget | MaxKL


@dataclass(frozen=True)
class Plan:
    """size: bytes as SizeBudget counts them; kl: the sum of what single layers cost, in nats per token."""

    recipe: Recipe
    chosen: dict[str, Option]  # layer -> what it got
    size: int
    kl: float
    measured: bool  # False: kl is a rough figure, see kl_factor


def plan_recipe(
    model: str,
    goal: Goal,
    *,
    method: str,
    calibration: Calibration,
    settings: ExportSettings,
    revision: str | None = None,
    lora: Sequence[Path] = (),
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    bytes_of: Sequence[BytesOf],
    progress: Progress,
) -> Plan:
    """Measure `model` and choose its bits; the other arguments are those of export_bundle.

    Without data in `calibration` the bits are measured on generated images, and the recipe rounds unless the
    model is `tiny`. bytes_of: how the targets count bytes; a budget holds for each of them. Raises
    UsageError, RecipeError for a goal out of reach, CheckpointError, CalibrationError.
    """
    progress("reading the checkpoint", 0.0)
    # Four bits stand for those that are still to be chosen: 8 alone would need no calibration.
    recipe = Recipe(goal.name, method, (Rule("*", Precision(4, 32)),), calibration)
    recipe, _ = fit_calibration(recipe, model)
    checkpoint = open_checkpoint(model, revision)
    source = merge_lora(checkpoint, lora)
    image = fit_image(checkpoint.image, source.geometry.vision, min_pixels, max_pixels)
    settings = fit_settings(settings, image, source.geometry)
    arguments = (checkpoint, source, recipe, settings, image)
    if can_measure(source.geometry):
        sensitivity = measure_sensitivity(*arguments, progress)
    else:  # what it took goes back to the system, for an export that may follow
        sensitivity = run_isolated(measure_sensitivity, arguments, progress)
    progress("done", 1.0)
    return plan_for(source.geometry, sensitivity, recipe, goal, bytes_of)


def plan_for(
    geometry: ModelGeometry,
    sensitivity: Sensitivity,
    recipe: Recipe,
    goal: Goal,
    bytes_of: Sequence[BytesOf],
) -> Plan:
    """Choose bits; name, method and calibration come from `recipe`. Raises RecipeError."""
    table = _separate_table(geometry)
    known = _options(geometry, sensitivity, bytes_of)
    if isinstance(goal, SizeBudget):
        smallest = table + sum(min(o.size for o in own) for own in known.values())
        if goal.bytes < smallest:
            raise RecipeError(
                f"A size budget of {_megabytes(goal.bytes)} is out of reach: with the fewest bits everywhere"
                f" the weights take {_megabytes(smallest)} ({smallest} bytes); give at least that."
            )
        allocation = least_cost(known, goal.bytes - table)
    else:
        least = sum(min(o.cost for o in own) for own in known.values())
        if goal.nats < least:
            raise RecipeError(
                f"A KL divergence of {goal.nats:g} is out of reach: with the most bits everywhere {least:.3g}"
                " is predicted; give at least that."
            )
        allocation = least_size(known, goal.nats)
    rules = merge_rules({layer: option.precision for layer, option in allocation.chosen.items()})
    return Plan(
        replace(recipe, rules=rules),
        allocation.chosen,
        table + allocation.size,
        allocation.cost,
        sensitivity.measured,
    )


def _options(
    geometry: ModelGeometry, sensitivity: Sensitivity, bytes_of: Sequence[BytesOf]
) -> dict[str, tuple[Option, ...]]:
    """What each layer may take, with the most bytes that any of the targets needs for it."""

    def most(layer: Layer, precision: Precision) -> int:
        return max(count(layer, precision) for count in bytes_of)

    return {
        layer.name: tuple(
            Option(precision, most(layer, precision), kl_cost)
            for precision, kl_cost in sensitivity.kl_cost[layer.name].items()
        )
        for layer in linear_layers(geometry)
    }


def _separate_table(geometry: ModelGeometry) -> int:
    """Bytes of an embedding table of its own, which every recipe of 4 and 8 bits stores in 8.

    With a scale per row, which is at most a float32.
    """
    if geometry.text.tie_word_embeddings:
        return 0
    head = lm_head(geometry.text)
    return head.weights + 4 * head.out_features


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3f} MB"
