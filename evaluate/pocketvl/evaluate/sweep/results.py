"""What a sweep has found, as the table, the plots and the page show it."""

from dataclasses import dataclass

from PIL import Image

from pocketvl.evaluate.data import BadRow
from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.bit_map import BitMap


@dataclass(frozen=True)
class TaskScore:
    """One task of one dataset: scores lie in 0..1."""

    task: str
    questions: int
    score: Estimate
    difference: Estimate | None  # to the reference, over the same questions; None for the reference itself


@dataclass(frozen=True)
class Difference:
    """A question that a recipe and the reference answered differently."""

    task: str
    images: tuple[Image.Image, ...]
    question: str
    expected: str
    reference: str
    answer: str
    reference_score: float
    score: float


@dataclass(frozen=True)
class RecipeResult:
    """One recipe. What was not measured is None."""

    name: str
    method: str
    is_reference: bool
    size: int  # bytes of the bundle's files
    bits_per_weight: float  # weights and scales as stored, over the number of weights
    tasks: tuple[TaskScore, ...]
    mean: Estimate | None  # over tasks, each counting the same
    difference: Estimate | None
    unasked: int  # questions that could not be asked, such as for an image that is damaged; they score 0
    no_worse: float | None  # share of questions answered no worse than by the reference ("QoI")
    fidelity: Fidelity | None
    decode_rate: float | None  # tokens a second, mean of several rounds
    decode_range: tuple[float, float] | None  # the slowest and the fastest of them
    bit_map: BitMap
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Failure:
    """A task that failed: what it was, of which recipe, and why."""

    recipe: str
    task: str
    reason: str


@dataclass(frozen=True)
class SweepResult:
    model: str
    reference: str
    data: tuple[str, ...]
    questions: int  # that the scores are means over
    target: str  # what all bundles were exported for
    processor: str
    threads: int  # of the speed measurement
    date: str  # of the report, ISO 8601
    versions: tuple[tuple[str, str], ...]  # (package, version)
    recipes: tuple[RecipeResult, ...]
    failures: tuple[Failure, ...]
    bad_rows: tuple[BadRow, ...] = ()  # that no score counts
    notes: tuple[str, ...] = ()  # about images that were not read by the letter
