"""A result of a sweep that never ran, with something of everything."""

from PIL import Image

from pocketvl.evaluate.data import BadRow
from pocketvl.evaluate.fidelity import Fidelity
from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.bit_map import bit_map
from pocketvl.evaluate.sweep.results import Difference, Failure, RecipeResult, SweepResult, TaskScore
from pocketvl.quant.recipe import named_recipe
from tests.support.checkpoints import SMALL_GEOMETRY

ANSWER = "<script>alert('4 < 5')</script>"


def recipe(name: str, size: int, mean: float, kl: float | None, rate: float | None) -> RecipeResult:
    """The reference is the one without `kl`."""
    reference = kl is None
    score = TaskScore("read", 50, Estimate(mean, 0.02, 50), None if reference else Estimate(-0.1, 0.01, 50))
    shown = Difference("read", (Image.new("RGB", (8, 4)),), "What is it?", "four", "four", ANSWER, 1.0, 0.0)
    return RecipeResult(
        name=name,
        method="none" if reference else "rtn",
        is_reference=reference,
        size=size,
        bits_per_weight=32.0 if reference else 4.5,
        tasks=(score,),
        mean=score.score,
        difference=score.difference,
        unasked=0 if reference else 3,
        no_worse=None if reference else 0.985,
        fidelity=None
        if kl is None
        else Fidelity(kl, kl / 10, kl / 2, 20 * kl, 40 * kl, 0.99, 1.01, 41.5, 48, 600, ()),
        decode_rate=rate,
        decode_range=None if rate is None else (0.9 * rate, 1.1 * rate),
        bit_map=bit_map(SMALL_GEOMETRY, named_recipe(name)),
        differences=() if reference else (shown,),
    )


def sweep_result() -> SweepResult:
    """int4 is smaller and worse than fp32; int8 is beaten by int4, and its speed was not measured."""
    recipes = (
        recipe("fp32", 28_000_000, 0.96, None, 100.0),
        recipe("int8", 8_000_000, 0.90, 0.004, None),
        recipe("int4", 4_000_000, 0.94, 0.012, 200.0),
    )
    failures = (Failure("int4-small", "export", "lm_head has <384> inputs."),)
    return SweepResult(
        model="small",
        reference="fp32",
        data=("generated:50",),
        questions=50,
        target="executorch",
        processor="Abacus 9",
        threads=2,
        date="2026-01-31",
        versions=(("pocketvl", "0.1.0"), ("torch", "2.13.0")),
        recipes=recipes,
        failures=failures,
        bad_rows=(BadRow("a.tsv, line 3", "a.tsv, line 3, answer: is empty; give one."),),
    )
