"""Payloads that come in a config file or on the command line: strings that name code.

In the texts, TOUCH stands for the command that makes the canary, CANARY for the canary's path.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.chaos.hostile import MODULE, Payload, Victim, write_module

# Slot of the config -> whether it takes a list.
SLOTS = {
    "architecture": False,
    "loss": False,
    "optimizer": False,
    "scheduler": False,
    "data": False,
    "task": False,
    "metrics": True,
    "callbacks": True,
    "loggers": True,
}
SYSTEM = "{class_path: os.system, init_args: {command: 'TOUCH'}}"
POPEN = "{class_path: subprocess.Popen, init_args: {args: [touch, 'CANARY']}}"
IMPORTED = f"{{class_path: {MODULE}.Model}}"
HOOK = "lightning.pytorch.callbacks.LambdaCallback"
DDP = "lightning.pytorch.strategies.DDPStrategy"
# Of a careless program.
RUN = "import os; os.system('TOUCH')"
LOAD = "import yaml; yaml.unsafe_load(open('FILE'))"
IMPORT = f"import runpy; runpy.run_path('FOLDER/{MODULE}.py')"


def payloads(victim: Victim) -> Iterator[Payload]:
    """Every payload; its files are written."""
    yield from _tags(victim)
    yield from _slots(victim)
    yield from _inner(victim)
    yield from _strings(victim)
    yield from _command_lines(victim)


def _payload(victim: Victim, name: str, yaml: str, text: str, naive: str | None = None) -> Payload:
    folder = victim.new("configs")
    path = folder / "evil.yaml"
    path.write_text(_meant(yaml, folder) + "\n")
    write_module(folder)
    arguments = ("fit", "--config", "digits.yaml", "--config", str(path))
    naive = naive and _meant(naive, folder)
    return Payload(name, folder, arguments, text, naive)


def _meant(text: str, folder: Path) -> str:
    canary = folder / "canary"
    words = {"TOUCH": f"touch {canary}", "CANARY": canary, "FILE": folder / "evil.yaml"}
    for word, meaning in (words | {"FOLDER": folder}).items():
        text = text.replace(word, str(meaning))
    return text


def _tags(victim: Victim) -> Iterator[Payload]:
    """YAML that makes objects."""
    for name, value in {
        "apply": "!!python/object/apply:os.system ['TOUCH']",
        "new": "!!python/object/new:os.system ['TOUCH']",
        "subprocess": "!!python/object/apply:subprocess.run [[touch, CANARY]]",
    }.items():
        for place, yaml in (
            ("", f"name: {value}"),
            ("nested ", f"data: {{name: x, a: [{value}]}}"),
        ):
            yield _payload(victim, f"{place}YAML tag {name}", yaml, "is not plain data", LOAD)
    for tag in ("name:os.system", "module:os"):
        yield _payload(victim, f"YAML tag {tag}", f"name: !!python/{tag} ''", "is not plain data")


def _slots(victim: Victim) -> Iterator[Payload]:
    """Functions and classes that are no components, and a module that acts when imported."""
    for slot, is_list in SLOTS.items():
        for path, value, naive in (
            ("os.system", SYSTEM, RUN),
            ("subprocess.Popen", POPEN, None),
            (f"{MODULE}.Model", IMPORTED, IMPORT),
        ):
            yaml = f"{slot}: {f'[{value}]' if is_list else value}"
            text = f"'{path}' is not in a trusted module"
            yield _payload(victim, f"{slot}: class path {path}", yaml, text, naive)
    for path in ("torch.hub.load", "torch.utils.collect_env.run", "dlplug.cli.main", "torch.load"):
        text = f"'{path}' is not a subclass of torch.nn.modules.module.Module"
        yield _payload(victim, path, f"architecture: {{class_path: {path}}}", text)


def _inner(victim: Victim) -> Iterator[Payload]:
    """Code in the arguments of what is allowed."""
    function = "callbacks: [{class_path: " + HOOK + ", init_args: {setup: NAME}}]"
    for name in ("os.system", "torch.utils.collect_env.run", "builtins.exec", f"{MODULE}.Model"):
        yield _payload(victim, f"function {name}", function.replace("NAME", name), "UntrustedError")
    hook = "trainer: {strategy: {class_path: " + DDP + ", init_args: {ddp_comm_hook: os.system}}}"
    yield _payload(victim, "strategy's hook", hook, "Error: ")
    for place, yaml in {
        "strategy": "trainer: {strategy: EVIL}",
        "profiler": "trainer: {profiler: EVIL}",
        "plugins": "trainer: {plugins: [EVIL]}",
        "accelerator": "trainer: {accelerator: EVIL}",
        "transform": "data: {name: digits, transforms: [EVIL]}",
        "loss of a loss": "loss: {name: weighted_sum, losses: [EVIL]}",
        "text": 'trainer: {strategy: "EVIL"}',
    }.items():
        text = "'subprocess.Popen' is not in a trusted module"
        yield _payload(victim, f"class in {place}", yaml.replace("EVIL", POPEN), text)


def _strings(victim: Victim) -> Iterator[Payload]:
    """``module:attr`` and paths where names are expected."""
    for slot, is_list in SLOTS.items():
        for name in (f"{MODULE}:Model", f"{MODULE}.Model"):
            yaml = f"{slot}: {f'[{name}]' if is_list else name}"
            yield _payload(victim, yaml, yaml, "UnknownComponentError", IMPORT)
    yaml = f"data: {{name: digits, transforms: ['{MODULE}:Model']}}"
    yield _payload(victim, "transform as module:attr", yaml, "UnknownComponentError")


def _command_lines(victim: Victim) -> Iterator[Payload]:
    """What a careless program would expand, run or fetch."""
    fit = ("fit", "--config", "digits.yaml")
    package = f"package:{MODULE}/x.csv"
    for name, arguments, text in (
        *((f"name {t}", (*fit, "--name", t), "InvalidValueError") for t in EXPANDED),
        *((f"number {t}", (*fit, "--data.batch_size", t), "InvalidValueError") for t in EXPANDED),
        ("verb as path", (f"{MODULE}.Model",), "UnknownComponentError"),
        ("verb as module:attr", (f"{MODULE}:Model",), "UnknownComponentError"),
        (package, (*CSV, "--data.path", package), "Error: "),
        *((shards, ("fit", "--data", "webdataset", "--data.shards", shards), "is no local file")
          for shards in ("pipe:TOUCH", "http://127.0.0.1:9/x.tar")),
    ):  # fmt: skip
        folder = victim.new("commands")
        write_module(folder)
        yield Payload(name, folder, tuple(_meant(word, folder) for word in arguments), text)


CSV = ("fit", "--data", "csv", "--data.target", "y")
EXPANDED = ("$(TOUCH)", "`TOUCH`", "${oc.env:HOME}", "${HOME}", "{{7*7}}", "; TOUCH")
