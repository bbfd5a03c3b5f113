"""Ops of MIL in numpy, each by its definition in coremltools' op reference (converters/mil/mil/ops/defs).

Every op is a function whose parameters have the names that the program gives them. Floating arrays come in
and go out as float32; ops of elements.MOVING take float16, too, as they only move elements. Scalars
are 0-d arrays, texts str, lists tuples of arrays. No op writes to an argument; the result may be a view of
one. A ValueError says what cannot be computed; its text ends up in an EngineError that names op and function.
"""
