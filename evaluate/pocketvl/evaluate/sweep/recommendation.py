"""The sentence under the table: which recipe to take, by a rule, or why the data does not say."""

import math

from pocketvl.evaluate.statistics import Estimate, half_width
from pocketvl.evaluate.sweep.results import RecipeResult, SweepResult

TOLERANCE = 0.01  # of the score; MLPerf Inference asks a quantized model for 99 % of the reference
FEWEST = math.ceil(3 / TOLERANCE)  # questions: with fewer, agreement on all of them allows a larger loss


def recommendation(result: SweepResult) -> str:
    """The smallest recipe that loses at most TOLERANCE against the reference with 95 % confidence.

    That is a test of non-inferiority on the paired differences. A sentence that begins with "No
    recommendation" says why there is none.
    """
    compared = _compared(result)
    if not compared:
        return f"No recommendation: no recipe smaller than {result.reference} was compared with it."
    count = min(difference.count for _, difference in compared)
    points = f"{100 * TOLERANCE:g} percentage point"
    if count < FEWEST:
        return (
            f"No recommendation: {count} question{'s are' if count != 1 else ' is'} too few to rule out a"
            f" loss of {points}; ask at least {FEWEST}."
        )
    kept = [(recipe, d) for recipe, d in compared if _low(d) >= -TOLERANCE]
    if kept:
        recipe, difference = min(kept, key=lambda pair: pair[0].size)
        return (
            f"Recommended: {recipe.name}, {recipe.size / 1e6:,.1f} MB, the smallest recipe that loses less"
            f" than {points} against {result.reference} with 95 % confidence ({_interval(difference)})."
        )
    recipe, difference = max(compared, key=lambda pair: pair[1].mean)
    if _high(difference) >= -TOLERANCE:
        return (
            f"No recommendation: differences are within error. The one of {recipe.name} is the least, and may"
            f" still be more than {points} ({_interval(difference)}); ask more questions."
        )
    return (
        f"No recommendation: every recipe loses more than {points} against {result.reference};"
        f" {recipe.name} loses least ({_interval(difference)})."
    )


def _compared(result: SweepResult) -> list[tuple[RecipeResult, Estimate]]:
    largest = next((recipe.size for recipe in result.recipes if recipe.is_reference), math.inf)
    return [
        (recipe, recipe.difference)
        for recipe in result.recipes
        if not recipe.is_reference and recipe.difference is not None and recipe.size < largest
    ]


def _low(difference: Estimate) -> float:
    return difference.mean - half_width(difference)


def _high(difference: Estimate) -> float:
    return difference.mean + half_width(difference)


def _interval(difference: Estimate) -> str:
    low, high = (
        f"{100 * value:+.1f}".replace("-", "\u2212") for value in (_low(difference), _high(difference))
    )
    return f"{low} .. {high} points over {difference.count} questions"
