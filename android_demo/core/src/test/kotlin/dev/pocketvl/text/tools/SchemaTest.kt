package dev.pocketvl.text.tools

import dev.pocketvl.UsageException
import dev.pocketvl.json.Json
import dev.pocketvl.members
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class SchemaTest {
    private fun schema(text: String): Map<String, Any?> = Json.parse(text).members()

    private fun misfit(arguments: String, parameters: String): String? {
        Tool("a", "", schema(parameters))
        return misfit(schema(arguments), schema(parameters))
    }

    @Test
    fun `arguments that fit`() {
        val parameters =
            """{"type": "object", "required": ["x"], "properties": {"x": {"type": ["integer", "null"]},
            "way": {"enum": ["up", 1]}, "path": {"type": "array", "items": {"type": "number"}}, "any": true}}"""
        for (arguments in listOf("""{"x": 1}""", """{"x": 3.0}""", """{"x": null, "way": "up", "path": [1, 2.5]}""")) {
            assertNull(misfit(arguments, parameters), arguments)
        }
        assertNull(misfit("""{"x": 1, "any": {"y": [{}]}, "way": 1}""", parameters))
        assertNull(misfit("""{"y": 1}""", """{"type": "object", "additionalProperties": {"type": "integer"}}"""))
    }

    @Test
    fun `what does not fit is said in Python's words`() {
        val parameters =
            """{"type": "object", "required": ["x"], "properties": {"x": {"type": ["integer", "null"]},
            "way": {"enum": ["up", 1]}, "path": {"type": "array", "items": {"type": "number"}}, "no": false}}"""
        val reasons =
            mapOf(
                "{}" to "x is missing",
                """{"x": 1.5}""" to "x must be integer or null, not number",
                """{"x": true}""" to "x must be integer or null, not boolean",
                """{"x": 1, "way": true}""" to """way must be one of ["up", 1]""",
                """{"x": 1, "way": 1.0}""" to """way must be one of ["up", 1]""",
                """{"x": 1, "path": [1, "2"]}""" to "path[1] must be number, not string",
                """{"x": 1, "no": 0}""" to "no is not allowed",
                """{"x": 1, "y": 0}""" to "y is unknown; known are x, way, path, no",
            )
        for ((arguments, reason) in reasons) assertEquals(reason, misfit(arguments, parameters))
        assertEquals("a is unknown; known are none", misfit("""{"a": 1}""", """{"type": "object"}"""))
    }

    @Test
    fun `schemas that cannot be meant are refused`() {
        val odd =
            listOf(
                "{}",
                """{"type": "array"}""",
                """{"type": "object", "properties": []}""",
                """{"type": "object", "properties": {"x": 1}}""",
                """{"type": "object", "properties": {"x": {"type": "int"}}}""",
                """{"type": "object", "properties": {"x": {"type": null}}}""",
                """{"type": "object", "required": ["x"]}""",
                """{"type": "object", "required": "x"}""",
                """{"type": "object", "properties": {"x": {"enum": 1}}}""",
                """{"type": "object", "properties": {"x": {"items": 5}}}""",
                """{"type": "object", "additionalProperties": null}""",
            )
        for (text in odd) assertFailsWith<UsageException>(text) { Tool("a", "", schema(text)) }
        var deep: Map<String, Any?> = mapOf("type" to "object")
        repeat(40) { deep = mapOf("type" to "object", "properties" to mapOf("x" to deep)) }
        assertFailsWith<UsageException> { Tool("a", "", deep) }
        assertFailsWith<UsageException> { Tool("a", "", mapOf("type" to "object", "default" to Double.NaN)) }
        assertFailsWith<UsageException> { Tool("a", "", mapOf("type" to "object", "default" to Any())) }
        val endless = HashMap<String, Any?>(mapOf("type" to "object"))
        endless["default"] = endless
        assertFailsWith<UsageException> { Tool("a", "", endless) }
    }

    @Test
    fun `names as in OpenAI's API`() {
        for (name in listOf("", "a b", "é", "a".repeat(65), "a.b")) {
            assertFailsWith<UsageException>(name) { Tool(name) }
        }
        assertFailsWith<UsageException> { ToolSet(listOf(Tool("a"), Tool("b"), Tool("a"))) }
        assertFailsWith<UsageException> { Tool("a").call(emptyMap()) }
        assertEquals(5, Tool("a", handler = { it["x"] }).call(mapOf("x" to 5)))
        assertEquals(ToolSet(listOf(Tool("a"))), ToolSet(listOf(Tool("a"))))
    }

    @Test
    fun `JSON is written as Python writes it`() {
        val value = mapOf("a" to listOf(1, 2.5, null, true), "é\n\u0001" to mapOf("x" to "\"\\/\u007f\u2028"))
        assertEquals(
            "{\"a\": [1, 2.5, null, true], \"é\\n\\u0001\": {\"x\": \"\\\"\\\\/\u007f\u2028\"}}",
            writeJson(value),
        )
        val numbers =
            mapOf(
                0.0 to "0.0",
                -0.0 to "-0.0",
                1.0 to "1.0",
                0.1 to "0.1",
                1e-4 to "0.0001",
                1e-5 to "1e-05",
                1.5e-7 to "1.5e-07",
                1e15 to "1000000000000000.0",
                1e16 to "1e+16",
                1.25e22 to "1.25e+22",
                123456.789 to "123456.789",
                -2.0e-3 to "-0.002",
                5e-324 to "5e-324",
                2e23 to "2e+23",
                1.7976931348623157e308 to "1.7976931348623157e+308",
                100.0 to "100.0",
                0.30000000000000004 to "0.30000000000000004",
            )
        for ((number, written) in numbers) assertEquals(written, shortest(number))
    }
}
