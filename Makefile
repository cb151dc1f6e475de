# Thin names for the scripts; they do the work and run without make.
.PHONY: demo test lint docs site wheel accept ci
demo test lint docs site wheel accept:
	@scripts/$@
ci:
	@.ci/run
