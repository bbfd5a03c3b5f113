package dev.pocketvl.engines.onnx

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import dev.pocketvl.EngineException
import java.io.File

/** onnxruntime, its sessions, and its errors as sentences. [threads] null: its own choice. */
internal class Runtime(private val threads: Int?) {
    val environment: OrtEnvironment = OrtEnvironment.getEnvironment().also { it.setTelemetry(false) }

    /**
     * A session over a model file. onnxruntime itself refuses data files that are missing, too short or outside of
     * the model's folder.
     */
    fun open(file: File): OrtSession =
        try {
            options().use { environment.createSession(file.path, it) }
        } catch (failure: OrtException) {
            val newer = NEWER.find(failure.message.orEmpty())
            throw EngineException(if (newer == null) unreadable(file, failure) else tooNew(file, newer), failure)
        }

    private fun unreadable(file: File, failure: OrtException): String =
        "onnxruntime ${environment.version} cannot load $file: ${reason(failure)}. Copy the whole bundle again or" +
            " export it again."

    private fun tooNew(file: File, newer: MatchResult): String {
        val (irVersion, opset, domain) = newer.destructured
        val written = if (irVersion.isEmpty()) "opset $opset of $domain" else "IR version $irVersion"
        return "$file is written in $written, which onnxruntime ${environment.version} does not know; take a newer" +
            " one into the app, or export the bundle again."
    }

    private fun options(): OrtSession.SessionOptions {
        val options = OrtSession.SessionOptions()
        options.setIntraOpNumThreads(threads ?: 0)
        options.setInterOpNumThreads(1)
        options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL)
        options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT)
        options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL) // errors come as exceptions, too
        // An arena keeps the activations of the longest call for good, a pattern allocates those of a whole call at
        // once: 0.1 GB more for 256 tokens of the 2B model, and no faster.
        options.setCPUArenaAllocator(false)
        options.setMemoryPatternOptimization(false)
        // Threads that sleep between operators take 4 % longer per token; threads that spin for longer than this
        // take half of the speed where another process wants the core.
        options.addConfigEntry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        return options
    }

    companion object {
        private const val SPIN_MICROSECONDS = "10"

        /** What it says of a model of a version that it does not know. */
        private val NEWER =
            Regex(
                "Unsupported model IR version: (\\d+)|Opset (\\d+) is under development.*support for domain (\\S+) is",
                RegexOption.DOT_MATCHES_ALL,
            )
        private val PREFIX = Regex("^Error code - \\w+ - message: ")
        private val SPACE = Regex("\\s+")

        /** What onnxruntime says, on one line and without a full stop. */
        fun reason(failure: Exception): String =
            failure.message
                .orEmpty()
                .replace(PREFIX, "")
                .replace(SPACE, " ")
                .trim()
                .trimEnd('.')
    }
}
