"""A calling graph of many layers, made of one of few.

torch and ExecuTorch pass over a graph some twenty times, node by node, before it is in ExecuTorch's dialect.
So a few layers are traced and converted; what the last of the alike ones has in the graph is then put there
once more for each layer that was left out. See docs/decisions/0019-stencils.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputSpec, OutputSpec, TensorArgument
from torch.fx import Node
from torch.fx.node import map_arg

from pocketvl.runtime.errors import ExportError

LAYERS = "layers"  # the attribute of a calling module that lists them
# The first may read what comes before all layers. The next two are compared, and the last is repeated.
_TRACED = 3
_REPEATED = _TRACED - 1
_Nodes = dict[Node, Node]


def with_all_layers(
    model: nn.Module, unlike: int, convert: Callable[[nn.Module], ExportedProgram]
) -> ExportedProgram:
    """convert(model), in a time that hardly depends on how many layers it has.

    model: calls delegates, some of them for each of its `layers`, of which all but the last `unlike` ones are
    alike. convert: traces a module and gives a program in ExecuTorch's dialect. Raises ExportError where
    layers do not look alike in that program.
    """
    layers: nn.ModuleList = getattr(model, LAYERS)
    left_out = len(layers) - _TRACED - unlike
    if left_out <= 0:
        return convert(model)
    kept = [*layers[:_TRACED], *layers[len(layers) - unlike :]]
    setattr(model, LAYERS, nn.ModuleList(kept))
    try:
        program = convert(model)
    finally:
        setattr(model, LAYERS, layers)
    return _Growth(program, layers, left_out).program()


class _Growth:
    """Puts layers behind the last of the alike ones of a program, whose graph it takes."""

    def __init__(self, program: ExportedProgram, layers: nn.ModuleList, left_out: int) -> None:
        self._old, self._graph, self._root = program, program.graph, program.graph_module
        self._layers, self._left_out = layers, left_out
        self._attributes: dict[int, str] = {id(module): name for name, module in self._root.named_children()}
        nodes = list(self._graph.nodes)
        first, second, third = (nodes.index(self._last_call(index)) for index in range(_TRACED))
        self._before, self._repeated = nodes[first + 1 : second + 1], nodes[second + 1 : third + 1]
        self._after, self._output = nodes[third + 1 : -1], nodes[-1]
        self._check_alike(nodes[max(0, 2 * first + 1 - second) : first + 1])

    def program(self) -> ExportedProgram:
        copies, inputs = self._copy_inputs()
        last = self._copy_steps(copies)
        outputs = self._copy_outputs(copies, last)
        self._graph.lint()
        self._root.recompile()
        return ExportedProgram(
            root=self._root,
            graph=self._graph,
            graph_signature=ExportGraphSignature(inputs, outputs),
            state_dict=self._tensors(self._old.state_dict),
            range_constraints=self._old.range_constraints,
            module_call_graph=self._old.module_call_graph,
            example_inputs=self._old.example_inputs,
            constants=self._tensors(self._old.constants),
            verifiers=[self._old.verifier],
        )

    def _last_call(self, index: int) -> Node:
        """Of a delegate that is the layer's own."""
        others = {id(module) for module in self._layers[(index + 1) % _TRACED].modules()}
        own = {id(module) for module in self._layers[index].modules()} - others
        gets = [node for node in self._graph.find_nodes(op="get_attr") if id(self._module(node)) in own]
        if not gets:
            raise _unlike("one calls no delegates of its own")
        (call,) = gets[-1].users
        assert isinstance(call, Node)
        return call

    def _module(self, node: Node) -> nn.Module:
        module: nn.Module = self._root.get_submodule(str(node.target))
        return module

    def _check_alike(self, earlier: list[Node]) -> None:
        """The last two of the layers must differ in their tensors and delegates only, and read what lies
        before them in the same places. earlier: as many steps of the layer before both.
        """
        if not len(earlier) == len(self._before) == len(self._repeated):
            raise _unlike(f"one takes {len(self._before)} steps, the next {len(self._repeated)}")
        places = {spec.target: spec.arg.name for spec in self._old.graph_signature.input_specs if spec.target}
        named = {node.name: node for node in self._graph.find_nodes(op="placeholder")}
        shifted = {
            **dict(zip(self._before, earlier, strict=True)),
            **dict(zip(self._repeated, self._before, strict=True)),
            **{named[places[name]]: named[places[_moved(name, -1)]] for name in self._own(places)},
        }
        for one, other in zip(self._before, self._repeated, strict=True):
            expected = map_arg((other.args, other.kwargs), lambda node: shifted.get(node, node))
            if (one.op, one.args, one.kwargs) != (other.op, *expected) or self._kind(one) != self._kind(
                other
            ):
                raise _unlike(f"{one.format_node()} became {other.format_node()}")

    @staticmethod
    def _own(names: Mapping[str, Any]) -> list[str]:
        """Those of the layer that is repeated."""
        return [name for name in names if _layer_of(name) == _REPEATED]

    def _kind(self, node: Node) -> tuple[object, str]:
        if node.op != "get_attr":
            return node.target, repr(node.meta.get("val"))
        module, layers = self._module(node), self._layers
        own = _path(layers[_REPEATED], module) or _path(layers[_REPEATED - 1], module)
        return own or node.target, ""

    def _copy_inputs(self) -> tuple[list[_Nodes], list[InputSpec]]:
        """For each copy the repeated layer's tensors -> its own; and all inputs of the new program."""
        copies: list[_Nodes] = [{} for _ in range(self._left_out)]
        specs: list[InputSpec] = []
        named = {node.name: node for node in self._graph.find_nodes(op="placeholder")}
        old = self._old.graph_signature.input_specs
        for layer, group in groupby(old, lambda spec: _layer_of(spec.target)):
            run = list(group)
            specs += [replace(spec, target=self._place(spec.target)) for spec in run]
            end = named[run[-1].arg.name]
            for number, own in enumerate(copies if layer == _REPEATED else ()):
                for spec in run:
                    node = named[spec.arg.name]
                    with self._graph.inserting_after(end):
                        end = self._graph.placeholder(node.name)
                    end.target, end.meta, own[node] = end.name, dict(node.meta), end
                    specs.append(
                        replace(spec, arg=TensorArgument(end.name), target=_moved(spec.target, number + 1))
                    )
        return copies, specs

    def _copy_steps(self, copies: list[_Nodes]) -> _Nodes:
        """Completes the copies; the last is returned."""
        following = dict(zip(self._before, self._repeated, strict=True))
        last, end = {node: node for node in self._repeated}, self._repeated[-1]
        for number, own in enumerate(copies):

            def read(node: Node, own: _Nodes = own, last: _Nodes = last) -> Node:
                return last[following[node]] if node in following else own.get(node, node)

            for node in self._repeated:
                with self._graph.inserting_after(end):
                    own[node] = end = self._graph.node_copy(node, read)
                if node.op == "get_attr":
                    end.target = self._attribute(node, _TRACED + number)
            last = own
        for node in self._after:
            node.args, node.kwargs = map_arg((node.args, node.kwargs), lambda one: last.get(one, one))
        return last

    def _attribute(self, node: Node, index: int) -> str:
        """The delegate that a layer has in the place of the one that the repeated layer gets here."""
        path = _path(self._layers[_REPEATED], self._module(node))
        if path is None:
            return str(node.target)
        module = self._layers[index].get_submodule(path)
        if id(module) not in self._attributes:
            name = self._attributes[id(module)] = f"lowered_module_{len(self._attributes)}"
            if hasattr(self._root, name):
                raise _unlike(f"{name} is another delegate's name")
            self._root.add_module(name, module)
        return self._attributes[id(module)]

    def _copy_outputs(self, copies: list[_Nodes], last: _Nodes) -> list[OutputSpec]:
        """All outputs of the new program; what a layer does to its own tensors is one of them."""
        specs: list[OutputSpec] = []
        nodes: list[Node] = []
        old = zip(self._old.graph_signature.output_specs, self._output.args[0], strict=True)
        for layer, group in groupby(old, lambda pair: _layer_of(pair[0].target)):
            run = list(group)
            for spec, node in run:
                specs.append(replace(spec, target=self._place(spec.target)))
                nodes.append(node if layer == _REPEATED else last.get(node, node))
            for number, own in enumerate(copies if layer == _REPEATED else ()):
                for spec, node in run:
                    nodes.append(own[node])
                    name = TensorArgument(own[node].name)
                    specs.append(replace(spec, arg=name, target=_moved(spec.target, number + 1)))
        self._output.args = (tuple(nodes),)
        return [
            replace(spec, arg=replace(spec.arg, name=node.name))
            for spec, node in zip(specs, nodes, strict=True)
        ]

    def _tensors(self, old: Mapping[str, Any]) -> dict[str, Any]:
        """Of all layers where `old` has those of the traced ones."""
        tensors = (*self._layers.named_parameters(), *self._layers.named_buffers())
        own = {f"{LAYERS}.{name}": tensor for name, tensor in tensors}
        new: dict[str, Any] = {}
        for name, tensor in old.items():
            new[self._place(name) or name] = tensor
            if _layer_of(name) == _REPEATED:
                more = [_moved(name, number + 1) for number in range(self._left_out)]
                new |= {name: own[name] for name in more}
        return new

    def _place(self, name: str | None) -> str | None:
        """The new name of a traced tensor: layers behind the copies have moved."""
        layer = _layer_of(name)
        return name if layer is None or layer <= _REPEATED else _moved(name, self._left_out)


def _layer_of(name: str | None) -> int | None:
    words = (name or "").split(".", 2)
    return int(words[1]) if words[0] == LAYERS else None


def _moved(name: str | None, by: int) -> str:
    list_name, index, rest = (name or "").split(".", 2)
    return f"{list_name}.{int(index) + by}.{rest}"


def _path(layer: nn.Module, module: nn.Module) -> str | None:
    return next((path for path, own in layer.named_modules() if own is module), None)


def _unlike(what: str) -> ExportError:
    return ExportError(
        f"Conversion has made something else of each layer ({what}); another version of torch or executorch"
        " may do so: install executorch==1.4.1."
    )
