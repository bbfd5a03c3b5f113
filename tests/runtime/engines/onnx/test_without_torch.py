"""A base install with onnxruntime answers, with no torch anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from tests.runtime.engines.onnx import bundles

# Neither may be there, nor what only an export or an evaluation needs.
ABSENT = (
    "torch",
    "executorch",
    "torchao",
    "transformers",
    "safetensors",
    "huggingface_hub",
    "onnx",
    "onnxscript",
)

PROGRAM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
from pocketvl.cli.main import main
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


def run(*arguments: object, absent: tuple[str, ...] = ABSENT) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, ",".join(absent), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_a_question_is_answered_without_torch(bundle: Bundle, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    asked = (
        "ask",
        bundle.folder,
        "Which colour?",
        "--image",
        tmp_path / "red.png",
        "--json",
        "--max-tokens",
        "3",
    )
    done = run(*asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["token_ids"]) >= 1
    with_torch = run(*asked, absent=("no_such_package",))
    assert json.loads(done.stdout)["token_ids"] == json.loads(with_torch.stdout)["token_ids"]


def test_inspect_checks_without_torch_and_onnxruntime(bundle: Bundle) -> None:
    done = run("inspect", bundle.folder, "--check", absent=(*ABSENT, "onnxruntime"))
    assert done.returncode == 0, done.stderr
    assert "files checked, all equal" in done.stdout


def test_without_onnxruntime_the_command_is_named(bundle: Bundle) -> None:
    done = run("ask", bundle.folder, "Which colour?", absent=(*ABSENT, "onnxruntime"))
    assert done.returncode == 1
    assert "pip install 'pocketvl[onnx]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_inspect_refuses_a_dtype_whose_file_is_missing(bundle: Bundle, tmp_path: Path) -> None:
    config = (bundle.folder / "config.json").read_bytes().replace(b'"fp32"', b'"q5"')
    copy = bundles.with_file(bundle, tmp_path / "copy", "config.json", config)
    refused = run("inspect", copy.folder, "--check")
    assert refused.returncode == 1
    assert "names the dtype 'q5'" in " ".join(refused.stderr.split())
    assert run("inspect", copy.folder).returncode == 0


def test_bench_needs_no_torch_either(bundle: Bundle) -> None:
    timed = run("bench", bundle.folder, "--decode-tokens", "2", "--repeats", "1", "--threads", "1", "--json")
    assert timed.returncode == 0, timed.stderr
    assert json.loads(timed.stdout)["bandwidth"] > 1e8


@pytest.mark.parametrize("command", [("demo", "-o", "out"), ("export", "tiny", "-o", "out")])
def test_what_exports_names_its_extra(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*command)
    assert done.returncode == 1
    assert "[export]" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
