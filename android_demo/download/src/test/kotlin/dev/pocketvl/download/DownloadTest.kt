package dev.pocketvl.download

import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.transfer.BundleFolders
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.io.TempDir
import java.io.File

/** What a download from a large file is cut off at. */
internal const val HALF = 1_500_000

internal const val WEIGHTS = "onnx/vision_encoder_int8.onnx_data"

/** A server, an empty folder for bundles, and downloads from the one into the other. */
abstract class DownloadTest {
    @field:TempDir
    lateinit var root: File

    internal val server = BundleServer()
    internal val weights get() = server.files.getValue(WEIGHTS)

    @AfterEach
    fun stop() = server.close()

    internal fun folders() = BundleFolders(root, BundlePlace.APP)

    internal fun downloader(free: Long = Long.MAX_VALUE) =
        HttpBundleDownloader(
            root,
            folders(),
            { free },
            cleartext = true,
            readMilliseconds = 2_000,
            retryMilliseconds = 1,
        )

    internal fun download(url: String = server.url, free: Long = Long.MAX_VALUE): List<Transfer> =
        runBlocking { downloader(free).download(url).toList() }
}
