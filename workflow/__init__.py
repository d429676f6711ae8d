"""What the stages and commands call. Nothing here runs DVC; two modules read its files.

Importing the package sets the environment that makes the bits independent of the
machine, so that it is in place before NumPy and TensorFlow read it.
"""

from workflow import environment

environment.apply()
