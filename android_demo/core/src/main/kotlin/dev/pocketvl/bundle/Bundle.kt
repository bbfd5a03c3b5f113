package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.ManifestException
import dev.pocketvl.Names
import java.io.File

/**
 * An opened bundle: every file listed in its manifest is there and, unless it was opened with [Verify.NEVER], has the
 * bytes for which the manifest was written.
 */
class Bundle internal constructor(val folder: File, val manifest: Manifest) {
    /** Where a file of the manifest, or a folder of its files, is. Throws [BundleException] for another. */
    fun file(path: String): File {
        if (manifest.files.none { it.path == path || it.path.startsWith("$path/") }) {
            throw BundleException("$folder has no file $path in its manifest.")
        }
        return File(folder, path)
    }
}

/**
 * Reads the manifest and checks that the files, ids, sizes, hashes and entry points in it fit together: what does not
 * fit is refused here, before any native code sees it.
 *
 * [verify]: [Verify.STAMP] compares the sha256 of every file the first time and after each change of it,
 * [Verify.ALWAYS] every time, and both that of manifest.json with manifest.sha256. Native code can crash or answer
 * wrongly over a damaged file.
 *
 * [stamps]: the file in which hashes that were found equal are remembered, in a folder of the app's own, one for each
 * bundle; null: nothing is remembered. Whoever can write it can make a changed bundle pass.
 *
 * [onProgress] is called in this thread about twenty times a second while files are hashed, with the bytes hashed and
 * those to be hashed in all; what it throws ends the hashing and is passed on, as is an interrupt of this thread.
 *
 * Throws [BundleException] ([ManifestException] for manifest.json itself), and InterruptedException while hashing.
 */
@JvmOverloads
fun openBundle(
    folder: File,
    verify: Verify = Verify.STAMP,
    stamps: File? = null,
    onProgress: (bytesHashed: Long, bytes: Long) -> Unit = { _, _ -> },
): Bundle {
    if (!folder.isDirectory) {
        val what = if (folder.exists()) "is a file, not a folder" else "does not exist"
        throw BundleException("$folder $what; give the folder that `pocketvl export` wrote.")
    }
    val manifest = readManifest(File(folder, Names.MANIFEST_FILE))
    if (manifest.target == Names.COREML) {
        throw unfit(folder, "is for Core ML, which runs on Apple's devices alone", "export it for executorch or onnx")
    }
    if (verify != Verify.NEVER) checkManifestHash(folder)
    val optional =
        if (verify == Verify.ALWAYS) manifest.optionalFiles.filter { File(folder, it.path).exists() } else emptyList()
    val records = manifest.files + optional
    for (record in records) checkFile(folder, record)
    checkContents(folder, manifest)
    verifyFiles(folder, records, verify, stamps, onProgress)
    return Bundle(folder, manifest)
}

private fun checkFile(folder: File, record: FileRecord) {
    val size = fileSize(folder, record.path)
    if (size != record.size) {
        throw BundleException(
            "${File(
                folder,
                record.path,
            )} has $size bytes, but the manifest says ${record.size}; copy the bundle again" +
                " or export it again.",
        )
    }
}

private fun checkContents(folder: File, manifest: Manifest) {
    val sizes = manifest.files.associate { it.path to it.size }
    val text = manifest.geometry.text
    val table = manifest.tokenEmbedding
    val needed = listOfNotNull(Names.TOKENIZER_FILE, if (manifest.chat) Names.CHAT_TEMPLATE_FILE else null)
    needed.firstOrNull { it !in sizes }?.let { throw unfit(folder, "lists no $it") }
    if (table.rows != text.vocabSize || table.columns != text.hiddenSize) {
        throw unfit(
            folder,
            "has an embedding table of ${table.rows} x ${table.columns}, but the model needs" +
                " ${text.vocabSize} x ${text.hiddenSize}",
        )
    }
    val size =
        sizes[table.file] ?: throw unfit(folder, "has its embedding table in ${table.file}, which is no file of it")
    if (table.end > size) {
        throw unfit(folder, "ends its embedding table at byte ${table.end} of ${table.file}, which has $size")
    }
    val channels = manifest.geometry.vision.inChannels
    val colours = manifest.image.mean.size
    if (channels != colours) throw unfit(folder, "has in_channels $channels, but images have $colours")
    entryPointFault(manifest)?.let { throw unfit(folder, it) }
    checkTokens(folder, manifest)
    if (manifest.maxContext > text.maxPositionEmbeddings) {
        throw unfit(
            folder,
            "has max_context ${manifest.maxContext}, more than the model's ${text.maxPositionEmbeddings}",
        )
    }
}

private fun checkTokens(folder: File, manifest: Manifest) {
    val tokens = manifest.specialTokens
    val vocabulary = manifest.geometry.text.vocabSize
    if (tokens.eos.isEmpty()) throw unfit(folder, "names no token that ends an answer")
    if (manifest.chat && tokens.imEnd == null) throw unfit(folder, "has a chat template, but no im_end token")
    val ids = listOf(tokens.imagePad, tokens.videoPad, tokens.visionStart, tokens.visionEnd) + tokens.eos
    for (token in ids + listOfNotNull(tokens.imEnd)) {
        if (token !in 0 until vocabulary) {
            throw unfit(folder, "uses the token id $token, outside its vocabulary of $vocabulary")
        }
    }
}

private fun unfit(folder: File, what: String, advice: String = "export the bundle again") =
    BundleException("${File(folder, Names.MANIFEST_FILE)} $what; $advice.")
