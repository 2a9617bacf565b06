"""One suite a module, each with a function ``measure(stage)`` that writes its rows as it finds them."""
