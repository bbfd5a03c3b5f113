"""Every exception pocketvl raises on purpose.

    PocketVLError                 exit status 1 in the CLI
    ├── UsageError                exit status 2: an option or argument that cannot be meant
    │   └── RecipeError           unknown recipe, or bits a layer cannot take
    ├── CheckpointError           the model to export cannot be read
    ├── CalibrationError          calibration data, or what the model makes of it, cannot be used
    ├── BundleError               the folder is not a sound bundle
    │   └── ManifestError         its manifest.json is wrong
    ├── ImageError                an image cannot be used
    │   └── VideoError            a video, or a frame of it
    ├── PromptError               messages or template cannot be rendered
    │   └── ContextError          the prompt does not fit into the context
    ├── ConversationError         a saved conversation cannot be read, or belongs to another bundle
    ├── EngineError               a native runtime refused an artifact or an input
    ├── ExportError               lowering or writing failed
    │   ├── CensusError           a layer did not get the bits that its recipe names
    │   └── SpaceError            not enough disk or memory, known before starting
    ├── MissingExtraError         an optional dependency is not installed
    └── RequestError              an HTTP request that is not answered, see serve/errors.py

Each message says what was wrong with which file or value, and what to do.
"""


class PocketVLError(Exception):
    """Base of all; its text is a full sentence that a user can act on."""

    exit_status = 1


class UsageError(PocketVLError):
    """An option, argument or combination that cannot be meant."""

    exit_status = 2


class RecipeError(UsageError):
    """An unknown recipe, or bits that a layer cannot take."""


class CheckpointError(PocketVLError):
    """A checkpoint that cannot be read or is not a Qwen2-VL."""


class CalibrationError(PocketVLError):
    """Calibration data that cannot be read or that a layer cannot be calibrated on."""


class BundleError(PocketVLError):
    """A folder that is not a sound bundle."""


class ManifestError(BundleError):
    """A manifest.json that cannot be read or says impossible things."""


class ImageError(PocketVLError):
    """An image that cannot be decoded or that the model cannot take."""


class VideoError(ImageError):
    """A video that cannot be read, or of which the wanted frames cannot be taken."""


class PromptError(PocketVLError):
    """Messages or a chat template that cannot be rendered."""


class ContextError(PromptError):
    """A prompt or answer that does not fit into the context."""


class ConversationError(PocketVLError):
    """A saved conversation that cannot be read, or that belongs to another bundle."""


class EngineError(PocketVLError):
    """A native runtime that refused an artifact or an input."""


class ExportError(PocketVLError):
    """Lowering or writing that failed."""


class CensusError(ExportError):
    """A layer that did not get the bits that its recipe names."""


class SpaceError(ExportError):
    """Not enough disk or memory, found out before starting."""


class MissingExtraError(PocketVLError):
    """An optional dependency that is not installed; the message names the pip command."""
