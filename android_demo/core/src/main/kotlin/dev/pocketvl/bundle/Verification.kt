package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import java.io.File
import java.io.IOException
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicLong

/** Whether the bytes of a bundle's files are compared with its manifest. */
enum class Verify {
    /** Unless a file was found equal before and has not been touched since. */
    STAMP,

    /** Each time, optional files that are there included. */
    ALWAYS,

    /** Only sizes: for bundles whose bytes something else vouches for. */
    NEVER,
}

private const val THREADS = 2 // the largest file alone bounds what more would give
private const val CHUNK = 1 shl 20 // bytes
private const val PROGRESS_EVERY = 50L // milliseconds

/**
 * Compares the sha256 of files that are known to be there with their [records], and remembers in [stamps] what is found
 * equal. [onProgress] is called in this thread; whatever it throws, or an interrupt, ends the hashing at once.
 *
 * Throws [BundleException] for a file that differs, InterruptedException.
 */
internal fun verifyFiles(
    folder: File,
    records: List<FileRecord>,
    verify: Verify,
    stamps: File?,
    onProgress: (bytesHashed: Long, bytes: Long) -> Unit,
) {
    if (verify == Verify.NEVER) return
    val remembered = if (stamps != null && verify == Verify.STAMP) readStamps(stamps, folder) else emptyMap()
    val unknown = records.filter { remembered[it.path] != stampOf(File(folder, it.path), it.sha256) }
    if (unknown.isEmpty()) return
    val found = Hashing(folder, unknown.sortedByDescending { it.size }, onProgress).stamps()
    if (stamps == null) return
    val listed = records.map { it.path }.toSet()
    val new = remembered.filterKeys { it in listed && it !in found } + found.filterValuesNotNull()
    if (new != remembered) writeStamps(stamps, folder, new)
}

private class Hashing(
    private val folder: File,
    private val records: List<FileRecord>,
    private val onProgress: (Long, Long) -> Unit,
) {
    private val hashed = AtomicLong()
    private val isStopped = AtomicBoolean()

    /** By path; null for a file that was written just now. */
    fun stamps(): Map<String, Stamp?> {
        val pool = Executors.newFixedThreadPool(THREADS)
        try {
            val futures = records.map { record -> pool.submit<Stamp?> { stamp(record) } }
            return records.zip(futures).associate { (record, future) -> record.path to awaited(future) }
        } finally {
            isStopped.set(true) // after a difference or a cancellation the rest need not be read
            pool.shutdownNow()
        }
    }

    private fun awaited(future: Future<Stamp?>): Stamp? {
        while (true) {
            try {
                return future.get(PROGRESS_EVERY, TimeUnit.MILLISECONDS).also { report() }
            } catch (_: TimeoutException) {
                report()
            } catch (error: ExecutionException) {
                throw error.cause ?: error
            }
        }
    }

    private fun report() = onProgress(hashed.get(), records.sumOf { it.size })

    private fun stamp(record: FileRecord): Stamp? {
        val file = File(folder, record.path)
        // Of before reading: a write meanwhile leaves a stamp that does not fit.
        val stamp = settledStamp(file, record.sha256)
        val found = hashed(file)
        if (found != record.sha256 && !isStopped.get()) {
            throw BundleException(
                "$file is damaged or from another bundle: it has the sha256 $found, but the manifest says" +
                    " ${record.sha256}; copy the bundle again or export it again.",
            )
        }
        return stamp
    }

    private fun hashed(file: File): String {
        val digest = sha256()
        val buffer = ByteArray(CHUNK)
        try {
            file.inputStream().use { input ->
                while (!isStopped.get()) {
                    val size = input.read(buffer)
                    if (size < 0) break
                    digest.update(buffer, 0, size)
                    hashed.addAndGet(size.toLong())
                }
            }
        } catch (error: IOException) {
            throw BundleException("$file cannot be read (${error.message}); copy the bundle again.", error)
        }
        return hex(digest.digest())
    }
}

@Suppress("UNCHECKED_CAST")
private fun <K, V : Any> Map<K, V?>.filterValuesNotNull(): Map<K, V> = filterValues { it != null } as Map<K, V>
