"""What gate files, options and markers declare: frozen, pure descriptions."""
