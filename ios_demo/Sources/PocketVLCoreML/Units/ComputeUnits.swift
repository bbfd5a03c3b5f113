/// What Core ML runs a model on, the fastest first. All but the last leave to the CPU what they cannot do.
public enum ComputeUnits: String, Sendable, CaseIterable {
    case neuralEngine = "neural engine"
    case gpu = "GPU"
    case cpu = "CPU"
}
