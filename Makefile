# Relative targets only, and every tool through `.venv/bin/python`: paths with spaces and moved checkouts work.
PYTHON ?= python3
PORT ?= 8000
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# An editable install names its folder; where the checkout was moved, only that install is repeated.
MOVED := $(shell [ "`cat .venv/.test 2>/dev/null`" = "`pwd -P`" ] || echo moved)
export OMP_NUM_THREADS := 1

.PHONY: help book serve linkcheck labs homework test format address release measure bench features grade grade-demo student-edition clean moved

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

book: .venv/.book ## build the site into _build/html, strictly
	@# A page that was read is not read again: what was wrong must be found by the next build, too.
	$(RUN) .venv/bin/jupyter-book build -W -n --keep-going . || { rm -rf _build/.doctrees; exit 1; }
	@$(RUN) -c 'import pathlib; print("Open", pathlib.Path("_build/html/index.html").resolve().as_uri())'

serve: book ## build the site and show it on localhost (another port: PORT=8001)
	@$(RUN) -m tools.serve "$(PORT)"

linkcheck: .venv/.book ## ask every external link of the book whether it still answers
	$(RUN) .venv/bin/jupyter-book build --builder linkcheck .

labs: .venv/.test ## build labs/*.ipynb and the figures, executing what changed
	$(RUN) -m tools.notebooks

homework: .venv/.test ## release labs/homework/ from the masters in solutions/
	@test -d solutions || { echo "The masters of the homework (solutions/) are not part of the student edition."; exit 1; }
	$(RUN) -m tools.homework

test: .venv/.test ## lint, then every test
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pytest -n 2 --dist loadgroup

format: .venv/.test ## format the code and mend what the linter can
	$(RUN) -m ruff format
	$(RUN) -m ruff check --fix

address: .venv/.test ## set the repository's address: ADDRESS=https://github.com/me/course
	@$(RUN) -m tools.address "$(ADDRESS)"

release: .venv/.test ## bump version, set-up cells and tag together: VERSION=0.2.0
	@$(RUN) -m tools.release "$(VERSION)"

measure: .venv/.test ## measure time and memory of the labs (of one: LAB=stem; in one profile: PROFILE=cpu)
	@$(RUN) -m tools.measure --lab "$(LAB)" --profile "$(PROFILE)"

bench: .venv/.test ## measure training beside the usual tutorial's loop (on a quiet machine)
	@$(RUN) -m benchmarks.speed --threads 1 2

features: .venv/.test ## train the classifiers that score images anew (one: DATA=mnist)
	@$(RUN) -m tools.train_features --data "$(DATA)"

grade: .venv/.test ## grade a class: HOMEWORK=stem SUBMISSIONS=folder (results: TO=grades; go on: RESUME=1)
	@test -d grading || { echo "The grader is not part of the student edition."; exit 1; }
	@$(RUN) -m grading "$(HOMEWORK)" "$(SUBMISSIONS)" --to "$(or $(TO),grades)" $(if $(RESUME),--resume)

grade-demo: .venv/.test ## rehearse grading with a generated class of 30, in build/class
	@test -d grading || { echo "The grader is not part of the student edition."; exit 1; }
	@$(RUN) -m tests.grading.demo build/class
	@$(RUN) -m grading optimal_discriminator build/class/submissions --to build/class/grades --seconds 20 --seed 1

student-edition: .venv/.test ## write the course without solutions and history: TO=../folder
	@$(RUN) -m tools.student_edition "$(TO)"

clean: ## remove what was built; to install afresh remove .venv as well
	rm -rf _build .pytest_cache .ruff_cache

.venv/bin/python:
	@"$(PYTHON)" tools/virtual_environment.py

# Without the library, so without torch: stored outputs and committed figures are all that the site needs.
.venv/.book: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing what the book needs into .venv (once)"
	@$(RUN) -m tools.requirements book > .venv/book.txt
	@$(PIP) --requirement .venv/book.txt
	@touch $@

# The build tool comes first and from the same pins, so a repeated install asks no network for it.
.venv/.test: .venv/.book pyproject.toml constraints.txt $(MOVED)
	@echo "Installing the library with torch and what the tests need into .venv (once)"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable ".[book,test]"
	@pwd -P > $@
