"""Plans of training on TPU pods, compiled without a TPU."""
