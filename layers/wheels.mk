# How a layer is filled: pinned wheels of the function's architecture, with byte code. SAM ships what lies in
# ARTIFACTS_DIR as it is, and without byte code a cold start compiles every module again (a second or more).

ARCHITECTURE := $(or $(LAMBDA_ARCH),arm64)
MACHINE := $(patsubst arm64,aarch64,$(ARCHITECTURE))
ifeq ($(filter aarch64 x86_64,$(MACHINE)),)
$(error LAMBDA_ARCH is "$(LAMBDA_ARCH)"; it must be arm64 or x86_64)
endif
TARGET := $(ARTIFACTS_DIR)/python

# Lambda's python3.13 runs on Amazon Linux 2023, whose glibc is 2.34.
define install_wheels
python3.13 -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps \
	--requirement requirements.txt --target "$(TARGET)" --implementation cp --python-version 3.13 \
	--only-binary :all: --platform manylinux2014_$(MACHINE) --platform manylinux_2_28_$(MACHINE) \
	--platform manylinux_2_34_$(MACHINE)
rm -rf "$(TARGET)/bin"
endef

# Unchecked hashes, because times do not survive the zip; paths are the ones that Lambda mounts a layer under.
define compile_bytecode
find "$(TARGET)" -name __pycache__ -type d -prune -exec rm -rf {} +
python3.13 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$(TARGET)" -p /opt/python "$(TARGET)"
endef
