"""From a module to the calls that it makes: recorded without data, or captured by ``torch.export``."""
