"""What every stage needs: environment, params, errors, files, progress, the life of a stage."""
