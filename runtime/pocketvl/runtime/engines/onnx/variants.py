"""The dtypes that config.json names for transformers.js, and whether their files are there.

transformers.js takes SESSION + suffix of the dtype + ".onnx", and where use_external_data_format says so,
that name + "_data", + "_data_1" .. (src/utils/dtypes.js and model-loader.js of transformers.js 4). It passes
over an unknown dtype in silence and takes another one.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvl.runtime import names
from pocketvl.runtime.bundle.file import file_size, read_json
from pocketvl.runtime.errors import BundleError

SUFFIXES = {
    "fp32": "",
    "fp16": "_fp16",
    "int8": "_int8",
    "uint8": "_uint8",
    "q8": "_quantized",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "q2": "_q2",
    "q2f16": "_q2f16",
    "q1": "_q1",
    "q1f16": "_q1f16",
    "bnb4": "_bnb4",
}
_DEFAULT = "fp32"  # outside of a browser

_SETTINGS = "transformers.js_config"
_DTYPE = "dtype"
_EXTERNAL = "use_external_data_format"


def check_variants(folder: Path) -> None:
    """Check that every session in the bundle `folder` has its graph and data files.

    A bundle without config.json is none of transformers.js's, and passes. Raises BundleError.
    """
    config = folder / names.CONFIG_FILE
    if not os.path.lexists(config):
        return
    settings = _settings(folder)
    present = {
        f"{names.ONNX_FOLDER}/{path.name}"
        for path in (folder / names.ONNX_FOLDER).glob("*")
        if os.path.lexists(path)
    }
    for session in names.TRANSFORMERS_JS_SESSIONS:
        dtype = _dtype(config, settings, session)
        file = f"{names.ONNX_FOLDER}/{session}{SUFFIXES[dtype]}.onnx"
        data = _data_files(config, settings, session, file)
        for needed in (file, *data):
            if needed not in present:
                raise BundleError(
                    f"{config} names the dtype {dtype} for {session}, but {folder / needed} is missing; copy"
                    " the whole bundle again or export it again."
                )
            file_size(folder, needed)
        for found in sorted(present):
            if found.startswith(f"{file}_data") and found not in data:
                raise BundleError(
                    f"{folder / found} is left out by {_EXTERNAL} in {config}, so transformers.js would not"
                    " load it; export the bundle again."
                )


def _settings(folder: Path) -> Mapping[str, Any]:
    config, value = folder / names.CONFIG_FILE, read_json(folder, names.CONFIG_FILE)
    settings = value.get(_SETTINGS) if isinstance(value, dict) else None
    if not isinstance(settings, dict):
        raise BundleError(f"{config} has no object {_SETTINGS!r}; export the bundle again.")
    return settings


def _dtype(config: Path, settings: Mapping[str, Any], session: str) -> str:
    named = settings.get(_DTYPE)
    dtype = named.get(session) if isinstance(named, dict) else named
    if dtype is None or dtype == "auto":
        return _DEFAULT
    if not isinstance(dtype, str) or dtype not in SUFFIXES:
        raise BundleError(
            f"{config} names the dtype {dtype!r} for {session}, but transformers.js knows"
            f" {', '.join(SUFFIXES)}; export the bundle again."
        )
    return dtype


def _data_files(config: Path, settings: Mapping[str, Any], session: str, file: str) -> list[str]:
    """What transformers.js loads beside the graph `file`."""
    given = settings.get(_EXTERNAL)
    if isinstance(given, dict):
        given = given.get(file.rpartition("/")[2], given.get(session))
    count = int(given) if isinstance(given, int) else 0 if given is None else -1
    if not 0 <= count <= 100:  # MAX_EXTERNAL_DATA_CHUNKS of src/utils/hub/constants.js
        raise BundleError(
            f"{config} says {_EXTERNAL} {given!r} for {session}, which is neither true, false nor a number of"
            " files; export the bundle again."
        )
    return [f"{file}_data{f'_{index}' if index else ''}" for index in range(count)]
