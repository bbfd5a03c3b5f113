package dev.pocketvl.engines.onnx

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import dev.pocketvl.BundleException
import dev.pocketvl.bundle.Dimension
import dev.pocketvl.bundle.EntryPoint
import dev.pocketvl.bundle.TensorSpec
import java.io.File

/** Refuses an opened graph that takes or gives anything else than its entry point says, with a [BundleException]. */
internal fun checkSignature(file: File, entry: EntryPoint, session: OrtSession) {
    check(file, "input", entry.inputs, session.inputInfo)
    check(file, "output", entry.outputs, session.outputInfo)
}

private fun check(file: File, kind: String, specs: List<TensorSpec>, found: Map<String, NodeInfo>) {
    val unknown = found.keys - specs.map { it.name }.toSet()
    if (unknown.isNotEmpty()) throw unfit(file, "has the $kind '${unknown.sorted()[0]}', unknown to this pocketvl")
    for (spec in specs) {
        val given = found[spec.name] ?: throw unfit(file, "lacks the $kind '${spec.name}'")
        val info = given.info as? TensorInfo ?: throw unfit(file, "has the $kind '${spec.name}', which is no tensor")
        if (dtype(info.type) != spec.dtype || !fits(spec.shape, info.shape)) {
            throw unfit(
                file,
                "has the $kind '${spec.name}' as ${dtype(info.type)} ${info.shape.toList()}, but the manifest's" +
                    " geometry needs ${spec.dtype} ${spec.shape.map(::written)}",
            )
        }
    }
}

private fun dtype(type: OnnxJavaType): String =
    when (type) {
        OnnxJavaType.FLOAT -> "float32"
        OnnxJavaType.INT32 -> "int32"
        OnnxJavaType.INT64 -> "int64"
        else -> type.name
    }

/** Equal sizes where both are static; a dynamic one, which onnxruntime gives as -1, must be dynamic in the graph. */
private fun fits(shape: List<Dimension>, found: LongArray): Boolean =
    shape.size == found.size &&
        shape.indices.all { axis ->
            when (val size = shape[axis]) {
                is Dimension.Size -> found[axis] == size.value.toLong()
                is Dimension.Dynamic -> found[axis] < 0
            }
        }

private fun written(size: Dimension): Any =
    when (size) {
        is Dimension.Size -> size.value
        is Dimension.Dynamic -> size.name
    }

private fun unfit(file: File, what: String) = BundleException("$file $what; export the bundle again.")
