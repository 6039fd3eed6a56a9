"""Load tests and benches; nothing of the service imports them."""
