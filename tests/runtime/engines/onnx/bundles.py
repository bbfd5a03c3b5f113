"""Copies of an ONNX bundle with something wrong, and tokens to feed."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.positions import text_rope

Float32 = NDArray[np.float32]


def with_file(bundle: Bundle, folder: Path, file: str, content: bytes) -> Bundle:
    """A copy in which `file` is replaced and the manifest says so."""
    shutil.copytree(bundle.folder, folder)
    (folder / file).write_bytes(content)
    path = folder / names.MANIFEST_FILE
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for record in (*manifest["files"], *manifest["optional_files"]):
        if record["path"] == file:
            record |= {"size": len(content), "sha256": sha256(content).hexdigest()}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    write_manifest_hash(folder)
    return open_bundle(folder)


def with_graph(
    bundle: Bundle, folder: Path, file: str, change: Callable[[onnx.ModelProto], object]
) -> Bundle:
    """A copy in which the graph `file` is changed."""
    model = onnx.load(str(bundle.folder / file), load_external_data=False)
    change(model)
    return with_file(bundle, folder, file, model.SerializeToString())


def embeddings(bundle: Bundle, count: int, seed: int = 0) -> Float32:
    width = bundle.manifest.geometry.text.hidden_size
    return np.random.default_rng(seed).standard_normal((count, width), np.float32)


def decode(bundle: Bundle, engine: Engine, rows: Float32, position: int) -> Float32:
    """Hidden states of rows that stand in the KV slots and at the rope positions from `position` on."""
    ids = np.broadcast_to(np.arange(position, position + len(rows)), (3, len(rows)))
    cos, sin = text_rope(ids, bundle.manifest.geometry.text)
    return engine.text.decode(rows, cos, sin, position)
