package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.int
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.members
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.math.BigInteger
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertTrue

/** Damaged manifests end in a BundleException or open; -Dpocketvl.fuzz=100000 for many of them. */
class ManifestFuzzTest {
    @TempDir
    lateinit var folder: File

    private val rounds = Integer.getInteger("pocketvl.fuzz", 1000)

    @Test
    fun `bytes that were damaged`() =
        fuzz {
            random,
            target,
            ->
            damaged(random, Json.write(goldenJson(target)).toByteArray())
        }

    @Test
    fun `values that were changed`() =
        fuzz { random, target ->
            val value = goldenJson(target)
            repeat(1 + random.nextInt(3)) { change(random, value) }
            Json.write(value).toByteArray()
        }

    private fun fuzz(make: (Random, String) -> ByteArray) {
        var opened = 0
        var refused = 0
        for (target in listOf("executorch", "onnx")) {
            val bundle = folder.resolve(target)
            writeFiles(bundle, goldenJson(target))
            val manifest = bundle.resolve("manifest.json")
            for (round in 0 until rounds / 2) {
                val bytes = make(Random(round), target)
                manifest.writeBytes(bytes)
                try {
                    openBundle(bundle, Verify.NEVER)
                    opened++
                } catch (error: BundleException) {
                    assertTrue(error.message!!.endsWith("."), error.message)
                    refused++
                } catch (error: Throwable) {
                    throw AssertionError("round $round of $target: ${String(bytes)}", error)
                }
            }
        }
        println("${javaClass.simpleName}: $opened opened, $refused refused")
        assertTrue(opened > rounds / 100 && refused > rounds / 2)
    }

    private fun damaged(random: Random, bytes: ByteArray): ByteArray {
        var damaged = bytes
        repeat(1 + random.nextInt(3)) {
            val at = random.nextInt(damaged.size)
            val end = minOf(damaged.size, at + 1 + random.nextInt(if (random.nextInt(8) == 0) 400 else 4))
            damaged =
                when (random.nextInt(5)) {
                    0 -> {
                        damaged.copyOf().also { it[at] = (it[at].toInt() xor (1 shl random.nextInt(8))).toByte() }
                    }

                    1 -> {
                        damaged.copyOf(at) + damaged.copyOfRange(end, damaged.size)
                    }

                    2 -> {
                        damaged.copyOf(end) + damaged.copyOfRange(at, damaged.size)
                    }

                    3 -> {
                        damaged.copyOf().also {
                            it[at] =
                                "0123456789-+.eE\"{}[]:,\\u\u0000"[random.nextInt(25)].code.toByte()
                        }
                    }

                    else -> {
                        damaged.copyOf(at) + random.nextBytes(end - at) + damaged.copyOfRange(at, damaged.size)
                    }
                }
            if (damaged.isEmpty()) return damaged
        }
        return damaged
    }

    private fun change(random: Random, value: Map<String, Any?>) {
        val paths = ArrayList<List<Any?>>().also { collect(value, emptyList(), it) }
        if (paths.isEmpty()) return
        val path = paths.random(random)
        when (random.nextInt(6)) {
            0 -> {
                remove(value, path)
            }

            1 -> {
                put(value, path, copied(at(value, paths.random(random))))
            }

            2 -> {
                (ownerOf(value, path) as? MutableMap<*, *>)?.let {
                    (it.members() as MutableMap<String, Any?>)["new"] =
                        1
                }
            }

            3 -> {
                (
                    at(
                        value,
                        path,
                    ) as? MutableList<*>
                )?.listOf<Any?>()?.let { (it as MutableList<Any?>).addAll(copied(it).listOf()) }
            }

            else -> {
                put(value, path, ODD.random(random)(random))
            }
        }
    }

    private fun collect(value: Any?, path: List<Any?>, into: MutableList<List<Any?>>) {
        val members = if (value is Map<*, *>) value.entries.map { it.key to it.value } else emptyList()
        val items = if (value is List<*>) value.mapIndexed { index, item -> index to item } else emptyList()
        for ((step, item) in members + items) {
            into.add(path + step)
            collect(item, path + step, into)
        }
    }

    private fun at(value: Any?, path: List<Any?>): Any? =
        path.fold(value) { inner, step -> if (inner is List<*>) inner[step.int()] else inner.members()[step] }

    private companion object {
        val ODD =
            listOf<(Random) -> Any?>(
                { it.nextLong() },
                { it.nextInt().toLong() },
                { it.nextInt(-4, 70).toLong() },
                { 1L shl it.nextInt(64) },
                { (1L shl it.nextInt(64)) - 1 },
                { BigInteger.ONE.shiftLeft(it.nextInt(2000)).negate() },
                { Double.fromBits(it.nextLong()).takeIf { number -> number.isFinite() } },
                { it.nextBoolean() },
                { null },
                { "" },
                { String(CharArray(it.nextInt(20)) { _ -> it.nextInt(32, 0xD800).toChar() }) },
                { "vision_encoder" },
                { emptyList<Any?>() },
                { emptyMap<String, Any?>() },
                { List(3) { 1L } },
            )
    }
}
