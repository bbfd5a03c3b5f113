"""Options that several commands share; where two mean different things, they have different names."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvl.runtime.engines.checks import MAX_THREADS
from pocketvl.runtime.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Fail at a row that cannot be used instead of leaving it out.")
]

# Of a bundle that answers.
BundleArgument = Annotated[Path, typer.Argument(help="Folder that `pocketvl export` wrote.")]
# Text, not Path, which would take the second slash out of a URL.
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", metavar="FILE", help="An image file, or a file: or data: URL; give it again for more."
    ),
]
Videos = Annotated[
    list[str] | None,
    typer.Option(
        "--video", metavar="FILE", help="A video, an animated image or a folder of frames; again for more."
    ),
]
Fps = Annotated[float | None, typer.Option(help="Frames taken a second of a video.  [default: 2]")]
Frames = Annotated[
    int | None, typer.Option("--nframes", help="Frames taken of a video, instead of --fps.", min=2)
]
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
VisionId = Annotated[bool, typer.Option("--add-vision-id", help='Number the images, "Picture 1: ".')]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End an answer before this text; give it again for up to 4."),
]
JsonSchema = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Answers are JSON of this schema; needs pocketvl's extra `grammar`."),
]
Regex = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="Answers match this as a whole; needs pocketvl's extra `grammar`."),
]
Lookup = Annotated[
    bool, typer.Option(help="Draft tokens from what was said before, where that is faster; see docs.")
]
StopRepetition = Annotated[bool, typer.Option(help="End an answer that repeats itself without end.")]
System = Annotated[str | None, typer.Option(help="System turn, instead of the template's own.")]
Resume = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Go on with a conversation that was saved.")
]
# Instead of the bundle's limits, while it runs.
SessionMinPixels = Annotated[
    int | None, typer.Option(help="Scale smaller images up to this.  [default: the bundle's]", min=1)
]
SessionMaxPixels = Annotated[
    int | None, typer.Option(help="Scale larger images down to this.  [default: the bundle's]", min=1)
]

# Of a checkpoint that is exported or measured.
ModelArgument = Annotated[str, typer.Argument(help="Hub id, local folder, or `tiny`.")]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a hub id.  [default: its main branch]")
]
AgainstRevision = Annotated[
    str | None,
    typer.Option(
        "--revision", help="Branch, tag or commit of --against on the hub.  [default: its main branch]"
    ),
]
Lora = Annotated[list[Path] | None, typer.Option(help="PEFT adapter folder to merge in; may be repeated.")]
# The limits that a bundle is made with.
ExportMinPixels = Annotated[
    int | None, typer.Option(help="Scale smaller images up.  [default: the checkpoint's]", min=1)
]
ExportMaxPixels = Annotated[
    int | None, typer.Option(help="Scale larger images down.  [default: the largest bucket]", min=1)
]
Buckets = Annotated[
    str | None,
    typer.Option(help="Numbers of patches, ascending.  [default: 256,576,1024,2304,4096]"),
]
MaxContext = Annotated[int, typer.Option(help="Tokens that a conversation can hold.", min=1)]
SizeBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Bits chosen per layer so that weights and scales of all components fit into SIZE: 1.2GB, 800MB"
        " or bytes, in powers of 1000. Norms, biases, graphs and tokenizer come on top (some MB).",
    ),
]
MaxKL = Annotated[
    float | None,
    typer.Option(
        "--max-kl",
        metavar="NATS",
        help="The smallest recipe with at most this predicted KL divergence per token.",
    ),
]


def parse_buckets(text: str) -> tuple[int, ...]:
    """ "256,576" -> (256, 576). Raises UsageError."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--buckets {text!r} must be numbers with commas between, such as 256,1024."
        ) from None
