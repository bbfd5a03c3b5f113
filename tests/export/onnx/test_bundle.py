"""What every file of a whole bundle must be."""

from pathlib import Path
from shutil import copytree

import onnx
import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle


def test_the_card_lists_what_transformers_js_alone_reads(any_bundle: Bundle) -> None:
    text = (any_bundle.folder / names.MODEL_CARD).read_text()
    files = {path for path in any_bundle.folder.rglob("*") if path.is_file()}
    sizes = {path.relative_to(any_bundle.folder).as_posix(): path.stat().st_size for path in files}
    del sizes[names.MODEL_CARD], sizes[names.MANIFEST_FILE], sizes[names.MANIFEST_HASH_FILE]
    ours, alone = text.split("\ntransformers.js alone reads these;")
    listed = {record.path for record in any_bundle.manifest.files}
    for path, size in sizes.items():
        row = f"| `{path}` | {size / 1e6:.1f} MB |"
        assert (row in ours, row in alone) == (path in listed, path not in listed), path
    more = sum(size for path, size in sizes.items() if path not in listed)
    assert f"without the {more / 1e6:.1f} MB that transformers.js alone reads." in ours


def test_every_graph_passes_onnxs_checker(any_bundle: Bundle, tmp_path: Path) -> None:
    """But for one operator, which onnxruntime knows in the main domain; inputs and attributes of another are
    the same."""
    folder = tmp_path / names.ONNX_FOLDER
    copytree(any_bundle.folder / names.ONNX_FOLDER, folder)
    graphs = sorted(folder.glob("*.onnx"))
    assert len(graphs) == 6
    for path in graphs:
        model = onnx.load(path, load_external_data=False)
        norms = [node for node in model.graph.node if node.op_type == "SimplifiedLayerNormalization"]
        assert bool(norms) == ("decoder" in path.name)
        if norms:
            with pytest.raises(onnx.checker.ValidationError, match="No Op registered for Simplified"):
                onnx.checker.check_model(path, full_check=True)
        for node in norms:
            node.op_type = "LayerNormalization"
        onnx.save(model, path)
        onnx.checker.check_model(path, full_check=True)
