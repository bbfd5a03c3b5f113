"""How tokens are drawn, from what a user says and what the bundle says."""

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.decoding.sampling import Sampler


def make_sampler(
    defaults: SamplingDefaults,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    *,
    seed: int | None = None,
) -> Sampler:
    """What the user says, else the bundle's defaults; an explicit temperature 0 is plain greedy.

    Raises UsageError.
    """
    if repetition_penalty is None:
        repetition_penalty = 1.0 if temperature == 0 else defaults.repetition_penalty
    return Sampler(
        defaults.temperature if temperature is None else temperature,
        defaults.top_k if top_k is None else top_k,
        defaults.top_p if top_p is None else top_p,
        repetition_penalty,
        seed,
    )
