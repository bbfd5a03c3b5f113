package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.Names
import java.net.URI
import java.net.URISyntaxException
import java.net.URL
import java.net.URLEncoder

/** The address of a bundle's folder on a web server: that of its manifest.json, without the name. */
internal class BundleAddress private constructor(private val folder: String) {
    /** The last part of the path, for the folder on the phone. */
    val name: String get() = URI(folder).path.trim('/').substringAfterLast('/')

    /** Where a file of the bundle is; [path] is relative, with slashes. */
    fun of(path: String): URL =
        URL(folder + path.split('/').joinToString("/") { URLEncoder.encode(it, "UTF-8").replace("+", "%20") })

    override fun toString(): String = folder

    companion object {
        /**
         * Throws [BundleException] for what is no address of a folder. [cleartext]: whether http is let through;
         * whoever is on the way can change what comes over it, manifest and hashes included.
         */
        fun parse(text: String, cleartext: Boolean): BundleAddress {
            val uri =
                try {
                    URI(text.trim())
                } catch (error: URISyntaxException) {
                    throw BundleException("'$text' is no web address (${error.reason}).", error)
                }
            val scheme = uri.scheme?.lowercase()
            if (scheme == "http" && !cleartext) {
                throw BundleException(
                    "$text is an http address, over which files can be changed on the way; use https.",
                )
            }
            if ((scheme != "https" && scheme != "http") || uri.host.isNullOrEmpty()) {
                throw BundleException(
                    "'$text' is no web address; it looks like https://example.org/bundles/qwen2-vl-2b.",
                )
            }
            if (uri.rawQuery != null || uri.rawFragment != null || uri.rawUserInfo != null) {
                throw BundleException("$text holds more than a path; give the address of the bundle's folder alone.")
            }
            val path =
                uri.rawPath
                    .orEmpty()
                    .removeSuffix("/" + Names.MANIFEST_FILE)
                    .trimEnd('/')
            return BundleAddress("$scheme://${uri.rawAuthority}$path/")
        }
    }
}
