package dev.pocketvl

/**
 * Base of every exception that pocketvl throws on purpose. The message is a full sentence that a user can act on.
 *
 *     PocketVLException
 *     ├── UsageException               an option, argument or state that cannot be meant
 *     ├── BundleException              the folder is not a sound bundle
 *     │   └── ManifestException        its manifest.json is wrong
 *     ├── ImageException               an image cannot be used
 *     │   └── VideoException           a video, or a frame of it
 *     ├── PromptException              messages or template cannot be rendered
 *     │   └── ContextException         the prompt does not fit into the context
 *     ├── ConversationException        a saved conversation cannot be read, or belongs to another bundle
 *     └── EngineException              a native runtime refused an artifact or an input
 */
open class PocketVLException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** An option, argument or state that cannot be meant. */
class UsageException(message: String) : PocketVLException(message)

/** A folder that is not a sound bundle. */
open class BundleException(message: String, cause: Throwable? = null) : PocketVLException(message, cause)

/** A manifest.json that cannot be read or says impossible things. */
class ManifestException(message: String, cause: Throwable? = null) : BundleException(message, cause)

/** An image that cannot be decoded or that the model cannot take. */
open class ImageException(message: String, cause: Throwable? = null) : PocketVLException(message, cause)

/** A video that cannot be read, or of which the wanted frames cannot be taken. */
class VideoException(message: String, cause: Throwable? = null) : ImageException(message, cause)

/** Messages or a chat template that cannot be rendered. */
open class PromptException(message: String, cause: Throwable? = null) : PocketVLException(message, cause)

/** A prompt or answer that does not fit into the context. */
class ContextException(message: String) : PromptException(message)

/** A saved conversation that cannot be read, or that belongs to another bundle. */
class ConversationException(message: String, cause: Throwable? = null) : PocketVLException(message, cause)

/** A native runtime that refused an artifact or an input. */
class EngineException(message: String, cause: Throwable? = null) : PocketVLException(message, cause)
