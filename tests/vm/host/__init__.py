"""What runs on the host: images, kernels, QEMU, results."""
