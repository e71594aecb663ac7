"""An artifact on disk: its file names, its manifest, its verified reading and atomic writing."""
