"""As few XNNPACK delegates as the graph allows, found in one pass.

ExecuTorch's partitioner merges greedily and asks before each merge whether it would close a cycle; a
quantized input shared by several linear layers made it give up early (three delegates a decoder layer).
Here each node has a level: how many operators that XNNPACK does not run lie, at most, between the inputs and
the node. Values only flow to the same or a higher level, and from one delegate through such an operator only
to a higher one, so all nodes of a level can be one delegate and no cycle can arise.
"""

from collections import defaultdict

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.passes.infra.partitioner import Partition

# XNNPACK's backend rewrites each delegate's graph with 17 passes before it writes it. What they do concerns
# convolutions, pooling, batch norm, padding, resizing, clones and max: none of them is in a transformer, so
# none is delegated here, and the backend is told by this key to run one pass only. It halves the time.
_FEW_PASSES = CompileSpec("dqlinear_partitioner", b"")
_NEED_PASSES = (
    *("avg_pool2d.default", "max_pool2d.default", "max.dim", "convolution.default", "prelu.default"),
    *("_native_batch_norm_legit_no_training.default", "constant_pad_nd.default", "clone.default"),
    *("_clone_dim_order.default", "_to_dim_order_copy.default", "upsample_bilinear2d.vec"),
)


class LevelPartitioner(XnnpackPartitioner):  # type: ignore[misc]  # executorch has no types
    """XnnpackPartitioner's choice of operators, less those of _NEED_PASSES, grouped by level."""

    def __init__(self) -> None:
        super().__init__([kind for kind in ALL_PARTITIONER_CONFIGS if kind.target_name not in _NEED_PASSES])
        self.delegation_spec: DelegationSpec = DelegationSpec("XnnpackBackend", [_FEW_PASSES])

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        groups = self.get_matched_nodes_from_configs(ep)
        supported = {node for group in groups for node in group}
        levels = _levels(ep, supported)
        members: dict[int, list[Node]] = defaultdict(list)
        for node in ep.graph.nodes:
            if node in supported:
                members[levels[node]].append(node)
        return [Partition(id=level, nodes=nodes) for level, nodes in sorted(members.items())]


def _levels(ep: ExportedProgram, supported: set[Node]) -> dict[Node, int]:
    levels: dict[Node, int] = {}
    constants: dict[Node, None] = {}
    for node in ep.graph.nodes:
        inputs = node.all_input_nodes
        if is_constant_data(ep, node) or (inputs and all(source in constants for source in inputs)):
            constants[node] = None
            continue
        passed = (
            levels[source] + _ends_delegates(source, supported) for source in inputs if source in levels
        )
        levels[node] = max(passed, default=0)
    # What is computed from constants alone, such as a dequantized weight, belongs to its first user.
    for node in reversed(constants):
        levels[node] = min((levels[user] for user in node.users if user in levels), default=0)
    return levels


def _ends_delegates(node: Node, supported: set[Node]) -> bool:
    return node.op == "call_function" and node not in supported
