"""Networks with known architectures and the weights that are shipped."""
