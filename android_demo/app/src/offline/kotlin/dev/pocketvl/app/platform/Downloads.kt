package dev.pocketvl.app.platform

import dev.pocketvl.presentation.platform.BundleDownloader

/** This flavour has no INTERNET permission and no code that would use it: nothing can leave the phone. */
@Suppress("UNUSED_PARAMETER")
fun bundleDownloader(bundles: AndroidBundles): BundleDownloader? = null
