package dev.pocketvl.app.platform

import dev.pocketvl.download.HttpBundleDownloader
import dev.pocketvl.presentation.platform.BundleDownloader

/** This flavour may use the network, for this alone. */
fun bundleDownloader(bundles: AndroidBundles): BundleDownloader? =
    HttpBundleDownloader(bundles.ownFolder, bundles.ownFolders, bundles::freeBytes)
