"""For programs, not for library users: keep other libraries' chatter off the terminal."""

import logging
import warnings

# torchao reports optional CUDA kernels that it did not find, torch a deprecated call of torchao's.
_CHATTY = ("torchao", "torch.utils._pytree", "torch._export", "transformers")


def quiet_libraries() -> None:
    """Warnings of deprecated calls between libraries, which no user can act on, are not shown."""
    warnings.simplefilter("ignore")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
