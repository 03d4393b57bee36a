"""W&B's folder of integrations: here, Keras."""
