"""The conversation that the options of `ask` and `chat` describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketvl.runtime.chat.sampler import make_sampler
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import UsageError


@contextmanager
def open_session(
    folder: Path,
    *,
    threads: int | None,
    system: str | None,
    min_pixels: int | None,
    max_pixels: int | None,
    add_vision_id: bool,
    stop_repetition: bool,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float | None,
    seed: int | None,
    keep_vision: bool = False,
    resume: Path | None = None,
) -> Iterator[tuple[ChatSession, Sampler]]:
    """A session over the bundle in `folder` and the sampler for its answers; freed at the end.

    None is the bundle's or the engine's own choice. resume: a saved conversation, which has its own system
    turn and limits. Raises what load, Model.chat, Model.load_chat and Sampler raise.
    """
    from pocketvl.runtime.model import load

    if resume is not None and (system is not None or min_pixels or max_pixels or add_vision_id):
        raise UsageError(
            "--resume goes on with the system turn, pixel limits and image numbers that the conversation was"
            " saved with; leave out --system, --min-pixels, --max-pixels and --add-vision-id."
        )
    with load(folder, threads=threads) as model:
        if resume is not None:
            session = model.load_chat(resume, keep_vision=keep_vision)
        else:
            session = model.chat(
                system=system,
                min_pixels=min_pixels,
                max_pixels=max_pixels,
                keep_vision=keep_vision,
                add_vision_id=add_vision_id,
                stop_repetition=stop_repetition,
            )
        yield (
            session,
            make_sampler(model.manifest.sampling, temperature, top_k, top_p, repetition_penalty, seed=seed),
        )
