"""The load of benchmarks/serve_load.py, small, on a server of this process."""

import asyncio

from benchmarks.serve_load import load
from pocketvl.runtime.bundle.open import Bundle
from tests.support.servers import serving


def test_many_clients_get_their_own_answers(tiny_onnx_bundle: Bundle) -> None:
    with serving(tiny_onnx_bundle, queue=8) as server:
        result = asyncio.run(load(server.url, clients=20, requests=150))
    assert (result.right, result.wrong, result.failed) == (150, [], [])
    assert result.refused > 0, "the queue was never full"
    assert result.known > 0.7 * result.questions, "answers that mean nothing would tell nothing apart"
