"""An evaluator of saved .mlpackage folders in numpy: it proves an artifact where Core ML itself cannot run.

It reads what the exporter wrote (protobuf and weight file, nothing else) and computes each op by its
definition. It says nothing about speed or rounding of the Neural Engine's kernels.
"""
