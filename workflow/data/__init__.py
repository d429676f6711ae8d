"""Where the data come from, and the files that hold them."""
