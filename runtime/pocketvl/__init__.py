"""pocketvl: put Qwen2-VL into a phone app.

Each slice (export, quant, runtime, evaluate, cli) is a package below this one, and may lie in another folder.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("pocketvl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
