package dev.pocketvl.engines

import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File
import java.lang.reflect.Method
import java.lang.reflect.Modifier
import java.net.URLClassLoader
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The classes that stand in for ExecuTorch's here have the members of the real ones, as far as they have any. */
class ExecuTorchClassesTest {
    @Test
    fun `every public method is one of the real class`() {
        val jar = File(System.getProperty("pocketvl.tools").orEmpty(), "executorch/classes.jar")
        assumeTrue(jar.isFile, "the real classes are not there")
        URLClassLoader(arrayOf(jar.toURI().toURL()), null).use { real ->
            for (own in listOf(Module::class.java, Tensor::class.java, EValue::class.java, DType::class.java)) {
                assertTrue(own.protectionDomain.codeSource.location.path.contains("executorch-jvm"), "$own is the real one")
                val there = signatures(Class.forName(own.name, false, real))
                val missing = signatures(own) - there
                assertEquals(emptySet(), missing, "of $own")
            }
        }
    }

    private fun signatures(type: Class<*>): Set<String> =
        type.declaredMethods
            .filter { Modifier.isPublic(it.modifiers) && !it.isSynthetic && "getEntries" != it.name }
            .map(::signature)
            .toSet()

    private fun signature(method: Method): String {
        val static = if (Modifier.isStatic(method.modifiers)) "static " else ""
        val parameters = method.parameterTypes.joinToString { it.name }
        return "$static${method.returnType.name} ${method.name}($parameters)"
    }
}
