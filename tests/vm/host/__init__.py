"""The host's side of the virtual machines: images, kernels, QEMU, results."""
