package dev.pocketvl.engines

import org.junit.jupiter.api.Tag
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.io.File
import java.util.concurrent.TimeUnit
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/**
 * Bytes changed at random in files that nobody hashed, each in a process that may end. Native runtimes do not stand
 * this, which is why bundles are hashed; what a test can ask is that what they refuse arrives as a typed error. Prints
 * how many ended how.
 */
@Tag("slow")
class DamagedBytesTest {
    @TempDir
    lateinit var scratch: File
    private val damages = (System.getProperty("pocketvl.damages") ?: "100").toInt()

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `damaged bytes end in a typed error, in an answer or in the end of the process`(name: String) {
        val whole = EngineCases.folder(name)
        val copy = File(scratch, name)
        whole.copyRecursively(copy)
        val outcomes = sortedMapOf<String, Int>()
        val surprises = ArrayList<String>()
        var next = 0
        while (next < damages) {
            val lines = child(copy, next)
            for (line in lines.filter { it.startsWith(DONE) }) {
                val (number, outcome, said) = line.removePrefix(DONE).split('\t', limit = 3)
                outcomes.merge(outcome, 1, Int::plus)
                if (outcome == UNTYPED) surprises += "damage $number: $said"
                next = number.toInt() + 1
            }
            if (next < damages) { // it did not come to the end
                assertTrue(lines.any { it == "$BEGUN$next" }, "the child failed by itself: $lines")
                outcomes.merge("end of the process", 1, Int::plus)
                next++
                whole.copyRecursively(copy, overwrite = true)
            }
        }
        println("$name: $outcomes")
        assertEquals(emptyList(), surprises)
        assertEquals(damages, outcomes.values.sum())
    }

    /** What a process says that does the damages from [first] on, and ends with one of them at the latest. */
    private fun child(folder: File, first: Int): List<String> {
        val properties =
            System.getProperties().stringPropertyNames().filter {
                it.startsWith("pocketvl.") || it.startsWith("onnxruntime.") || it.startsWith("jna.")
            }
        val command =
            listOf("${System.getProperty("java.home")}/bin/java", "-Xmx256m", "-XX:+UseSerialGC") +
                listOf("-XX:TieredStopAtLevel=1", "-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=$scratch/crash") +
                properties.map { "-D$it=${System.getProperty(it)}" } +
                listOf("-cp", System.getProperty("java.class.path"), "dev.pocketvl.engines.DamagedBytes") +
                listOf(folder.path, "$first", "$damages")
        val said = File(scratch, "said")
        val process = ProcessBuilder(command).redirectErrorStream(true).redirectOutput(said).start()
        if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) process.destroyForcibly().waitFor()
        return said.readLines()
    }

    private companion object {
        const val PATIENCE_SECONDS = 300L
    }
}
