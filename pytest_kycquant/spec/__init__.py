"""What gate files, options and markers say: frozen, pure descriptions."""
