@file:JvmName("Bench")

package dev.pocketvl.bench

import com.sun.management.ThreadMXBean
import dev.pocketvl.Engine
import dev.pocketvl.LoadOptions
import dev.pocketvl.Matrix
import dev.pocketvl.PocketVL
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Sampling
import dev.pocketvl.decoding.EmbeddingMap
import dev.pocketvl.engines.Engines
import dev.pocketvl.json.Json
import dev.pocketvl.media.RgbImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.TextPart
import dev.pocketvl.textRope
import java.io.File
import java.lang.management.ManagementFactory

/**
 * Speed and memory of a bundle on the JVM, as `pocketvl bench` measures them in Python. Prints JSON: seconds, tokens per
 * second, bytes.
 *
 *     Bench BUNDLE [THREADS [IMAGE.rgb WIDTH HEIGHT [TOKENS]]]
 *
 * IMAGE.rgb holds raw RGB; without it, a gradient of 448 x 448. TOKENS: of the answer, 64.
 */
fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val threads = arguments.getOrNull(1)?.toInt() ?: Runtime.getRuntime().availableProcessors()
    val tokens = arguments.getOrNull(5)?.toInt() ?: 64
    // The question first, since memory is that of a process that does nothing else.
    val measured = question(folder, threads, image(arguments.drop(2)), tokens) + stages(folder, threads)
    println(Json.write(measured))
}

private fun image(arguments: List<String>): RgbImage {
    if (arguments.size >= 3) return RgbImage(arguments[1].toInt(), arguments[2].toInt(), File(arguments[0]).readBytes())
    val side = 448
    val pixels = ByteArray(side * side * 3) { ((it / 3 % side + it / 3 / side * (it % 3)) / 2).toByte() }
    return RgbImage(side, side, pixels)
}

private fun question(folder: File, threads: Int, image: RgbImage, tokens: Int): Map<String, Any?> {
    val (loaded, model) = timed { PocketVL.load(folder, Engines.forTarget, LoadOptions(threads = threads)) }
    return model.use {
        val parts = listOf(ImagePart(image), TextPart("What is this?"))
        val options = AskOptions(maxTokens = tokens, sampling = Sampling.GREEDY)
        val (seconds, answer) = timed { model.chat(ChatOptions()).askBlocking(parts, options) }
        mapOf(
            "threads" to threads,
            "load_seconds" to loaded,
            "question_seconds" to seconds,
            "time_to_first_token" to answer.statistics.timeToFirstToken,
            "vision_seconds" to answer.statistics.visionSeconds,
            "prompt_tokens" to answer.promptTokenIds.size,
            "answer_decode_rate" to answer.statistics.decodeRate,
            "tokens" to answer.tokenIds,
            "text" to answer.text,
            "peak_rss" to peakMemory(),
        )
    }
}

/** Two chunks of prefill, the best of three, and the median of 64 steps behind them. */
private fun stages(folder: File, threads: Int): Map<String, Any?> {
    val bundle = openBundle(folder, Verify.NEVER)
    val engine = Engines.forTarget(bundle, threads)
    val steps = Steps(bundle, engine)
    steps.decode(0, 1)
    val chunk = bundle.manifest.prefillChunk
    val chunks = minOf(2, (bundle.manifest.maxContext - 1) / chunk).coerceAtLeast(1)
    val prefill = List(3) { timed { repeat(chunks) { steps.decode(it * chunk, chunk) } }.first }.min()
    val single =
        (chunks * chunk until minOf(chunks * chunk + 64, bundle.manifest.maxContext))
            .map { slot -> timed { steps.decode(slot, 1) }.first }
            .sorted()
    engine.close()
    return mapOf(
        "prefill_rate" to chunks * chunk / prefill,
        "decode_rate" to 1 / single[single.size / 2],
        "decode_rate_best" to 1 / single[0],
        "decode_allocated_bytes" to steps.allocated,
    )
}

/** Decoder and, for single tokens, the head, over any tokens: no stage looks at values. */
private class Steps(bundle: Bundle, private val engine: Engine) {
    private val text = bundle.manifest.geometry.text
    private val table = bundle.manifest.tokenEmbedding.let { EmbeddingMap(bundle.file(it.file), it) }
    private val ids = IntArray(bundle.manifest.maxContext) { (it * 7919) % text.vocabSize }
    private val logits = Matrix(1, text.vocabSize)

    /** Bytes of the Java heap that the engine took for the last step of one token. */
    var allocated = 0L
        private set

    fun decode(slot: Int, count: Int) {
        val embeddings = Matrix(count, text.hiddenSize)
        table.gather(ids, slot, slot + count, embeddings)
        val positions = Array(3) { IntArray(count) { slot + it } }
        val rope = textRope(positions, text)
        val hidden = Matrix(count, text.hiddenSize)
        val before = allocatedBytes()
        engine.text.decode(embeddings, rope.cos, rope.sin, slot, hidden)
        if (count == 1) engine.text.logits(hidden, logits)
        allocated = allocatedBytes() - before
    }
}

private fun <T> timed(action: () -> T): Pair<Double, T> {
    val began = System.nanoTime()
    val result = action()
    return (System.nanoTime() - began) / 1e9 to result
}

private fun allocatedBytes(): Long =
    (ManagementFactory.getThreadMXBean() as ThreadMXBean).getThreadAllocatedBytes(Thread.currentThread().id)

private fun peakMemory(): Long =
    File("/proc/self/status")
        .readLines()
        .first { it.startsWith("VmHWM") }
        .filter { it.isDigit() }
        .toLong() * 1024
