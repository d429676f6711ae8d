"""What the stages and commands call. Nothing here knows of DVC.

Importing the package sets the environment that makes the bits independent of the
machine, so that it is in place before NumPy and TensorFlow read it.
"""

from workflow import environment

environment.apply()
