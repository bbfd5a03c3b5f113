package dev.pocketvl.presentation.benchmark

import dev.pocketvl.bundle.Manifest
import dev.pocketvl.json.Json
import dev.pocketvl.presentation.platform.Device
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Thermal

/** The phone before or after. */
data class Reading(val memory: Memory, val thermal: Thermal)

/**
 * One run of the benchmark, as it is shared: what was timed, of which bundle, on which kind of phone. It says
 * nothing of the user: no name, place, account or number of the device.
 *
 * The JSON, version 1: `schema` "pocketvl-benchmark", `version`, `device` {manufacturer, model, processor, cores,
 * api_level, abi, memory_bytes}, `bundle` {target, recipe, quantization_method, pocketvl, bytes}, `settings`
 * {repeats, prefill_tokens, decode_tokens, threads or null}, `load_seconds` {vision, decoder}, `vision` [{patches,
 * tokens, seconds []}], `prefill` {tokens, seconds [], tokens_per_second}, `decode` {seconds [],
 * tokens_per_second}, `before` and `after` {process_bytes, available_bytes, thermal_status, headroom or null,
 * battery_celsius or null}. Rates are those of the best run of the prompt and of the median token.
 */
data class BenchmarkReport(
    val device: Device,
    val manifest: Manifest,
    val settings: BenchmarkSettings,
    val threads: Int?,
    val timings: Timings,
    val before: Reading,
    val after: Reading,
) {
    fun json(): String = Json.write(document())

    private fun document(): Map<String, Any?> =
        mapOf(
            "schema" to "pocketvl-benchmark",
            "version" to 1,
            "device" to device(),
            "bundle" to
                mapOf(
                    "target" to manifest.target,
                    "recipe" to manifest.recipe,
                    "quantization_method" to manifest.quantizationMethod,
                    "pocketvl" to manifest.provenance.pocketvl,
                    "bytes" to manifest.files.sumOf { it.size },
                ),
            "settings" to
                mapOf(
                    "repeats" to settings.repeats,
                    "prefill_tokens" to settings.prefillTokens,
                    "decode_tokens" to settings.decodeTokens,
                    "threads" to threads,
                ),
            "load_seconds" to mapOf("vision" to timings.visionLoad, "decoder" to timings.decoderLoad),
            "vision" to
                timings.vision.map { mapOf("patches" to it.patches, "tokens" to it.tokens, "seconds" to it.seconds) },
            "prefill" to
                mapOf(
                    "tokens" to timings.prefill.tokens,
                    "seconds" to timings.prefill.seconds,
                    "tokens_per_second" to timings.prefill.rate,
                ),
            "decode" to
                mapOf("seconds" to timings.decode.seconds, "tokens_per_second" to timings.decode.rate),
            "before" to reading(before),
            "after" to reading(after),
        )

    private fun device() =
        mapOf(
            "manufacturer" to device.manufacturer,
            "model" to device.model,
            "processor" to device.processor,
            "cores" to device.cores,
            "api_level" to device.apiLevel,
            "abi" to device.abi,
            "memory_bytes" to device.memory,
        )

    private fun reading(reading: Reading) =
        mapOf(
            "process_bytes" to reading.memory.process,
            "available_bytes" to reading.memory.available,
            "thermal_status" to
                reading.thermal.status.name
                    .lowercase(),
            "headroom" to
                reading.thermal.headroom
                    ?.takeIf { it.isFinite() }
                    ?.toDouble(),
            "battery_celsius" to
                reading.thermal.celsius
                    ?.takeIf { it.isFinite() }
                    ?.toDouble(),
        )
}
