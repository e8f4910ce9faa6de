"""The weights of a bundle: the only file here that touches torch and safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import verified_weights
from CRONOSLib.errors import BundleError
from CRONOSLib.packages import require

if TYPE_CHECKING:
    import torch

    from CRONOSLib.methods.interface import Method


def load_method(bundle: Bundle, device: torch.device | str = "cpu") -> Method:
    """The trained method of a bundle, ready to forecast, on a device. No code of the bundle runs.

    Raises BundleError when the weights are missing, altered or do not fit the method, MethodError for an unknown
    method or setting, MissingPackageError without torch or safetensors.
    """
    require("torch", "safetensors", purpose="A trained method")
    import safetensors
    import safetensors.torch

    from CRONOSLib.methods.registry import create_method

    content = verified_weights(bundle)
    method = create_method(bundle.method, bundle.settings)
    try:
        method.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"The weights of bundle '{bundle.name}' do not fit method '{bundle.method}' with its settings. "
            "Export the bundle again with this version of CRONOS."
        ) from error
    return method.to(device).eval()


def weights_of(method: Method) -> bytes:
    """Content of a weights file: every parameter and buffer of the method, on the CPU, in half precision.

    Raises MissingPackageError without safetensors.
    """
    require("torch", "safetensors", purpose="A trained method")
    import safetensors.torch

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}
    return safetensors.torch.save({name: _stored(tensor) for name, tensor in state.items()})


def round_to_stored(method: Method) -> None:
    """Round the parameters to what a bundle holds, so that what is measured is what is shipped."""
    method.load_state_dict({name: _stored(tensor) for name, tensor in method.state_dict().items()})


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """Half the size on disk; eleven significant bits are more than a trained weight is known to."""
    return tensor.half() if tensor.is_floating_point() else tensor
