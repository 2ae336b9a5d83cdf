# Two commands matter: `make fit` trains a vision transformer, `make test` runs everything.
# Both set up .venv first when it is missing or out of date.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
NATIVE := setup.py CMakeLists.txt $(shell find csrc -type f)

.PHONY: help fit test lint format wheel bench chaos fuzz sanitize cuda-all gpu-check gpu-wheels clean

help:
	@echo "make fit       set up, then train configs/mnist_vit.yaml (37 s on 2 idle cores, after 2 minutes of set-up, 5 where nvcc is)"
	@echo "make test      set up, then run the checks and the whole test suite"
	@echo "make wheel     build dist/dlplug-*-py310-none-*.whl"
	@echo "make bench     compare the fused ops with PyTorch's own"
	@echo "make chaos     kill, starve and corrupt trainings, and see that each fault is contained"
	@echo "make fuzz      call each op at random 10,000 times, and compare it with PyTorch"
	@echo "make sanitize  run the kernels' tests under AddressSanitizer and UBSan"
	@echo "make cuda-all  compile the CUDA library for every supported architecture"
	@echo "make gpu-check prove and time the CUDA kernels: where a GPU is, offline, by the python on PATH"
	@echo "make gpu-wheels  what such a machine lacks, and a wheel to try there, into build/gpu-wheels"
	@echo "make lint      ruff and clang-format, without changing a file; make format changes them"

fit: $(VENV)/.installed
	$(BIN)/python -m dlplug fit --config configs/mnist_vit.yaml

# One thread for each of two workers: more threads than cores wait for each other. In the order of
# tests/conftest.py: pytest-xdist would run the modules of few tests, some of them slow, last.
test: $(VENV)/.installed $(VENV)/.timm/.installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=25

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	find csrc -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)/clang-format --dry-run -Werror

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find csrc -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)/clang-format -i

wheel: $(VENV)/.installed
	$(BIN)/python -m pip --disable-pip-version-check wheel -q --no-build-isolation --no-deps -w dist .
	@ls dist/*.whl

bench: $(VENV)/.installed
	$(BIN)/python -m dlplug bench ops

chaos: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos

fuzz: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

sanitize: $(VENV)/.installed
	$(BIN)/python -m tests.sanitize

cuda-all: $(VENV)/.installed
	DLPLUG_CUDA_ARCHITECTURES=all $(BIN)/python setup.py build_ext --inplace

# No environment of its own: the machine's PyTorch is the one with CUDA.
gpu-check:
	$(PYTHON) -m tests.gpu_check $(GPU_CHECK)

gpu-wheels: $(VENV)/.installed
	$(BIN)/python -m tests.gpu_check.packages build/gpu-wheels

# torch comes first and alone: everything after it must find it and not fetch another one.
$(VENV)/.dependencies: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) setuptools wheel cmake ninja
	@touch $@

$(VENV)/.installed: $(VENV)/.dependencies pyproject.toml $(NATIVE)
	$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

# timm imports torchvision, whose ops load beside a torch for CUDA only. Both lie where the tests of
# plugins/dlplug-timm alone see them, so that all others run as without torchvision.
$(VENV)/.timm/.installed: constraints.txt $(VENV)/.dependencies
	rm -rf $(@D)
	$(PIP) --no-deps --target $(@D) timm torchvision
	@touch $@

clean:
	rm -rf $(VENV) build dist dlplug/_native *.egg-info
