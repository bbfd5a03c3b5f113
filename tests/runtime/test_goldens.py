"""The runtime against tests/golden/*.json, which Kotlin and Swift read too."""

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from pocketvl.runtime.bundle.geometry import ImageSettings, SpecialTokens, TextGeometry, VisionGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.errors import BundleError, ImageError, VideoError
from pocketvl.runtime.media.image import content_key, open_image
from pocketvl.runtime.media.patches import patchify
from pocketvl.runtime.media.resize import resize_image, resize_to_bucket, smart_resize
from pocketvl.runtime.media.video.fit import tokens_of
from pocketvl.runtime.media.video.options import VideoOptions
from pocketvl.runtime.media.video.sampling import VideoInfo, plan_video
from pocketvl.runtime.positions import mrope_positions, text_rope, vision_positions, vision_rope
from pocketvl.runtime.text.messages import parse_messages
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tokenizer import Tokenizer
from tests.golden.sizes import cases
from tests.golden.texts import ids_checksum

FOLDER = Path(__file__).parents[1] / "golden"
REPOSITORY = FOLDER.parents[1]
CHECKPOINT = REPOSITORY / "export/pocketvl/export/tiny/checkpoint"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def golden(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def vision(head_dim: int = 80, patch_size: int = 14) -> VisionGeometry:
    return VisionGeometry(1, 2 * head_dim, 8, 2, 3, patch_size, 2, 2, 64)


def text(head_dim: int, theta: float, section: Any) -> TextGeometry:
    return TextGeometry(1, 64, 8, 2, 1, head_dim, 16, theta, 1e-6, section, 64, True)


def painted(width: int, height: int, frame: int = 0) -> Image.Image:
    """By the formula that the golden files state."""
    y, x, c = np.indices((height, width, 3))
    return Image.fromarray(((x * x + 7 * x * y + 13 * y + 29 * c + 50 * frame) % 256).astype(np.uint8))


def test_resize() -> None:
    data = golden("resize")
    for case in data["smart_resize"]:
        arguments = [case[key] for key in ("height", "width", "factor", "min_pixels", "max_pixels")]
        if case["expected"] is None:
            with pytest.raises(ImageError):
                smart_resize(*arguments)
        else:
            assert list(smart_resize(*arguments)) == case["expected"], case
    for case in data["buckets"]:
        settings = ImageSettings(case["min_pixels"], case["max_pixels"], MEAN, STD)
        size = resize_to_bucket(
            case["height"], case["width"], vision(patch_size=case["patch_size"]), settings, case["buckets"]
        )
        assert list(size) == case["expected"], case


def test_sizes() -> None:
    data = golden("sizes")
    digests, digest = [], hashlib.sha256()
    for number, (height, width, low, high, bucket) in enumerate(cases(), 1):
        try:
            found = resize_to_bucket(height, width, vision(), ImageSettings(low, high, MEAN, STD), [bucket])
            answer = f"{found[0]} {found[1]}"
        except ImageError:
            answer = "refused"
        digest.update(f"{height} {width} {low} {high} {bucket} {answer}\n".encode())
        if number % data["each"] == 0:
            digests.append(digest.hexdigest())
    assert digests == data["digests"]


def test_image_files() -> None:
    data = golden("image_files")
    settings = ImageSettings(data["min_pixels"], data["max_pixels"], MEAN, STD)
    for case in data["cases"]:
        if case["format"] == "AVIF" and not features.check("avif"):
            continue
        with open_image(base64.b64decode(case["file_base64"])) as opened:
            size = resize_to_bucket(*opened.size, vision(), settings, [4096])
            image = opened.read(size)
        assert list(size) == case["size"], case["name"]
        assert content_key(image) == case["key"], case["name"]
        patches, _ = patchify(image, vision(), settings)
        digest = hashlib.sha256(patches.astype("<f4").tobytes()).hexdigest()
        assert digest == case["patches_sha256"], case["name"]


def test_bicubic() -> None:
    for case in golden("bicubic")["cases"]:
        image = painted(case["width"], case["height"])
        resized = resize_image(image, (case["new_height"], case["new_width"]))
        assert resized.tobytes() == base64.b64decode(case["rgb_base64"])


def test_patches() -> None:
    data = golden("patches")
    settings = ImageSettings(1, 10**6, tuple(data["mean"]), tuple(data["std"]))
    for case in data["cases"]:
        frames = [painted(data["width"], data["height"], frame) for frame in range(case["frames"])]
        patches, grid = patchify(frames if len(frames) > 1 else frames[0], vision(), settings)
        assert list(grid) == case["grid"]
        rows, elements, values = zip(*case["samples"], strict=True)
        assert np.array_equal(patches[list(rows), list(elements)], np.array(values, np.float32))


def test_vision_rope() -> None:
    data = golden("vision_rope")
    for case in data["cases"]:
        rows, columns = case["rows"], case["columns"]
        if "positions" in case:
            assert vision_positions(rows, columns, data["spatial_merge_size"]).tolist() == case["positions"]
        check_rope(vision_rope(rows, columns, vision(case["head_dim"])), case["samples"], 4e-6)


def test_text_rope() -> None:
    data = golden("text_rope")
    for case in data["cases"]:
        geometry = text(case["head_dim"], data["theta"], case["mrope_section"])
        check_rope(text_rope(np.array(data["ids"]).T, geometry), case["samples"], 1e-4)


def check_rope(rope: Any, samples: Any, tolerance: float) -> None:
    rows, elements, cos, sin = (list(column) for column in zip(*samples, strict=True))
    np.testing.assert_allclose(rope[0][rows, elements], cos, atol=tolerance, rtol=0)
    np.testing.assert_allclose(rope[1][rows, elements], sin, atol=tolerance, rtol=0)


def test_mrope() -> None:
    data = golden("mrope")
    special = SpecialTokens(**data["special_tokens"], eos=(), im_end=None)
    assert len(data["cases"]) == 19
    for case in data["cases"]:
        grids = [tuple(grid) for grid in case["grids"]]
        ids, following = mrope_positions(
            case["tokens"], grids, special, data["spatial_merge_size"], case["start"]
        )
        assert ids.tolist() == case["ids"], case["name"]
        assert following == case["next_position"], case["name"]
        assert following - case["tokens_before"] - len(case["tokens"]) == case["rope_delta"], case["name"]


def test_video_sampling() -> None:
    data = golden("video_sampling")
    settings = ImageSettings(data["min_pixels"], data["max_pixels"], MEAN, STD)
    for case in data["cases"]:
        frames, rate = case["frames"], case["rate"]
        times = None if rate is None else [i / rate for i in range(frames)]
        info = VideoInfo("a", frames, tuple(case["size"]), times, 0 if rate is None else frames / rate)
        wanted = VideoOptions(**case["wanted"])
        if case["expected"] is None:
            with pytest.raises(VideoError):
                plan_video(info, wanted, vision(), settings, data["buckets"])
            continue
        plan = plan_video(info, wanted, vision(), settings, data["buckets"])
        found = {"indices": list(plan.indices), "size": list(plan.size), "grid": list(plan.grid)}
        assert found | {"tokens": tokens_of(plan, 28)} == case["expected"], case


def test_embedding(tmp_path: Path) -> None:
    for case in golden("embedding")["cases"]:
        path = tmp_path / "table.bin"
        path.write_bytes(base64.b64decode(case.pop("file_base64")))
        ids, expected = case.pop("ids"), case.pop("expected")
        rows = EmbeddingMap(path, EmbeddingTable(file=path.name, **case)).gather(ids)
        assert np.array_equal(rows, np.array(expected, np.float32)), case


@pytest.mark.skipif(not (CHECKPOINT / "tokenizer.json").is_file(), reason="the tiny model is not trained yet")
def test_prompts() -> None:
    data = golden("prompts")
    path = REPOSITORY / data["checkpoint"] / "tokenizer.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == data["tokenizer_sha256"], "the tokenizer changed: python -m tests.golden.make_goldens"
    ids = data["special_tokens"]
    special = SpecialTokens(
        image_pad=ids["image_pad"],
        video_pad=ids["video_pad"],
        vision_start=ids["vision_start"],
        vision_end=ids["vision_end"],
        eos=(ids["im_end"], ids["endoftext"]),
        im_end=ids["im_end"],
    )
    tokenizer = Tokenizer(path)
    template = path.with_name("chat_template.jinja").read_text(encoding="utf-8")
    encoder = PromptEncoder(tokenizer, special, template)
    for case in data["cases"]:
        messages = parse_messages(with_sources(case["messages"]))
        assert encoder.encode(messages, case["media_tokens"]) == case["ids"], case["name"]
    for case in data["continuations"]:
        history, new = (parse_messages(with_sources(case[key])) for key in ("history", "new"))
        assert encoder.encode_continuation(history, new, case["media_tokens"]) == case["ids"]
    for case in data["streams"]:
        decoder = tokenizer.stream()
        assert [decoder.push(index) for index in case["ids"]] == case["pieces"]


def with_sources(messages: Any) -> Any:
    """The golden file's images and videos have no contents; only their number of tokens matters."""
    filled = json.loads(json.dumps(messages))
    for message in filled:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part["type"] != "text":
                part[part["type"]] = "any"
    return filled


def test_tokenizer_strings() -> None:
    data = golden("tokenizer_strings")
    tokenizer = Tokenizer(CHECKPOINT / "tokenizer.json")
    for case in data["cases"]:
        assert list(tokenizer.encode_text(case["text"])) == case["ids"], case


def test_tokenizer_samples() -> None:
    data = golden("tokenizer_samples")
    tokenizer = Tokenizer(CHECKPOINT / "tokenizer.json")
    assert len(data["cases"]) == 2000
    for case in data["cases"]:
        plain, marked = tokenizer.encode_text(case["text"]), tokenizer.encode_template(case["text"])
        assert [len(plain), ids_checksum(plain)] == case["plain"], case
        assert [len(marked), ids_checksum(marked)] == case.get("marked", case["plain"]), case


def test_manifests(tmp_path: Path) -> None:
    data = golden("manifests")
    for name, value in data["bundles"].items():
        for record in value["files"]:
            path = tmp_path / name / record["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(record["size"]))
        (tmp_path / name / "manifest.json").write_text(json.dumps(value))
        open_bundle(tmp_path / name, "never")
    for case in data["cases"]:
        value = copy.deepcopy(data["bundles"][case["bundle"]])
        raw = [edit["raw"] for edit in case["edits"] if apply_edit(value, edit)]
        text = json.dumps(value)
        for written in raw:
            text = text.replace(json.dumps(PLACE), written)
        (tmp_path / case["bundle"] / "manifest.json").write_text(text, encoding="utf-8")
        assert says(tmp_path / case["bundle"], case["refused"]), case


def says(folder: Path, expected: str | None) -> bool:
    """Whether the bundle is refused with this part of the sentence, or opens where that is None."""
    try:
        open_bundle(folder, "never")
    except BundleError as error:
        return expected is not None and expected in str(error)
    return expected is None


PLACE = "<raw>"


def apply_edit(value: Any, edit: Any) -> bool:
    """Whether what is written there is to be put in afterwards."""
    *path, last = edit["path"]
    for key in path:
        value = value[key]
    if "remove" in edit:
        del value[last]
    else:
        value[last] = edit.get("set", PLACE)
    return "raw" in edit
