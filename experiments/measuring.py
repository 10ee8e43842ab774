"""One measurement, from names to readings: train what it names, build the measure, run it, store what it gives."""

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from advgen.core import checkpoints, registry
from advgen.core.device import Device, cores
from advgen.core.errors import BadFile, UserError
from advgen.core.meter import Meter
from advgen.experiments import store_readings
from advgen.experiments.keys import measurement_key
from advgen.experiments.measured import Measure, checked
from advgen.experiments.measurement import Measurement, arguments, quantities_of, written_arguments
from advgen.experiments.store import Store
from advgen.experiments.trained import PREFIX, checkpoint_of

Say = Callable[[str], None]


def key_of(measurement: Measurement, device: Device, *, say: Say) -> str:
    """The key of a measurement; trains what it names where that is not there yet."""
    return measurement_key(measurement, _hashes(measurement, _built(measurement, device, say), device, say))


def seconds_of(measurement: Measurement) -> float | None:
    """What the measure itself says that it takes on one core; None where it does not say.

    A measure may have a method `seconds()`; a checkpoint that it would need is not trained for the answer.
    """
    name = measurement.measure.name
    say_so = getattr(registry.create("measures", name, **arguments(measurement)), "seconds", None)
    return float(say_so()) if callable(say_so) else None


def run_measurement(measurement: Measurement, key: str, store: Store, device: Device, *, say: Say) -> bool:
    """Measures, and writes what was found; whether it came to its end. What breaks off is told and tried again later.

    Raises:
        UserError: an argument or file that cannot be used, or a measure that gives what it does not declare.
    """
    name, declared = measurement.measure.name, quantities_of(measurement.measure.name)
    meter, load, begun = Meter(), _load(), time.perf_counter()
    measure = _built(measurement, device, say)
    try:
        found = measure.run(seed=measurement.seed, device=device.device, meter=meter,
                            out=store_readings.work_folder(store, key))  # fmt: skip
    except UserError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or ["no message"])[0]
        store_readings.fail(store, key, measurement, f"{type(error).__name__}: {said}", traceback.format_exc())
        say(f"{measurement} broke off: {type(error).__name__}: {said}")
        return False
    found = checked(found, name, declared)
    seconds = max(time.perf_counter() - begun, meter.seconds)  # the meter also has what was done before a kill
    meta = {
        "quantities": [list(q) for q in declared.values()],
        "plots": registry.describe("measures", name).literals.get("plots", ()),
        "arguments": written_arguments(measurement),
        "hashes": _hashes(measurement, measure, device, say),
        "seconds": seconds,
        "forwards": meter.forwards,
        "backwards": meter.backwards,
        "generator_calls": meter.generator_calls,
        "peak_bytes": meter.peak_bytes,
        "machine_load": load,
    }
    store_readings.finish(store, key, measurement, found, meta)
    return True


def _built(measurement: Measurement, device: Device, say: Say) -> Measure:
    """The measure with its arguments, recipes replaced by the paths of their checkpoints."""
    paths = {k: str(_trained(ref, device, say)) for k, ref in references(measurement).items()}
    name = measurement.measure.name
    measure: Measure = registry.create("measures", name, **arguments(measurement) | paths)
    if not callable(getattr(measure, "run", None)) or not callable(getattr(measure, "inputs", None)):
        raise BadFile(f"the measure {name} lacks run() or inputs(); docs/measures.md shows one.")
    return measure


def references(measurement: Measurement) -> dict[str, str]:
    """The arguments that are recipes; the defaults of a measure may be some too."""
    return {k: v for k, v in arguments(measurement).items() if isinstance(v, str) and v.startswith(PREFIX)}


def _hashes(measurement: Measurement, measure: Measure, device: Device, say: Say) -> dict[str, str]:
    """Content of all that the numbers rest on beside names and numbers."""
    trained = {
        name: checkpoints.read_card(_trained(ref, device, say)).file_hash
        for name, ref in references(measurement).items()
    }
    return {**{str(k): str(v) for k, v in measure.inputs().items()}, **trained}


def _trained(ref: str, device: Device, say: Say) -> Any:
    return checkpoint_of(ref, device=str(device.device), say=say)


def _load() -> str:
    """How busy the machine was, which is what timings must be read with."""
    if not hasattr(os, "getloadavg"):
        return ""
    return f"{os.getloadavg()[0]:.1f} on {cores()} cores"
