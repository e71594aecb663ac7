"""Container images of Bentos: what they are made of, and the programs that make them. No part of what is served."""
