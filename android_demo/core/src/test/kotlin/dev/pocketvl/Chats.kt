package dev.pocketvl

import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.EmbeddingTable
import dev.pocketvl.bundle.FileRecord
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.LayerGroup
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.ModelGeometry
import dev.pocketvl.bundle.Provenance
import dev.pocketvl.bundle.SamplingDefaults
import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.bundle.VisionGeometry
import dev.pocketvl.bundle.pteDecoder
import dev.pocketvl.bundle.pteHead
import dev.pocketvl.bundle.pteVision
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.Sampling
import dev.pocketvl.media.RgbImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Part
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.security.MessageDigest
import kotlin.random.Random

/** A sound bundle with the tiny checkpoint's tokenizer and template, whose graphs are empty: for a [FakeEngine]. */
class Chats
    @JvmOverloads
    constructor(
        val maxContext: Int = 320,
        val prefillChunk: Int = 32,
        val seed: Long = 1,
        val folder: File = Files.createTempDirectory("bundle").toFile().apply { deleteOnExit() },
    ) {
        val manifest: Manifest
        val fake: FakeEngine

        init {
            val checkpoint = File(System.getProperty("pocketvl.golden"), "../../export/pocketvl/export/tiny/checkpoint")
            for (name in listOf(Names.TOKENIZER_FILE, Names.CHAT_TEMPLATE_FILE)) {
                File(checkpoint, name).copyTo(File(folder, name), overwrite = true)
            }
            val random = Random(7)
            val table = ByteBuffer.allocate(4 * ROWS * FakeEngine.HIDDEN).order(ByteOrder.LITTLE_ENDIAN)
            while (table.hasRemaining()) table.putFloat(random.nextFloat())
            File(folder, DECODER).writeBytes(table.array())
            File(folder, VISION).writeBytes(ByteArray(8))
            val tokenizer = Tokenizer(File(folder, Names.TOKENIZER_FILE))

            fun id(name: String) = checkNotNull(tokenizer.tokenId("<|$name|>"))
            val vision = VisionGeometry(1, 16, 16, 2, 3, 14, 2, 2, FakeEngine.HIDDEN, 1e-6)
            val text =
                TextGeometry(1, FakeEngine.HIDDEN, 16, 2, 1, 8, ROWS, 10000.0, 1e-6, listOf(2, 1, 1), 4096, true)
            manifest =
                Manifest(
                    schemaVersion = Names.SCHEMA_VERSION,
                    target = Names.EXECUTORCH,
                    recipe = "fp32",
                    quantizationMethod = "none",
                    geometry = ModelGeometry(vision, text),
                    specialTokens =
                        SpecialTokens(
                            id("image_pad"),
                            id("video_pad"),
                            id("vision_start"),
                            id("vision_end"),
                            listOf(id("im_end"), id("endoftext")),
                            id("im_end"),
                        ),
                    image = ImageSettings(3136, 12845056, listOf(0.5, 0.5, 0.5), listOf(0.5, 0.5, 0.5)),
                    buckets = listOf(16, 64),
                    maxContext = maxContext,
                    prefillChunk = prefillChunk,
                    chat = true,
                    sampling = SamplingDefaults(0.0, 0, 1.0, 1.0),
                    entryPoints = listOf(pteVision(vision, null), pteDecoder(text), pteHead(text)),
                    tokenEmbedding =
                        EmbeddingTable(DECODER, ROWS, FakeEngine.HIDDEN, "float32", 0, null, null, null),
                    layers = listOf(LayerGroup(Names.LM_HEAD, 32, null, 1, 16, 64)),
                    files =
                        folder.listFiles()!!.sortedBy { it.name }.map {
                            FileRecord(
                                it.name,
                                it.length(),
                                sha256(it),
                            )
                        },
                    optionalFiles = emptyList(),
                    provenance = Provenance("small", "0".repeat(64), null, null, "0", emptyMap(), "by hand", null),
                )
            fake = engine()
        }

        /** Another engine that computes the same. */
        fun engine() = FakeEngine(ROWS, FIRST_SPECIAL, maxContext, seed).apply { eos = manifest.specialTokens.eos[0] }

        val bundle = Bundle(folder, manifest)

        fun model(engine: FakeEngine = fake) = Model(bundle, engine.engine)

        private fun sha256(file: File): String =
            MessageDigest.getInstance("SHA-256").digest(file.readBytes()).joinToString("") { "%02x".format(it) }

        companion object {
            const val ROWS = 1024
            private const val FIRST_SPECIAL = 1010
            private const val DECODER = Names.TEXT_DECODER_PTE
            private const val VISION = Names.VISION_ENCODER_PTE
        }
    }

/** So many tokens, drawn as the fake engine wants. */
fun tokens(count: Int) = AskOptions(maxTokens = count, sampling = Sampling.GREEDY)

fun image(seed: Int, width: Int = 84, height: Int = 84) =
    RgbImage(width, height, Random(seed).nextBytes(3 * width * height))

fun about(seed: Int, text: String = "What?"): List<Part> = listOf(ImagePart(image(seed)), TextPart(text))
