package dev.pocketvl.engines

import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.pytorch.executorch.Module
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import java.util.spi.ToolProvider
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The classes that stand in for ExecuTorch's here have the members of the real ones, as far as they have any. */
class ExecuTorchClassesTest {
    @Test
    fun `every public member is one of the real class`() {
        val real = File(System.getProperty("pocketvl.tools").orEmpty(), "executorch/classes.jar")
        val javap = ToolProvider.findFirst("javap")
        assumeTrue(real.isFile && javap.isPresent, "the real classes or javap are not there")
        val own =
            File(
                Module::class.java.protectionDomain.codeSource.location
                    .toURI(),
            )
        assertTrue(own != real)
        for (name in listOf("Module", "Tensor", "EValue", "DType")) {
            val members = members(javap.get(), own, name)
            assertTrue(members.size >= 3, "$name has $members")
            assertEquals(emptySet(), members - members(javap.get(), real, name), "of $name")
        }
    }

    private fun members(javap: ToolProvider, classes: File, name: String): Set<String> {
        val out = ByteArrayOutputStream()
        val stream = PrintStream(out)
        assertEquals(0, javap.run(stream, stream, "-public", "-cp", classes.path, "org.pytorch.executorch.$name"))
        return out
            .toString()
            .lines()
            .filter { it.startsWith("  ") }
            .map { it.trim().replace(Regex("\\b(final|synchronized) "), "") }
            .filterNot { "Companion" in it || "kotlin." in it || "$" in it } // what Kotlin adds
            .toSet()
    }
}
