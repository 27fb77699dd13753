# Every target makes the environment it needs, with the versions pinned in constraints/, and keeps it until they change.
# Needed beforehand: Python 3.11 (or the one named by PYTHON=), git, make.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
PY ?= python3.13
TAKES := assets/takes
DRAWN := --jobs 2 --leave-out 85,94 --validation none
BASE_ENV := .venv-base-$(notdir $(PY))
# Two processes test at once; with threads of its own in each, BLAS would wait for itself most of the time.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

# Blenders whose bpy module is tested; 5.2 is for Python 3.13 alone.
BLENDERS := 4.2 4.5 5.0 $(shell $(PY) -c 'import sys; print("5.2" if sys.version_info[:2] == (3, 13) else "")' 2>/dev/null)

.PHONY: demo test check docs test-base test-oldest test-blender extension bench bench-quick bench-noblas weights
.PHONY: weights-published pairs takes gallery fuzz clean
.DELETE_ON_ERROR:
.PRECIOUS: .venv-bpy-%/stamp

demo: .venv-demo/stamp # refine a real BVH take and an AMASS clip into demo_output/
	mkdir -p demo_output
	.venv-demo/bin/smoothnet refine $(TAKES)/reactidle_000.bvh -o demo_output/reactidle_000.bvh --force
	.venv-demo/bin/smoothnet refine $(TAKES)/dance_smplh.npz -o demo_output/dance_smplh.npz --force
	.venv-demo/bin/smoothnet evaluate $(TAKES)/dance_smplh.npz $(TAKES)/dance_smplh_truth.npz
	.venv-demo/bin/smoothnet evaluate demo_output/dance_smplh.npz $(TAKES)/dance_smplh_truth.npz
	.venv-demo/bin/smoothnet plot $(TAKES)/dance_smplh.npz demo_output/dance_smplh.npz -o demo_output/before_after.png

test: check # style, types, all tests with torch, and the extension's in one Blender
	$(PYTEST) .venv/bin/python -m pytest -n 2
	$(MAKE) test-blender-5.0

check: .venv/stamp # style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright --pythonpath .venv/bin/python

test-base: $(BASE_ENV)/stamp # the tests on another Python (PY=python3.13) without torch and the other extras
	$(PYTEST) $(BASE_ENV)/bin/python -m pytest -n 2

test-oldest: .venv-oldest/stamp # the tests on the oldest NumPy and SciPy, without torch and the other extras
	$(PYTEST) .venv-oldest/bin/python -m pytest -n 2

# Two Blenders at once, each in one process: where several share the tests, none sees how the others end.
test-blender: # the extension's tests in the bpy module of every Blender; PY= names a Python 3.13
	$(if $(filter 5.2,$(BLENDERS)),,@echo "NOT RUN: bpy 5.2, since $(PY) is no Python 3.13 here")
	$(MAKE) -j2 --output-sync=target $(BLENDERS:%=test-blender-%)

# A crash or a hang at the end is a failure.
test-blender-%: .venv-bpy-%/stamp
	$(PYTEST) timeout --kill-after 10 1800 .venv-bpy-$*/bin/python -m pytest tests/blender

docs: .venv/stamp # the documentation as a site, into build/site; open index.html there. A broken link is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet

extension: .venv-extension/stamp # the archives that are installed in Blender, into dist/, checked
	.venv-extension/bin/python -m blender_addon.packaging.build_extension
	.venv-extension/bin/python -m blender_addon.packaging.check_extension dist/smoothnet-*.zip

fuzz: .venv/stamp # damaged files through every reader, for a minute (FUZZ="--seconds 3600" for longer)
	$(PYTEST) .venv/bin/python -m tests.fuzz.run $(or $(FUZZ),--seconds 60)

bench: .venv/stamp # how fast refining is, as ratios; on a machine that does nothing else, ten minutes
	.venv/bin/python benchmarks/speed.py $(BENCH)

bench-quick: .venv/stamp # fewer sizes, under two minutes
	.venv/bin/python benchmarks/speed.py --quick $(BENCH)

bench-noblas: .venv/stamp .venv-noblas/stamp # the models also under a NumPy without BLAS, as Blender's own builds have
	.venv/bin/python benchmarks/speed.py --only machine,models --python .venv-noblas/bin/python $(BENCH)

# Compiling NumPy takes minutes and needs a C compiler.
.venv-noblas/stamp:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --no-binary numpy numpy==1.26.4 \
		-Csetup-args=-Dblas=none -Csetup-args=-Dlapack=none -Csetup-args=-Dallow-noblas=true
	$(@D)/bin/python -m pip install --quiet scipy==1.15.3 safetensors==0.8.0
	touch $@

weights: .venv/stamp # train the shipped weights again; `body` needs what `make pairs` makes
	mkdir -p data
	.venv/bin/smoothnet train --preset default-first --data ../shared/data --data data -o data/default-first.safetensors --force
	for name in default live fast deglitch body body-h36m body-smpl; do \
		.venv/bin/smoothnet train --preset $$name --data ../shared/data --data data -o assets/models/$$name.safetensors --force || exit 1; \
	done

weights-published: .venv/stamp # train SmoothNet as published again, one for each mode of the estimator: an hour on two cores
	for name in published-static published-video published-smoothed; do \
		.venv/bin/smoothnet train --preset $$name --data ../shared/data -o assets/models/$$name.safetensors --force || exit 1; \
	done

pairs: .venv/stamp # render people and run MediaPipe on them, into data/; needs SMOOTHNET_MEDIAPIPE_PYTHON, see docs/pairs.md
	.venv/bin/smoothnet pairs ../shared/data/cmu/cmu_train.npz -o data/drawn --drawn 400 --seed 77 $(DRAWN)
	.venv/bin/smoothnet pairs ../shared/data/real/reactidle/000_genuine.bvh -o data/drawn_idle --drawn 40 --seed 78 $(DRAWN)

takes: .venv-demo/stamp # make the shipped takes again; needs the reference data in ../shared
	.venv-demo/bin/python assets/make_takes.py

gallery: .venv/stamp # make the pictures of docs/gallery again; needs the reference data in ../shared
	.venv/bin/python docs/gallery/make_gallery.py

clean: # remove what the targets above made, environments included
	rm -rf .venv .venv-demo .venv-noblas .venv-base-* .venv-oldest .venv-bpy-* .venv-extension demo_output build dist *.egg-info
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find assets blender_addon smoothnet_core smpl_tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,PYTHON,CONSTRAINTS,WHAT): setuptools comes first, pinned, since it builds the package.
define install
	$(1) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -c $(2) setuptools
	$(@D)/bin/python -m pip install --quiet -c $(2) --no-build-isolation -e $(3)
	touch $@
endef

.venv-demo/stamp: constraints/base.txt pyproject.toml
	$(call install,$(PYTHON),$<,'.[report]')

$(BASE_ENV)/stamp: constraints/base.txt pyproject.toml
	$(call install,$(PY),$<,. pytest pytest-xdist hypothesis joblib)

.venv-oldest/stamp: constraints/oldest.txt pyproject.toml
	$(call install,$(PYTHON),$<,. pytest pytest-xdist hypothesis joblib)

.venv/stamp: constraints/dev.txt pyproject.toml
	$(call install,$(PYTHON),$<,'.[dev]')

.venv-extension/stamp: constraints/base.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -c $< setuptools
	touch $@

# Without our own packages: they are tested from here, and nothing comes along that Blender has not.
.venv-bpy-%/stamp: constraints/blender-%.txt
	$(if $(filter 5.2,$*),$(PY),$(PYTHON)) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	touch $@
