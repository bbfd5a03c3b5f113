"""The Python of docs/agents.md runs, from the first block to the last, on the tiny model."""

import re
from pathlib import Path

import pytest

from examples.mobile_agent import ShapesPhone
from pocketvl.runtime.bundle.open import Bundle

DOCUMENT = Path(__file__).parents[2] / "docs/agents.md"


def test_the_blocks_run(
    tiny_onnx_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bundle").symlink_to(tiny_onnx_bundle.folder)
    ShapesPhone(zoom=1).screenshot().save(tmp_path / "screen.png")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {"__name__": "docs"}
    for block in blocks:
        exec(compile(block, DOCUMENT.name, "exec"), names)
    assert capsys.readouterr().out
    assert (tmp_path / "out.png").is_file()
