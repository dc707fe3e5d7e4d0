"""How tests compile and run: quick compilation, eight virtual CPU devices, no implicit
promotion, and what is skipped."""

import gc
import importlib.util
import os
import sys
from importlib.metadata import version
from pathlib import Path

# Much of a test's time is compilation: without LLVM's optimisations it takes half as
# long, and without the newer code for fusions a quarter less. jaxlib 0.11 has no other
# code, and exits at an unknown flag. Programs are too small to be split among threads,
# whose cores other tests use. What is given comes last and wins; to compile as
# users do, XLA_FLAGS are
# --xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true
OLDER_FUSIONS = "--xla_cpu_use_fusion_emitters=false"
HAS_OLDER_FUSIONS = version("jaxlib").startswith("0.10.")
QUICK = (
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_parallel_codegen_split_count=1",
    *([OLDER_FUSIONS] if HAS_OLDER_FUSIONS else []),
)

USERS = "--xla_cpu_use_fusion_emitters=true"

# All are read once, when jax and huggingface_hub are first imported.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join([*QUICK, os.environ.get("XLA_FLAGS", "")])
os.environ["HF_HUB_OFFLINE"] = "1"

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("local", deadline=None, max_examples=20)
hypothesis.settings.register_profile(
    "ci", parent=hypothesis.settings.get_profile("local"), derandomize=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


# Files that take long are begun first, or a worker is left alone with one at the end.
LONG = (
    *("chorus_jax/intra_request/test_registry", "test_as_users", "kernels_pallas"),
    *("benchmarks/accelerator", "chorus_jax/training", "convert"),
)


def is_short(item):
    """Whether a test lies in none of these folders."""
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return not path.startswith(LONG)


def pytest_collection_modifyitems(config, items):
    items.sort(key=is_short)
    platform = jax.default_backend()
    fused = not HAS_OLDER_FUSIONS or USERS in os.environ["XLA_FLAGS"].split()
    reasons = {
        "as_users": None if fused else "is run by tests/test_as_users.py",
        "slow": None if config.getoption("--slow") else "needs --slow",
        "tpu": None if platform == "tpu" else f"needs a TPU, this is a {platform}",
        "gpu": None if platform == "gpu" else f"needs a GPU, this is a {platform}",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


# What `pip install ".[test]"` has beyond ".[test-jax]".
REFERENCES = ("torch", "diffusers", "accelerate")


def absent_reference(error):
    """Why a test is skipped: it imports a reference that is not installed."""
    while error is not None:
        name = getattr(error, "name", None) or ""
        top = name.partition(".")[0] if isinstance(error, ImportError) else ""
        if top in REFERENCES and importlib.util.find_spec(top) is None:
            return f"needs {top}, which is not installed: pip install '.[test]'"
        error = error.__cause__
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    reason = absent_reference(report.call.excinfo and report.call.excinfo.value)
    if reason:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {reason}")
    return report


def skip_without_references():
    """A hook around a test, or around its fixtures."""
    try:
        return (yield)
    except ImportError as error:
        reason = absent_reference(error)
        if reason:
            pytest.skip(reason)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from skip_without_references())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from skip_without_references())


# Linux allows a process 65 530 memory mappings; compiled programs take some each, and
# where one more is refused XLA crashes.
MAPPINGS = 15_000


@pytest.fixture(scope="module", autouse=True)
def bounded_programs():
    """Programs of earlier modules are forgotten once there are many of them."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session", autouse=True)
def torch_without_gradients():
    """PyTorch is only the reference: no gradients, and imported only if a test does."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
    else:
        with torch.no_grad():
            yield


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory):
    """Compiled programs of the tests do not land in the user's cache.

    All workers share them, from their first test on: many tests compile the same tiny
    models.
    """
    # Not before: types are checked only in what is imported after pytest's start.
    from chorus_jax.devices.compilation import enable_cache

    temporary = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        temporary = temporary.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(temporary / "cache"))
        enable_cache()
        # The smallest programs are the most; each is tiny on disk.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        yield


@pytest.fixture
def converted(tmp_path):
    """A function: the module of a model and config with the weights of a torch module.

    Through the converter's own plan: the rule tables are tested as they are used.
    """
    import safetensors.torch

    from convert.modules import module_from

    def convert(model, config, rules, torch_module):
        file = tmp_path / f"{model.__name__}.safetensors"
        state = torch_module.state_dict()
        # Copies: tied weights share memory, which a file cannot.
        state = {k: v.contiguous().clone() for k, v in state.items()}
        safetensors.torch.save_file(state, file)
        return module_from([file], rules, model, config)

    return convert
