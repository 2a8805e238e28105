"""Plans of training on TPU pods, compiled where there is no TPU."""
