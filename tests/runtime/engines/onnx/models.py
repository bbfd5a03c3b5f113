"""Small .onnx files made with the onnx package, which the runtime itself does without."""

from pathlib import Path

from onnx import ModelProto, TensorProto, helper

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
