"""The server under test: one of this process, or any that POCKETVL_BASE_URL names."""

import os
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.servers import KEY, serving

BASE_URL = "POCKETVL_BASE_URL"  # as http://127.0.0.1:8000/v1
API_KEY = "POCKETVL_API_KEY"


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """With /v1 at its end."""
    if BASE_URL in os.environ:
        yield os.environ[BASE_URL].rstrip("/")
        return
    with serving(request.getfixturevalue("tiny_onnx_bundle"), api_key=KEY) as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="session")
def key() -> str:
    return os.environ.get(API_KEY, "none") if BASE_URL in os.environ else KEY


@pytest.fixture(scope="session")
def http(base_url: str, key: str) -> Iterator[httpx.Client]:
    """Paths are relative to /v1/."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{base_url}/", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def model(http: httpx.Client) -> str:
    return str(http.get("models").json()["data"][0]["id"])


@pytest.fixture(scope="session")
def client(base_url: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60) as client:
        yield client
