"""Commands, one file each; imported by nobody."""
