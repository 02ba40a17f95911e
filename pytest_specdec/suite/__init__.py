"""What a suite asks for: marker arguments to cells, subjects and a plan."""
