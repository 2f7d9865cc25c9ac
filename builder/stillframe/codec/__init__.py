"""One compressed frame: what its bytes say, how it is encoded and decoded."""
