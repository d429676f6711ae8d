published: $(VENV)/ready ## reproduce the tutorials' results: every recipe with every seed
	@python -m commands check-params
	@python -m published
	dvc repro published/dvc.yaml
	@cat published/table.md
