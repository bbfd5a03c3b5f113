package dev.pocketvl.text.tools

import dev.pocketvl.UsageException

/** What is done when a model calls a tool. */
fun interface ToolHandler {
    /**
     * [arguments] as JSON has them: `Map<String, Any?>`, `List<Any?>`, String, Long, Double, Boolean, null. Returns
     * text, an image, or anything that JSON can say.
     */
    fun call(arguments: Map<String, Any?>): Any?
}

/**
 * A named function that a model may call.
 *
 * [parameters]: a JSON schema of the type object, in Kotlin's maps and lists. [handler]: what calls it; null where
 * the app answers calls itself. Throws [UsageException] for a name or schema that cannot be used.
 */
class Tool
    @JvmOverloads
    constructor(
        val name: String,
        val description: String = "",
        val parameters: Map<String, Any?> = NO_PARAMETERS,
        val handler: ToolHandler? = null,
    ) {
        init {
            if (!isToolName(name)) {
                throw UsageException(
                    "A tool cannot have the name '$name'; use 1 to 64 letters, digits, _ or -, as OpenAI's API does.",
                )
            }
            checkParameters(parameters, "The parameters of the tool $name")
        }

        /** What the handler returns. Throws what it throws, and [UsageException] if there is none. */
        fun call(arguments: Map<String, Any?>): Any? {
            val handler =
                handler ?: throw UsageException(
                    "The tool $name was given as a schema, without a handler to call; give the handler.",
                )
            return handler.call(arguments)
        }

        /** By what the model is told; handlers have no equality. */
        override fun equals(other: Any?): Boolean =
            other is Tool && name == other.name && description == other.description && parameters == other.parameters

        override fun hashCode(): Int = name.hashCode()

        override fun toString(): String = "Tool($name)"
    }

/** A call that a model made; [id] is what the result's toolCallId must be, [raw] the arguments as it wrote them. */
sealed interface AnyToolCall {
    val id: String
    val name: String
    val raw: String
}

/** A call whose [arguments] fit the tool's schema. */
data class ToolCall(
    override val id: String,
    override val name: String,
    val arguments: Map<String, Any?>,
    override val raw: String,
) : AnyToolCall

/** A call that cannot be made. [name] and [raw] are as the model wrote them; [reason] is a sentence for it. */
data class InvalidToolCall(
    override val id: String,
    override val name: String,
    override val raw: String,
    val reason: String,
) : AnyToolCall

/**
 * The tools of one conversation. [parallel]: whether the model may make several calls at once.
 *
 * Throws [UsageException] for a name that two have.
 */
class ToolSet
    @JvmOverloads
    constructor(tools: List<Tool> = emptyList(), parallel: Boolean = false) {
        val tools: List<Tool> = tools.toList()
        val parallel: Boolean = parallel && tools.isNotEmpty()

        init {
            val twice =
                this.tools
                    .groupBy { it.name }
                    .entries
                    .firstOrNull { it.value.size > 1 }
            if (twice != null) throw UsageException("Two tools have the name '${twice.key}'; rename one of them.")
        }

        val isEmpty: Boolean get() = tools.isEmpty()

        val names: List<String> get() = tools.map { it.name }

        operator fun get(name: String): Tool? = tools.firstOrNull { it.name == name }

        override fun equals(other: Any?): Boolean =
            other is ToolSet && tools == other.tools && parallel == other.parallel

        override fun hashCode(): Int = tools.hashCode()
    }

/** A schema of no arguments. */
private val NO_PARAMETERS: Map<String, Any?> = mapOf("type" to "object", "properties" to emptyMap<String, Any?>())

private fun isToolName(name: String): Boolean =
    name.length in 1..64 && name.all { it in 'a'..'z' || it in 'A'..'Z' || it in '0'..'9' || it == '_' || it == '-' }
