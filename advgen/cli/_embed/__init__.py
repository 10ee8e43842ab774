"""The commands under `advgen embed`, a file each; they import what they need when they run."""
