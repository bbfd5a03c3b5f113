/// What a benchmark says of the device: nothing that tells one user's from another of its kind.
public struct Device: Sendable, Equatable {
    /// utsname.machine, such as "iPhone17,1".
    public let model: String
    /// Such as "iOS 18.2".
    public let system: String
    /// Of the processor.
    public let cores: Int
    /// In bytes.
    public let memory: Int

    public init(model: String, system: String, cores: Int, memory: Int) {
        self.model = model
        self.system = system
        self.cores = cores
        self.memory = memory
    }
}
