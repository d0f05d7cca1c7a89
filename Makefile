# SPDX-License-Identifier: MIT
# Everything is made in .venv; `make clean` takes it away again.
# PYTHON=python3.12 chooses the Python, ARGS="..." is handed to the command or to pytest.

VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := examples/boardgames
BENCH_ARGS ?=
# All tests run in four processes, as they mostly wait; some of them (ARGS) in one, as is usual.
SIDE_BY_SIDE ?= -n 4 --dist loadscope
REQUIREMENTS := tools/requirements/test.txt $(EXAMPLE)/requirements.txt
export PYTHON
# A caller's own settings must not reach into the environment made here.
unexport PYTHONPATH PYTHONHOME

.PHONY: help run test ctest check long format bench bench-instructions install clean

help:
	@echo "make run      serve the example application ($(EXAMPLE)) on http://127.0.0.1:8000"
	@echo "make test     the C tests and the Python tests"
	@echo "make check    format, lint, types, sanitizers, reference leaks, other Pythons, peers"
	@echo "make long     what takes hours; results go to tests/records"
	@echo "make format   format the C and Python sources"
	@echo "make bench    camshaft beside uvicorn, uvloop and others (ARGS='loop --quick')"
	@echo "make bench-instructions"
	@echo "              instructions and system calls per operation (ARGS='--rows sleep')"
	@echo "make ctest    the C tests alone"
	@echo "make install  build camshaft and what the tests need into $(VENV)"
	@echo "make clean    remove everything that was made"
	@echo "PYTHON=python3.12 chooses the Python; ARGS='...' goes to the command or to pytest"

install:
	@tools/setup $(REQUIREMENTS)

run:
	@tools/setup $(EXAMPLE)/requirements.txt
	@exec $(BIN)/camshaft app.main:app --app-dir $(EXAMPLE) $(ARGS)

test: ctest
	@tools/setup $(REQUIREMENTS)
	timeout 1200 $(BIN)/python -m pytest $(or $(ARGS),$(SIDE_BY_SIDE))

ctest:
	@tools/setup
	@tools/ctest

check:
	@tools/check $(ARGS)

long:
	@tools/long-job $(ARGS)

format:
	@tools/setup tools/requirements/check.txt
	@find csrc tests fuzz bench -name '*.[ch]' -exec $(BIN)/clang-format -i {} +
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .

bench:
	@python=$$(tools/find-python) && exec "$$python" -m bench $(BENCH_ARGS) $(ARGS)

bench-instructions:
	@python=$$(tools/find-python) && exec "$$python" -m bench instructions $(ARGS)

clean:
	rm -rf .venv .venv-* build build-* dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
