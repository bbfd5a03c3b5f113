"""`pocketvl serve`: the bundle behind OpenAI's chat API, on this computer."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pocketvl.cli import options
from pocketvl.cli.console import note
from pocketvl.cli.extras import needs_extra
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS
from pocketvl.runtime.errors import UsageError

_KEY = "POCKETVL_API_KEY"


def serve(
    bundle: options.BundleArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, typer.Option(help="The model's name in requests.  [default: the folder's]")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the key that clients must send; else the variable {_KEY}, if set."),
    ] = None,
    allow_files: Annotated[
        list[Path] | None,
        typer.Option(help="Folder whose image files requests may name; may be repeated.  [default: none]"),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name beside localhost by which clients call this server; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web pages that may call, as http://localhost:3000; may be repeated."),
    ] = None,
    queue: Annotated[int, typer.Option(help="Most requests that wait.", min=0, max=4096)] = 256,
    max_body: Annotated[int, typer.Option(help="Most MiB of a request.", min=1, max=512)] = 32,
    time_limit: Annotated[float, typer.Option(help="Most seconds of an answer.", min=0.1)] = 600.0,
    max_tokens: Annotated[
        int, typer.Option(help="Most tokens of an answer whose request names no limit.", min=1)
    ] = DEFAULT_MAX_TOKENS,
    keep_vision: Annotated[
        bool, typer.Option(help="Hold the vision encoder in memory between images.")
    ] = True,
    min_pixels: options.SessionMinPixels = None,
    max_pixels: options.SessionMaxPixels = None,
    stop_repetition: options.StopRepetition = True,
    threads: options.Threads = None,
) -> None:
    """Answer OpenAI's chat completions over HTTP, with a page at /; see docs/server.md."""
    with needs_extra("serve", "serve"):
        from pocketvl.runtime.serve.server import Server, bound_socket
        from pocketvl.runtime.serve.settings import Settings, check_exposure
    from pocketvl.runtime.model import load

    settings = Settings(
        name=name or bundle.resolve().name,
        max_tokens=max_tokens,
        api_key=_api_key(api_key_file),
        allow_files=tuple(allow_files or ()),
        allow_hosts=tuple(allow_host or ()),
        allow_origins=tuple(allow_origin or ()),
        queue=queue,
        max_body=max_body << 20,
        answer_time=time_limit,
    )
    check_exposure(host, settings.api_key)
    model = load(bundle, threads=threads)
    with bound_socket(host, port) as listening:
        session = model.chat(
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            keep_vision=keep_vision,
            stop_repetition=stop_repetition,
        )
        server = Server(session, model.manifest.sampling, settings, listening)
        shown = f"[{host}]" if ":" in host else host
        note(f"{settings.name} answers at http://{shown}:{server.port}/v1, a page at / ; Ctrl-C stops.")
        if server.run():
            model.close()
    note("Stopped.")


def _api_key(file: Path | None) -> str | None:
    """Not an option: other users of a computer see a command's words."""
    if file is None:
        return os.environ.get(_KEY) or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{file} cannot be read ({reason}); give --api-key-file a text file.") from None
    if not key:
        raise UsageError(f"{file} is empty; write the API key into it.")
    return key
