#if canImport(UIKit)
    import Foundation
    import UIKit
    import os

    /// The process's memory, as the system counts it.
    public struct AppleMemory: MemoryReader {
        public init() {}

        public func read() -> Memory {
            Memory(
                available: os_proc_available_memory(), total: Int(clamping: ProcessInfo.processInfo.physicalMemory),
                process: footprint())
        }

        /// phys_footprint of TASK_VM_INFO: what the limit is compared with. 0 where the kernel does not tell.
        private func footprint() -> Int {
            var info = task_vm_info_data_t()
            let words = MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<natural_t>.size
            var count = mach_msg_type_number_t(words)
            let status = withUnsafeMutablePointer(to: &info) { pointer in
                pointer.withMemoryRebound(to: integer_t.self, capacity: words) {
                    task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), $0, &count)
                }
            }
            return status == KERN_SUCCESS ? Int(clamping: info.phys_footprint) : 0
        }
    }

    public struct AppleThermal: ThermalReader {
        public init() {}

        public func read() -> Thermal {
            let process = ProcessInfo.processInfo
            let state: ThermalState =
                switch process.thermalState {
                case .nominal: .nominal
                case .fair: .fair
                case .serious: .serious
                case .critical: .critical
                @unknown default: .critical
                }
            return Thermal(state: state, isLowPower: process.isLowPowerModeEnabled)
        }
    }

    extension Device {
        /// This one.
        @MainActor
        public static var current: Device {
            var names = utsname()
            uname(&names)
            let model = withUnsafeBytes(of: &names.machine) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let process = ProcessInfo.processInfo
            return Device(
                model: model, system: "\(UIDevice.current.systemName) \(UIDevice.current.systemVersion)",
                cores: process.processorCount, memory: Int(clamping: process.physicalMemory))
        }
    }

    /// The system's memory warnings, and its last word before it ends processes, for the app's life.
    @MainActor
    final class MemoryWarnings {
        private let pressure = DispatchSource.makeMemoryPressureSource(eventMask: .critical, queue: .main)
        private var token: (any NSObjectProtocol)?

        init(_ tell: @escaping @MainActor @Sendable (MemoryEvent) -> Void) {
            token = NotificationCenter.default.addObserver(
                forName: UIApplication.didReceiveMemoryWarningNotification, object: nil, queue: .main
            ) { _ in
                MainActor.assumeIsolated {
                    tell(UIApplication.shared.applicationState == .background ? .warningInBackground : .warning)
                }
            }
            pressure.setEventHandler { MainActor.assumeIsolated { tell(.critical) } }
            pressure.activate()
        }
    }
#endif
