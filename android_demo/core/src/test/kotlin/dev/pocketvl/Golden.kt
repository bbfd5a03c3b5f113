package dev.pocketvl

import dev.pocketvl.json.Json
import java.io.File

/** The files in tests/golden, which Python writes and every language reads. */
object Golden {
    private val folder = File(System.getProperty("pocketvl.golden") ?: error("run the tests by android_demo/jvm.sh"))

    @Suppress("UNCHECKED_CAST")
    fun read(name: String): Map<String, Any?> = Json.parse(folder.resolve("$name.json").readText()) as Map<String, Any?>
}

@Suppress("UNCHECKED_CAST")
fun Any?.members(): Map<String, Any?> = this as Map<String, Any?>

@Suppress("UNCHECKED_CAST")
fun <T> Any?.listOf(): List<T> = this as List<T>

fun Any?.int(): Int = Math.toIntExact((this as Number).toLong())

fun Any?.double(): Double = (this as Number).toDouble()
