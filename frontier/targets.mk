frontier: $(VENV)/ready ## what accuracy costs: every recipe of frontier/params.yaml with every seed
	@python -m commands check-params
	@python -m frontier
	dvc repro frontier/dvc.yaml
	@cat frontier/table.md

frontier-times: $(VENV)/ready ## time two epochs of each of them on this machine
	@python -m frontier time
