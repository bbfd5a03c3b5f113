package dev.pocketvl.decoding

/** What the KV slots of a text engine hold, so that no conversation goes on over another one's keys. */
class KVCache
