import Foundation
import PocketVL

/// What the user reads of an error: PocketVL's own messages are sentences already.
func errorText(_ error: any Error) -> String {
    if let error = error as? PocketVLError { return error.message }
    return error.localizedDescription
}
