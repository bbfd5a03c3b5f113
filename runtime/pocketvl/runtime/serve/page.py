"""The page at /: one HTML file, which may run its own script and reach this server, and nothing else."""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Page:
    html: bytes
    headers: dict[str, str]


def load_page() -> Page:
    """With a Content-Security-Policy that names the hashes of its script and style."""
    html = files("pocketvl.runtime.serve").joinpath("page.html").read_bytes()
    policy = [
        "default-src 'none'",
        f"script-src {_hash(html, b'script')}",
        f"style-src {_hash(html, b'style')}",
        "img-src data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    headers = {"Content-Security-Policy": "; ".join(policy), "Cross-Origin-Opener-Policy": "same-origin"}
    return Page(html, headers)


def _hash(html: bytes, element: bytes) -> str:
    """Of the one element of this kind, as browsers compute it: of all between its tags."""
    (inner,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inner).digest()).decode()}'"
