"""ExecuTorch bundles in fp32 against transformers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle
from tests.parity import checks
from tests.support.geometries import GEOMETRIES


@pytest.fixture(scope="module", params=list(GEOMETRIES))
def case(
    request: pytest.FixtureRequest,
    small_bundle: Bundle,
    small_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[checks.Case]:
    folder = tmp_path_factory.mktemp("parity")
    case = checks.open_case(request.param, names.EXECUTORCH, small_bundle, small_checkpoint, folder)
    yield case
    case.engine.close()


@pytest.mark.parametrize("size", checks.SIZES)
def test_image_embeddings_equal_the_reference(case: checks.Case, size: tuple[int, int]) -> None:
    checks.check_image_embeddings(case, size)


@pytest.mark.parametrize("name", list(checks.CONVERSATIONS))
def test_greedy_answers_and_logits_equal_the_reference(case: checks.Case, name: str) -> None:
    checks.check_greedy_answers_and_logits(case, name)
