"""les-ipi: Latent Ewald Summation models and the i-PI driver that serves them."""
__version__ = "0.1.0"
