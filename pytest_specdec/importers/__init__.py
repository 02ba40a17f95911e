"""Result files of other tools, read as what they are."""
