"""The loop that makes an answer, one token after the other."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Float32


def generate(
    decoder: Decoder, sampler: Sampler, hidden: Float32, prompt: Sequence[int], never: NDArray[np.int64]
) -> Iterator[int]:
    """Token after token, without end; a token is fed only when another one is asked for.

    hidden: the last prompt token's hidden state (1, hidden_size). prompt: the ids before the answer, for the
    sampler's repetition penalty. never: ids that are not drawn. Whoever reads the tokens decides where the
    answer stops. Raises EngineError.
    """
    token_ids = list(prompt)
    while True:
        token = sampler.sample(decoder.logits(hidden)[0], token_ids, never)
        token_ids.append(token)
        yield token
        hidden = decoder.step(token)
