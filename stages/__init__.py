"""One script per stage of `dvc.yaml`, and the runner that all of them share."""
