"""The reference's answers in a folder, so that many candidates are compared with one run of it."""

import hashlib
import json
from pathlib import Path

from pocketvl.evaluate.data.question import Dataset, Question, media_identities
from pocketvl.evaluate.reference_models import ReferenceModel
from pocketvl.evaluate.reference_output import ReferenceOutput, read_output, remove_old_parts, write_output
from pocketvl.evaluate.scoring import score
from pocketvl.export.progress import Progress
from pocketvl.runtime.errors import ImageError, PocketVLError, PromptError


class ReferenceCache:
    """A file a question, named by what its content depends on. The model runs only where one is missing."""

    def __init__(self, folder: Path, model: ReferenceModel, max_tokens: int) -> None:
        """Answers end after `max_tokens`. Raises PocketVLError if the folder cannot be made."""
        self._folder = folder
        self._model = model
        self._fingerprint = model.fingerprint
        self._max_tokens = max_tokens
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_old_parts(folder)
        except OSError as error:
            raise PocketVLError(
                f"{folder} cannot be made ({error.strerror}); choose another folder."
            ) from None

    def get(self, question: Question) -> ReferenceOutput:
        """As stored, rounded as stored, even when it has just been computed. Raises what the model raises."""
        path = self._folder / f"{self._key(question)}.npz"
        stored = read_output(path)
        if stored is not None:
            return stored
        output = self._model.run(question, self._max_tokens)
        try:
            write_output(path, output)
        except OSError as error:
            raise PocketVLError(
                f"{path} cannot be written ({error.strerror}); free space or choose another folder."
            ) from None
        return read_output(path) or output

    def scores(self, dataset: Dataset, progress: Progress) -> dict[str, float]:
        """Score of each question by its id; one that the reference cannot be asked scores 0."""
        scores = {}
        for number, question in enumerate(dataset.questions):
            progress(f"reference: {question.id}", number / len(dataset.questions))
            try:
                scores[question.id] = score(question.metric, question, self.get(question).text)
            except (ImageError, PromptError):
                scores[question.id] = 0.0
        return scores

    def close(self) -> None:
        """Free the model's memory; what is stored stays."""
        self._model.close()

    def _key(self, question: Question) -> str:
        parts = (self._fingerprint, self._max_tokens, question.prompt, media_identities(question))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
