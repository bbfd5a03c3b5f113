"""The bundle's chat template: Jinja, with bounds on what a template may do.

A template comes with a model and is not trusted. Jinja's sandbox keeps it from Python's internals, but not
from using up time and memory. Here every operation that makes a value is metered: what one rendering makes is
added up, loops and calls look at the thread's processor time, and what has no bound by its arguments
(str.ljust, str.format, the center filter, ...) does not exist. What is left takes time about linear in values
that are bounded, so a rendering ends soon after it reaches a bound, in any thread and on any system.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import BuiltinMethodType
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.filters import FILTERS
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from pocketvl.runtime.bundle.file import file_size
from pocketvl.runtime.errors import BundleError, PromptError
from pocketvl.runtime.text.template_meter import (
    MADE_PER_CHARACTER,
    MAX_MADE,
    METER,
    Meter,
    check_stripped,
    counted,
    deep_size,
    failed,
    join,
    joined,
    made,
    metered,
    replace,
    size_of,
    to_json,
    trim,
    written,
)

MAX_TEMPLATE_CHARACTERS = 1 << 16  # the longest known ones have a quarter of them
_FILTERS = """abs attr capitalize count d default dictsort first float groupby int items last length list
lower map max min reject rejectattr reverse select selectattr sort title unique upper"""
_STRING_METHODS = """capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower
isnumeric isspace isupper join lower lstrip partition removeprefix removesuffix replace rstrip split
splitlines startswith strip title upper"""  # not rfind and its like: they search in quadratic time
_METHODS: dict[type[Any], str] = {
    str: _STRING_METHODS,
    dict: "get items keys values",
    list: "count index",
    tuple: "count index",
}
_REFUSED = (
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.EvalContextModifier,
    nodes.ScopedEvalContextModifier,
)
# Filters that only _Metered writes; with a space, so that no template can name them.
_COUNTED, _WRITTEN, _JOINED, _MADE = " counted", " written", " joined", " made"


def read_template(path: Path) -> str:
    """The source in a file of a bundle. Raises BundleError."""
    size = file_size(path.parent, path.name)
    if size > 4 * MAX_TEMPLATE_CHARACTERS:  # bytes of a character
        raise BundleError(f"{path} has {size} bytes, more than any chat template; copy the bundle again.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the bundle again.") from None


class ChatTemplate:
    """One compiled template. `variables` are the names that it reads. Several threads may render it."""

    def __init__(self, source: str) -> None:
        """Raises PromptError if the template is not valid Jinja, or is too long or too deeply nested."""
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise PromptError(
                f"The chat template has {len(source)} characters, more than {MAX_TEMPLATE_CHARACTERS};"
                " check chat_template.jinja."
            )
        environment = _Environment()
        try:
            tree = environment.parse(source)
            self.variables = frozenset(find_undeclared_variables(tree))
            _Metered().visit(tree)  # which stays the root
            tree.set_environment(environment)
            code = environment.compile(tree)
        except jinja2.TemplateError as error:
            raise PromptError(_invalid(_reason(error))) from None
        except (RecursionError, MemoryError, SyntaxError):  # of the parser, or of Python for the code made
            raise PromptError(_invalid("it is nested too deeply")) from None
        except ValueError as error:  # an integer of thousands of digits
            raise PromptError(_invalid(str(error))) from None
        self._template = jinja2.Template.from_code(environment, code, environment.globals)

    def render(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """The conversation as text. Raises PromptError, also for a template that takes too much."""
        room = MAX_MADE + MADE_PER_CHARACTER * deep_size(messages, 1 << 40)
        token = METER.set(Meter(room))
        try:
            return self._template.render(messages=messages, **variables)
        except PromptError:
            raise
        except jinja2.TemplateError as error:
            raise PromptError(f"The chat template refuses these messages: {_reason(error)}.") from None
        except RecursionError:
            raise PromptError(failed("it is nested too deeply, or calls itself without end")) from None
        except Exception as error:  # a template can make Python raise anything
            raise PromptError(failed(str(error) or type(error).__name__)) from None
        finally:
            METER.reset(token)


class _Environment(ImmutableSandboxedEnvironment):
    """With the settings for which chat templates are written: block tags leave no blank lines."""

    intercepted_binops = frozenset(("+", "-", "*", "%", "**"))

    def __init__(self) -> None:
        # Not optimized: constant expressions would be computed when compiled, without a meter.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[jinja2.ext.loopcontrols]
        )
        self.tests = {name: metered(test) for name, test in self.tests.items()}
        known: dict[str, Any] = FILTERS
        self.filters = {name: metered(known[name]) for name in _FILTERS.split()}
        self.filters |= {"join": join, "replace": replace, "safe": written, "string": written}
        self.filters |= {"tojson": to_json, "trim": trim}
        self.filters |= {_COUNTED: counted, _WRITTEN: written, _JOINED: joined, _MADE: made}
        self.globals = {
            "range": safe_range,
            "dict": dict,
            "namespace": Namespace,
            "raise_exception": _raise_exception,
        }

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """As the base does, for what chat templates call. Its parameters leave names to **kwargs."""
        meter = METER.get()
        meter.tick()
        if not __self._may_call(__obj):
            name = getattr(__obj, "__name__", type(__obj).__name__)
            raise PromptError(f"The chat template calls {name}(), which no chat template needs or may use.")
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str) and __obj.__name__ == "replace":
            return replace(owner, *args, **kwargs)
        if isinstance(owner, str) and __obj.__name__ == "join":
            return joined(args[0] if args else (), owner)
        if isinstance(owner, str) and "strip" in __obj.__name__:
            check_stripped(*args)
        return meter.made(super().call(__context, __obj, *args, **kwargs))

    def _may_call(self, function: Any) -> bool:
        if isinstance(function, BuiltinMethodType):
            return function.__name__ in _METHODS.get(type(function.__self__), "").split()
        if isinstance(getattr(function, "__self__", None), LoopContext):
            return function.__name__ in ("cycle", "changed")
        return isinstance(function, (Macro, Undefined)) or any(
            function is known for known in self.globals.values()
        )

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        meter = METER.get()
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise PromptError(f"The chat template uses the operator {operator} as no chat template may.")
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, (str, list, tuple)) and isinstance(times, int):
                    meter.spend(size_of(value) * max(times, 0))
        return meter.made(super().call_binop(context, operator, left, right))


class _Metered(NodeTransformer):
    """Puts a meter on the parts of a template that call no function of the environment."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        """Raises TemplateError for a tag that a chat template of one file has no use for."""
        self.generic_visit(node)
        match node:
            case nodes.For(recursive=True):
                raise jinja2.TemplateError("recursive loops are not supported")
            case nodes.For():
                node.iter = _through(_COUNTED, node.iter)
            case nodes.Output():
                node.nodes = [_through(_WRITTEN, _constant(child)) for child in node.nodes]
            case nodes.Compare():
                for operand in node.ops:
                    operand.expr = _through(_MADE, operand.expr)
            case nodes.Concat():
                return _through(_JOINED, nodes.List(node.nodes, lineno=node.lineno))
            case nodes.Getitem(arg=nodes.Slice()) | nodes.List() | nodes.Dict() | nodes.Tuple(ctx="load"):
                return _through(_MADE, node)
            case _ if isinstance(node, _REFUSED):
                raise jinja2.TemplateError(f"the tag of {type(node).__name__} is not supported")
        return node


def _constant(node: nodes.Node) -> nodes.Node:
    """A template's own text as an expression; there is no escaping in which they would differ."""
    return nodes.Const(node.data, lineno=node.lineno) if isinstance(node, nodes.TemplateData) else node


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _reason(error: jinja2.TemplateError) -> str:
    """What a template says itself, or Jinja of it, without the line of its own source."""
    message = (error.message or "it gives no reason").rstrip(".")
    return f"line {error.lineno}: {message}" if isinstance(error, jinja2.TemplateSyntaxError) else message


def _invalid(reason: str) -> str:
    return f"The chat template is not valid ({reason}); check chat_template.jinja."


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
