"""What a video costs: `python benchmarks/video.py BUNDLE --seconds 60 600`, each length in a process of its
own.

Videos are made by PyAV. The context and the embeddings are as long as the video; all else should not be: with
--nframes, which keeps the number of tokens, peak memory says so. Prints a table in Markdown.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT, RATE = 640, 360, 25
MIB = 1 << 20


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("--seconds", type=int, nargs="+", default=[60, 600])
    arguments.add_argument("--fps", type=float, help="frames encoded a second; instead of --nframes")
    arguments.add_argument("--nframes", type=int, help="frames encoded in all")
    arguments.add_argument("--max-pixels", type=int, help="of a frame")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument(
        "--encode-only", action="store_true", help="without the decoder, whatever its context"
    )
    arguments.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.file is not None:
        measure(given)
        return
    print("| video | frames | size | tokens | vision | prefill | embeddings | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seconds in given.seconds:
            path = Path(folder) / f"{seconds}.mp4"
            write(path, seconds)
            command = [sys.executable, __file__, *sys.argv[1:], "--file", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            row = json.loads(done.stdout)
            print(
                f"| {seconds} s | {row['frames']} | {row['width']}x{row['height']} | {row['tokens']}"
                f" | {row['vision']:.2f} s | {row['prefill']:.2f} s | {row['embeddings'] / MIB:.1f} MiB"
                f" | {row['peak'] / MIB:.1f} MiB |",
                flush=True,
            )


def measure(given: argparse.Namespace) -> None:
    """One answer of one token, in this process."""
    from pocketvl.runtime.bundle.open import open_bundle
    from pocketvl.runtime.chat.session import ChatSession
    from pocketvl.runtime.engines.open import open_engine
    from pocketvl.runtime.media.encoder import VisionPipeline
    from pocketvl.runtime.media.video.options import parse_video_options

    options = {"fps": given.fps, "nframes": given.nframes, "max_pixels": given.max_pixels}
    bundle = open_bundle(given.bundle)
    engine = open_engine(bundle, given.threads)
    row: dict[str, Any] = {"prefill": 0.0}
    if given.encode_only:
        pipeline = VisionPipeline(bundle.manifest, bundle.manifest.image, engine.vision)
        began = time.perf_counter()
        prepared = pipeline.prepare_video(given.file, parse_video_options(options))
        encoded = pipeline.encode_video(prepared)
        assert encoded is not None
        media = encoded[0]
        row["vision"] = time.perf_counter() - began
        row["frames"], row["tokens"] = len(prepared.plan.indices), len(media.embeddings)
        row["height"], row["width"] = prepared.plan.size
        row["embeddings"] = media.embeddings.nbytes
    else:
        session = ChatSession(bundle, engine)
        row["frames"], row["width"], row["height"], row["tokens"] = session.measure_video(
            given.file, **options
        )
        answer = session.ask("What happens?", videos=[{"video": given.file, **options}], max_tokens=1)
        row["vision"], row["prefill"] = answer.statistics.vision_seconds, answer.statistics.prefill_seconds
        row["embeddings"] = sum(media.embeddings.nbytes for media in session.conversation.feed.media)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row["peak"] = peak if sys.platform == "darwin" else peak * 1024
    print(json.dumps(row))


def write(path: Path, seconds: int) -> None:
    """A bright square that moves over a gradient, H.264, a key frame every ten seconds."""
    import av

    gradient = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 200
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 10 * RATE
        for number in range(seconds * RATE):
            pixels = np.repeat(gradient[..., None], 3, axis=2).astype(np.uint8)
            x, y = number * 3 % (WIDTH - 60), number * 2 % (HEIGHT - 60)
            pixels[y : y + 60, x : x + 60] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
