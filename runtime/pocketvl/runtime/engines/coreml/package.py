"""A saved .mlpackage folder, opened for evaluation."""

from pathlib import Path

from pocketvl.runtime.engines.coreml.constants import WeightCache
from pocketvl.runtime.engines.coreml.function import Function, FunctionSignature, signature_of
from pocketvl.runtime.engines.coreml.layout import inside, model_path
from pocketvl.runtime.engines.coreml.parse import WEIGHTS, parse_functions
from pocketvl.runtime.engines.coreml.program import FunctionProgram, Stored
from pocketvl.runtime.engines.coreml.protobuf import read_model
from pocketvl.runtime.engines.coreml.state import State
from pocketvl.runtime.engines.coreml.weights import WeightFile
from pocketvl.runtime.errors import BundleError, EngineError


class Package:
    """The functions of one package. Open it with Package.open."""

    def __init__(
        self,
        path: Path,
        programs: dict[str, FunctionProgram],
        default: str,
        weights: WeightFile | None,
        round_fp16: bool,
        weight_cache_bytes: int,
    ) -> None:
        self.path = path
        self.default = default
        self.functions: dict[str, FunctionSignature] = {
            name: signature_of(program) for name, program in programs.items()
        }
        self._programs = programs
        self._weights = weights
        self._round_fp16 = round_fp16
        self._cache = WeightCache(weight_cache_bytes)
        self._ready: dict[str, Function] = {}

    @classmethod
    def open(cls, path: Path, round_fp16: bool = False, weight_cache_bytes: int = 0) -> "Package":
        """Read the program and check that every stored value lies in the weight file as declared.

        Values are computed in float32 from what is stored in float16; states and a function's outputs have
        their declared types all the same. round_fp16 rounds each op's result to float16 where the program
        declares so, as a phone does; inside an op float32 stays. weight_cache_bytes: decompressed weights
        to keep in memory; without, one op's weights at a time are there.
        Raises BundleError, or MissingExtraError without coremltools.
        """
        model_file = model_path(path)
        model = read_model(model_file)
        programs = parse_functions(model, model_file)
        if not programs:
            raise BundleError(f"{model_file} has no functions; export the bundle again.")
        default = model.description.defaultFunctionName or "main"
        weights = _open_weights(path, model_file, programs)
        return cls(path, programs, default, weights, round_fp16, weight_cache_bytes)

    def function(self, name: str | None = None) -> Function:
        """That function, or the package's default. Raises EngineError if it cannot be evaluated."""
        name = self._known(self.default if name is None else name)
        if name not in self._ready:
            self._ready[name] = Function(
                self.path, self._programs[name], self._weights, self._cache, self._round_fp16
            )
        return self._ready[name]

    def new_state(self, function: str | None = None) -> State:
        """Zeros for the states of that function. Raises EngineError for an unknown one."""
        return State(self.functions[self._known(self.default if function is None else function)].states)

    def _known(self, name: str) -> str:
        if name not in self.functions:
            raise EngineError(
                f"{self.path} has no function {name!r}; its functions are: {', '.join(self.functions)}."
            )
        return name


def _open_weights(path: Path, model_file: Path, programs: dict[str, FunctionProgram]) -> WeightFile | None:
    stored = {
        (source.offset, source.type): f"{parameter} of {operation.name}"
        for program in programs.values()
        for operation in program.operations
        for parameter, sources in operation.arguments.items()
        for source in sources
        if isinstance(source, Stored)
    }
    if not stored:
        return None
    file = inside(path, model_file.parent, WEIGHTS.removeprefix("@model_path/"), model_file)
    weights = WeightFile(file)
    for (offset, kind), name in stored.items():
        weights.check(name, offset, kind)
    return weights
