package dev.pocketvl.app.platform

import android.content.Context
import android.net.Uri
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.BundleStore
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.transfer.BundleFolders
import dev.pocketvl.presentation.transfer.FolderCopy
import kotlinx.coroutines.flow.Flow
import java.io.File

/**
 * Bundles among the app's own files (copied, downloaded; not part of backups) and in the folder of the app on shared
 * storage, which `adb push` can write to: /sdcard/Android/data/dev.pocketvl.app/files/bundles.
 */
class AndroidBundles(private val context: Context) : BundleStore {
    /** Where copies and downloads go. */
    val ownFolder: File = File(context.noBackupFilesDir, "bundles")
    val ownFolders = BundleFolders(ownFolder, BundlePlace.APP)

    override val pushFolder: File? get() = context.getExternalFilesDir("bundles")

    init {
        ownFolder.mkdirs()
        ownFolders.removeLeftovers()
    }

    override fun list(): List<InstalledBundle> = ownFolders.list() + pushed()?.list().orEmpty()

    override fun freeBytes(): Long = ownFolder.usableSpace

    override fun delete(bundle: InstalledBundle) {
        val folders = if (bundle.place == BundlePlace.APP) ownFolders else pushed()
        folders?.delete(bundle.folder)
    }

    override fun copy(treeUri: String): Flow<Transfer> {
        val tree = DocumentTree(context.contentResolver, Uri.parse(treeUri))
        return FolderCopy(ownFolders, ::freeBytes).copy { tree.list() }
    }

    private fun pushed() = pushFolder?.let { BundleFolders(it, BundlePlace.PUSHED) }
}
