"""What stages and commands are made of, by subject. Imports point from here to nowhere else."""
