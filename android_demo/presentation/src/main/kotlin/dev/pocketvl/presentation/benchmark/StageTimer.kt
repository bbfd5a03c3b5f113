package dev.pocketvl.presentation.benchmark

import dev.pocketvl.Engine
import dev.pocketvl.Matrix
import dev.pocketvl.UsageException
import dev.pocketvl.bundle.Manifest

/** What is being timed. */
enum class Stage { VISION, PREFILL, DECODE }

/** [done] of [total] runs of a stage. */
data class Step(val stage: Stage, val done: Int, val total: Int)

/**
 * Times the stages of an engine one by one, as `pocketvl bench` does. Numbers in the inputs make no difference to
 * speed, so that they are all alike. [nanos]: of a clock that never goes back.
 */
class StageTimer(private val manifest: Manifest, private val engine: Engine, private val nanos: () -> Long) {
    /**
     * Loads what is not loaded and holds the KV cache meanwhile, which conversations fill again. [onStep] is called
     * before each run and may throw to end it. Throws [UsageException] for settings that do not fit the bundle.
     */
    fun run(settings: BenchmarkSettings, onStep: (Step) -> Unit): Timings {
        val (repeats, prompt, tokens) = settings
        if (repeats < 1 || prompt < 1 || tokens < 1 || prompt + tokens > manifest.maxContext) {
            throw UsageException(
                "$repeats repeats, a prompt of $prompt and $tokens tokens cannot be timed; take at least one of each," +
                    " and no more tokens than the bundle's context of ${manifest.maxContext}.",
            )
        }
        val cache = engine.text.cache.claim()
        try {
            engine.close() // so that loading is timed, too
            val vision = vision(repeats, onStep)
            engine.vision.release()
            val prefill = prefill(repeats, prompt, onStep)
            val decode = decode(prompt, tokens, onStep)
            return Timings(
                visionLoad = vision.first,
                decoderLoad = prefill.first,
                vision = vision.second,
                prefill = PrefillTimes(prompt, prefill.second),
                decode = DecodeTimes(decode),
            )
        } finally {
            engine.text.cache.truncate(0)
            cache.close()
        }
    }

    private fun vision(repeats: Int, onStep: (Step) -> Unit): Pair<Double, List<VisionTimes>> {
        val geometry = manifest.geometry.vision
        val total = manifest.buckets.size * repeats + 1
        var done = 0
        var first = 0.0
        val times =
            manifest.buckets.mapIndexed { index, count ->
                val patches = filled(count, geometry.patchDim)
                val rope = filled(count, geometry.headDim)
                val run = {
                    onStep(Step(Stage.VISION, done++, total))
                    seconds { engine.vision.encode(patches, rope, rope) }
                }
                if (index == 0) first = run()
                VisionTimes(count, count / geometry.mergeArea, List(repeats) { run() })
            }
        return Pair(maxOf(0.0, first - times.first().best), times)
    }

    private fun prefill(repeats: Int, prompt: Int, onStep: (Step) -> Unit): Pair<Double, List<Double>> {
        val all =
            List(repeats + 1) { index ->
                onStep(Step(Stage.PREFILL, index, repeats + 1))
                seconds {
                    for (from in 0 until prompt step manifest.prefillChunk) {
                        feed(from, minOf(manifest.prefillChunk, prompt - from))
                    }
                }
            }
        return Pair(maxOf(0.0, all.first() - all.drop(1).min()), all.drop(1))
    }

    private fun decode(prompt: Int, tokens: Int, onStep: (Step) -> Unit): List<Double> {
        val logits = Matrix(1, manifest.geometry.text.vocabSize)
        engine.text.logits(filled(1, manifest.geometry.text.hiddenSize), logits) // loads the head where it is apart
        return List(tokens) { index ->
            onStep(Step(Stage.DECODE, index, tokens))
            seconds { engine.text.logits(feed(prompt + index, 1), logits) }
        }
    }

    /** The hidden states of [count] tokens at the slots from [position] on. */
    private fun feed(position: Int, count: Int): Matrix {
        val text = manifest.geometry.text
        val rope = filled(count, text.headDim)
        val hidden = Matrix(count, text.hiddenSize)
        engine.text.decode(filled(count, text.hiddenSize), rope, rope, position, hidden)
        return hidden
    }

    private fun filled(rows: Int, columns: Int) = Matrix(rows, columns).apply { values.fill(VALUE) }

    private inline fun seconds(run: () -> Unit): Double {
        val began = nanos()
        run()
        return (nanos() - began) / 1e9
    }

    private companion object {
        const val VALUE = 0.5f // neither zero nor so small that processors slow down
    }
}
