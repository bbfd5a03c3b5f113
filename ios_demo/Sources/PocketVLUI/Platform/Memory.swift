/// What the process has of the device's memory, in bytes.
public struct Memory: Sendable, Equatable {
    /// What the process may still take before the system ends it: os_proc_available_memory.
    public let available: Int
    /// Of the device: ProcessInfo.physicalMemory.
    public let total: Int
    /// The process's footprint, as the system counts it against the limit.
    public let process: Int

    public init(available: Int, total: Int, process: Int) {
        self.available = available
        self.total = total
        self.process = process
    }
}

/// Reads the process's memory; quick enough for the main thread.
public protocol MemoryReader: Sendable {
    func read() -> Memory
}
