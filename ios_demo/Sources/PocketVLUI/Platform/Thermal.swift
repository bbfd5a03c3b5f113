/// How warm the device is, in the order of ProcessInfo.ThermalState.
public enum ThermalState: Int, Sendable, CaseIterable {
    case nominal, fair, serious, critical

    /// In reports.
    public var name: String { "\(self)" }
}

public struct Thermal: Sendable, Equatable {
    public let state: ThermalState
    /// Low Power Mode, in which processors run slower.
    public let isLowPower: Bool

    public init(state: ThermalState, isLowPower: Bool) {
        self.state = state
        self.isLowPower = isLowPower
    }
}

public protocol ThermalReader: Sendable {
    func read() -> Thermal
}
