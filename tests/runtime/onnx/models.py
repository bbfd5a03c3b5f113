"""Small .onnx files made with the onnx package, which the runtime itself does without."""

from pathlib import Path

from onnx import AttributeProto, ModelProto, TensorProto, helper

FLOAT = TensorProto.FLOAT


def outside(
    name: str, location: str | None, offset: object = 0, length: object = 16, rows: int = 4
) -> TensorProto:
    """A tensor of `rows` floats in another file; None leaves a key out."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[rows], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def model(*tensors: TensorProto, opset: int = 21, contrib: int = 1, ir_version: int = 10) -> ModelProto:
    """x + each of the tensors."""
    names = ["x", *(f"sum{index}" for index in range(1, len(tensors))), "y"]
    nodes = [
        helper.make_node("Add", [names[index], tensor.name], [names[index + 1]])
        for index, tensor in enumerate(tensors)
    ] or [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", FLOAT, [4])],
        [helper.make_tensor_value_info("y", FLOAT, [4])],
        initializer=tensors,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", contrib)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def save(value: ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value.SerializeToString())
    return path


def nested(location: str) -> ModelProto:
    """A model whose only tensors stand in a node's attribute, in a subgraph, in a function and sparse."""
    value = model()
    graph = value.graph
    graph.node.append(helper.make_node("Constant", [], ["c"], value=outside("constant", location)))
    branch = helper.make_graph([], "branch", [], [], initializer=[outside("branch", location)])
    graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(outside("sparse", location))
    function = value.functions.add(name="f", domain="local")
    function.node.append(helper.make_node("Constant", [], ["e"], value=outside("function", location)))
    listed = AttributeProto(name="many", type=AttributeProto.TENSORS, tensors=[outside("listed", location)])
    graph.node[0].attribute.append(listed)
    return value
