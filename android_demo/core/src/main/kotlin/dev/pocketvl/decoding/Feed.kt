package dev.pocketvl.decoding

import dev.pocketvl.Matrix

/** Patches along the temporal axis, rows and columns. */
data class Grid(val t: Int, val h: Int, val w: Int)

/**
 * An image, or a clip of several temporal slices, as the decoder sees it.
 *
 * [key] is equal for equal pixels only; images of one size have the same placeholder tokens, so nothing else tells
 * their KV slots apart. [embeddings]: (t * h * w / merge^2, hiddenSize); no rows where only positions are wanted.
 */
class Media(val grid: Grid, val key: String, val embeddings: Matrix)
