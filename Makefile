# Each target creates .venv and installs what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-python test-kotlin test-swift check check-python check-kotlin check-swift apk bench clean

demo: $(INSTALLED)
	$(BIN)/pocketvl demo

test: test-python test-kotlin test-swift

# Commands that tests start are compiled once. A worker has one core.
test-python: $(INSTALLED)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# Java and npm make the Kotlin parts' tests and linter run; without them this says what is missing and succeeds.
test-kotlin:
	android_demo/jvm.sh test --optional

check-kotlin:
	android_demo/jvm.sh lint --optional
	android_demo/jvm.sh android --optional

# Swift is not installed by these, see tools/phone/install_swift.sh; without it they say so and succeed.
test-swift:
	ios_demo/swift.sh test --optional

check-swift:
	ios_demo/swift.sh lint --optional
	ios_demo/parse_apple.sh --optional

check: check-python check-kotlin check-swift

check-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The app with ONNX Runtime inside, for phones and emulators, signed with a debug key.
apk:
	android_demo/build_apk.sh
	android_demo/build_apk.sh --download

bench: $(INSTALLED)
	$(BIN)/python benchmarks/full_size.py

# pyproject.toml pins every dependency that matters; a change there installs anew.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf android_demo/build ios_demo/build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-output
