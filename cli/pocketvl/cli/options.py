"""Options that several commands share, and the session they describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine_inputs import MAX_THREADS
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.session import ChatSession

BundleArgument = Annotated[Path, typer.Argument(help="Folder that `pocketvl export` wrote.")]
# Text, not Path, which would take the second slash out of a URL.
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", metavar="FILE", help="An image file, or a file: or data: URL; give it again for more."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads.  [default: all cores]", min=1, max=MAX_THREADS)
]
MaxTokens = Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)]
Temperature = Annotated[
    float | None,
    typer.Option(help="0 is greedy without repetition penalty.  [default: the bundle's own]", min=0.0),
]
TopK = Annotated[int | None, typer.Option(help="Draw among so many; 0: no limit.", min=0)]
TopP = Annotated[float | None, typer.Option(help="Draw among this share of probability.")]
Penalty = Annotated[float | None, typer.Option("--repetition-penalty", help="1 is none.")]
Seed = Annotated[int | None, typer.Option(help="Draw the same tokens again.", min=0)]
MinPixels = Annotated[int | None, typer.Option(help="Smaller pictures are scaled up to this.", min=1)]
MaxPixels = Annotated[int | None, typer.Option(help="Larger pictures are scaled down to this.", min=1)]
VisionId = Annotated[bool, typer.Option("--add-vision-id", help='Number the images, "Picture 1: ".')]
StopRepetition = Annotated[bool, typer.Option(help="End an answer that repeats itself without end.")]
System = Annotated[str | None, typer.Option(help="System turn, instead of the template's own.")]


def make_sampler(
    manifest: Manifest,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float | None,
    *,
    seed: int | None,
) -> Sampler:
    """What the user says, else the bundle's defaults; an explicit temperature 0 is plain greedy."""
    defaults = manifest.sampling
    greedy = temperature == 0
    return Sampler(
        defaults.temperature if temperature is None else temperature,
        defaults.top_k if top_k is None else top_k,
        defaults.top_p if top_p is None else top_p,
        (1.0 if greedy else defaults.repetition_penalty)
        if repetition_penalty is None
        else repetition_penalty,
        seed,
    )


@contextmanager
def open_session(
    folder: Path,
    *,
    threads: int | None = None,
    system: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    keep_vision: bool = False,
    add_vision_id: bool = False,
    stop_repetition: bool = True,
) -> Iterator[tuple[ChatSession, Manifest]]:
    """A session over the bundle in `folder`, closed at the end."""
    from pocketvl.runtime.bundle import open_bundle
    from pocketvl.runtime.engines import open_engine

    bundle = open_bundle(folder)
    session = ChatSession(
        bundle,
        open_engine(bundle, threads),
        system=system,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        keep_vision=keep_vision,
        add_vision_id=add_vision_id,
        stop_repetition=stop_repetition,
    )
    try:
        yield session, bundle.manifest
    finally:
        session.close()
