@file:JvmName("DamagedBytes")

package dev.pocketvl.engines

import dev.pocketvl.Engine
import dev.pocketvl.PocketVLException
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import java.io.File
import java.io.RandomAccessFile
import kotlin.random.Random

internal const val BEGUN = "begun "
internal const val DONE = "done "
internal const val UNTYPED = "untyped error"

/** DamagedBytes BUNDLE FIRST UNTIL: does so many damages one after another and says what became of each. */
fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val bundle = openBundle(folder, Verify.NEVER)
    val graphs =
        bundle.manifest.entryPoints
            .map { bundle.file(it.file) }
            .distinct()
    val weights = graphs[0].parentFile.listFiles()!!.filter { it.extension == "onnx_data" && "embed" !in it.name }
    val files = graphs + weights.sorted()
    val expected = answer(bundle)
    for (number in arguments[1].toInt() until arguments[2].toInt()) {
        val random = Random(number)
        val file = files.random(random)
        val bytes = damaged(random, file)
        println("$BEGUN$number")
        val before = exchanged(file, bytes)
        val outcome =
            try {
                if (answer(bundle).contentEquals(expected)) "the same numbers" else "other numbers"
            } catch (failure: PocketVLException) {
                if (file.name in failure.message!!) "sentence that names the file" else "sentence"
            } catch (failure: Throwable) {
                "$UNTYPED\t$failure"
            }
        exchanged(file, before)
        println("$DONE$number\t$outcome\t")
    }
}

/** A place, and what stands there afterwards: a bit, a run of random bytes or a block of zeros. */
private fun damaged(random: Random, file: File): Pair<Long, ByteArray> {
    val at = random.nextLong(file.length())
    val most = minOf(file.length() - at, 512).toInt()
    val bytes =
        when (random.nextInt(3)) {
            0 -> {
                RandomAccessFile(file, "r").use {
                    it.seek(at)
                    byteArrayOf((it.read() xor (1 shl random.nextInt(8))).toByte())
                }
            }

            1 -> {
                random.nextBytes(random.nextInt(1, most + 1))
            }

            else -> {
                ByteArray(most)
            }
        }
    return at to bytes
}

/** Writes bytes at a place; what stood there. */
private fun exchanged(file: File, piece: Pair<Long, ByteArray>): Pair<Long, ByteArray> =
    RandomAccessFile(file, "rw").use {
        val before = ByteArray(piece.second.size)
        it.seek(piece.first)
        it.readFully(before)
        it.seek(piece.first)
        it.write(piece.second)
        piece.first to before
    }

private fun answer(bundle: Bundle): FloatArray {
    val engine: Engine = Engines.forTarget(bundle, 1)
    try {
        val hidden = engine.step(bundle, 2, 0)
        return engine.see(bundle, 16).values + hidden.values + engine.head(bundle, hidden).values
    } finally {
        engine.close()
    }
}
