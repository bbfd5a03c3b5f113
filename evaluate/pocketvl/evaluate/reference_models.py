"""What a bundle can be compared with: another bundle, or the checkpoint in transformers."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from pocketvl.evaluate.answers import ask, bundle_sha256, load_images
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.data.question import Question
from pocketvl.evaluate.reference import Reference
from pocketvl.evaluate.reference_output import ReferenceOutput
from pocketvl.evaluate.samples import Turn
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import UsageError


class ReferenceModel(Protocol):
    """Something that answers a question and shows how it came to the answer."""

    @property
    def fingerprint(self) -> str:
        """Equal for models that answer alike."""

    @property
    def source_sha256(self) -> str:
        """Of the checkpoint's files, as manifests record it."""

    def run(self, question: Question, max_tokens: int) -> ReferenceOutput:
        """The greedy answer. Raises ImageError, PromptError, EngineError."""

    def close(self) -> None:
        """Free its memory; the next run loads it again."""


class BundleReference:
    """Another bundle, usually of the recipe fp32."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._bundle = bundle
        self._engine = engine
        self._session = ChatSession(bundle, engine, keep_vision=True, stop_repetition=False)
        self._components = Components(bundle, engine)

    @property
    def fingerprint(self) -> str:
        image = self._bundle.manifest.image
        return f"bundle {bundle_sha256(self._bundle)} {image.min_pixels} {image.max_pixels}"

    @property
    def source_sha256(self) -> str:
        return self._bundle.manifest.provenance.source_sha256

    def run(self, question: Question, max_tokens: int) -> ReferenceOutput:
        images = load_images(question)
        answer = ask(self._session, question, images, max_tokens)
        prompt, tokens = answer.prompt_token_ids, answer.token_ids
        return ReferenceOutput(
            prompt=prompt,
            tokens=tokens,
            text=answer.text,
            logits=self._components.logits(
                prompt, tokens[:-1], images, [video.part for video in question.videos]
            ),
            embeddings=tuple(self._components.encode_image(image) for image in images),
        )

    def close(self) -> None:
        self._engine.close()


class CheckpointReference:
    """The checkpoint itself in float32, run by transformers; loaded when first needed."""

    def __init__(self, checkpoint: Checkpoint, min_pixels: int, max_pixels: int) -> None:
        """The pixel limits are those of the bundle to compare, its largest bucket included."""
        self._checkpoint = checkpoint
        self._limits = min_pixels, max_pixels
        self._loaded: Reference | None = None

    @property
    def fingerprint(self) -> str:
        limits = f"{self._limits[0]} {self._limits[1]}"
        return f"transformers {version('transformers')} {self.source_sha256} {limits}"

    @property
    def source_sha256(self) -> str:
        return self._checkpoint.fingerprint()

    def run(self, question: Question, max_tokens: int) -> ReferenceOutput:
        if self._loaded is None:
            self._loaded = Reference(self._checkpoint.folder, *self._limits)
        model = self._loaded
        images = load_images(question)
        prompt = model.prompt((Turn(question.prompt, images),), ())
        answer = model.generate(prompt, images, max_tokens)
        # transformers would take a generated placeholder for an image; up to it, and it, the answer counts.
        tokens = answer[: len(model.forceable(answer)) + 1]
        return ReferenceOutput(
            prompt=prompt,
            tokens=tokens,
            text=model.decode(answer),
            logits=model.logits((*prompt, *tokens[:-1]), images, len(tokens)),
            embeddings=tuple(model.encode_image(image) for image in images),
        )

    def close(self) -> None:
        self._loaded = None


def open_reference(
    against: str, candidate: Bundle, threads: int | None, revision: str | None = None
) -> ReferenceModel:
    """A bundle's folder, else a model: hub id (of that branch, tag or commit), checkpoint folder or `tiny`.

    Raises UsageError if the two would not see the same images and tokens, else what opening raises.
    """
    folder = Path(against)
    if (folder / names.MANIFEST_FILE).is_file():
        if revision is not None:
            raise UsageError(f"--revision {revision} is of a model on the hub, but {folder} is a bundle.")
        return _open_bundle(folder, candidate, threads)
    checkpoint = open_checkpoint(against, revision)
    manifest = candidate.manifest
    if checkpoint.geometry != manifest.geometry:
        raise UsageError(f"{candidate.folder} was not exported from {against}: their geometries differ.")
    if not manifest.chat:
        raise UsageError(
            f"{candidate.folder} is a base model without a chat template, for which transformers has no"
            " prompt; compare it with a bundle of the recipe fp32."
        )
    largest = manifest.buckets[-1] * manifest.geometry.vision.patch_size**2
    most = min(manifest.image.max_pixels, largest)
    return CheckpointReference(checkpoint, min(manifest.image.min_pixels, most), most)


def _open_bundle(folder: Path, candidate: Bundle, threads: int | None) -> BundleReference:
    opened = open_bundle(folder)
    ours, theirs = candidate.manifest, opened.manifest
    if ours.geometry != theirs.geometry or ours.special_tokens != theirs.special_tokens:
        raise UsageError(f"{candidate.folder} and {folder} come from different models; compare two of one.")
    if ours.buckets[-1] != theirs.buckets[-1]:
        raise UsageError(
            f"{candidate.folder} takes images of up to {ours.buckets[-1]} patches, {folder} of up to"
            f" {theirs.buckets[-1]}; export both with the same --buckets."
        )
    same_pixels = replace(opened, manifest=replace(theirs, image=ours.image))
    return BundleReference(same_pixels, open_engine(same_pixels, threads))
