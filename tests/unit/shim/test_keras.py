"""The Keras callbacks, with Keras as far as it is installed."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
pytest.importorskip("h5py")
np = pytest.importorskip("numpy")

import respool  # noqa: E402
from fakes.daemon import frames_in  # noqa: E402
from respool.integration.keras import WandbModelCheckpoint as SameCheckpoint  # noqa: E402
from respool.keras import WandbCallback, WandbMetricsLogger, WandbModelCheckpoint  # noqa: E402
from respool.wire import codec  # noqa: E402
from respool.wire.frames import Kind  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run():
    return begin()


def begin(**options):
    return respool.init(project="p", id="r", mode="spool", **options)


def kept(run, kind=Kind.ROW):
    return [
        codec.unpack(frame.payload)
        for frame in frames_in(run._keeper.attached.directory)
        if frame.kind == kind
    ]


def model_of(loss="mse", **options):
    """Begins far above its target, so that no draw of weights makes a later epoch the worse one."""
    inputs = keras.layers.Input(shape=(3,))
    model = keras.models.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile("sgd", loss=loss, **options)
    return model


def fit(model, *callbacks, epochs=2):
    x, y = np.ones((8, 3)), np.zeros((8, 1))
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("loss", ["mse", "mean_absolute_error"])
def test_the_best_model_is_a_file_that_keras_loads_and_each_epoch_is_a_row(run, loss):
    fit(model_of(loss, metrics=["mae"]), WandbCallback(monitor="loss", log_weights=True))
    rows = kept(run)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert any(key.startswith("parameters/dense") for key in rows[0])
    assert (run.summary["best_loss"], run.summary["best_epoch"]) == (rows[1]["loss"], 1)
    with run.restore("model-best.h5") as file:
        loaded = keras.models.load_model(file.name)
    assert int(loaded.optimizer.iterations) == 4
    loaded.compile("sgd", loss=loss)
    fit(loaded)


def test_a_model_that_is_not_better_is_not_kept_also_after_a_resume(run):
    callback = WandbCallback(monitor="loss", save_model=True)
    callback.set_model(model_of())
    for epoch, loss in enumerate([3.0, 2.0, 5.0]):
        callback.on_epoch_end(epoch, {"loss": loss})
    assert len(kept(run, Kind.FILE)) == 2
    run.finish()
    again = begin(resume="allow")
    callback = WandbCallback(monitor="loss")
    assert callback.best == 2.0
    callback.set_model(model_of())
    callback.on_epoch_end(3, {"loss": 2.5})
    assert kept(again, Kind.FILE) == []


@pytest.mark.parametrize(
    ("monitor", "mode", "kept_count"),
    [("loss", "auto", 1), ("acc", "auto", 2), ("loss", "max", 2), ("acc", "min", 1)],
)
def test_the_mode_says_which_way_is_better(run, monitor, mode, kept_count):
    callback = WandbCallback(monitor=monitor, mode=mode, save_weights_only=True)
    callback.set_model(model_of())
    for epoch, value in enumerate([1.0, 2.0]):
        callback.on_epoch_end(epoch, {monitor: value})
    files = [record["name"] for record in kept(run, Kind.FILE)]
    assert files == ["model-best.weights.h5"] * kept_count


def test_a_monitor_that_is_not_logged_is_named_and_the_row_is_kept(run, capsys):
    fit(model_of(), WandbCallback(), epochs=1)
    assert "monitor='val_loss'" in capsys.readouterr().err
    assert kept(run)[0]["epoch"] == 0


def test_a_model_that_cannot_be_saved_does_not_end_the_training(run, capsys):
    class Unsaveable:
        def save(self, *_, **__):
            raise OSError(28, "No space left on device")

    callback = WandbCallback(monitor="loss")
    callback.set_model(Unsaveable())
    callback.on_epoch_end(0, {"loss": 1.0})
    callback.on_epoch_end(1, {"loss": 0.5})
    assert capsys.readouterr().err.count("No space left") == 1
    assert len(kept(run)) == 2


def test_metrics_are_logged_per_epoch_or_per_batch(run):
    fit(model_of(), WandbMetricsLogger())
    assert [(row["epoch/epoch"], "epoch/loss" in row) for row in kept(run)] == [(0, True), (1, True)]
    assert kept(run)[0]["epoch/learning_rate"] == pytest.approx(0.01)
    fit(model_of(), WandbMetricsLogger(log_freq=2), epochs=1)
    batches = [row for row in kept(run) if "batch/loss" in row]
    assert [row["batch/batch_step"] for row in batches] == [0]
    assert run._meta["metrics"]["batch/*"] == {"step_metric": "batch/batch_step"}


def test_checkpoints_are_versions_of_an_artifact(run, tmp_path):
    assert SameCheckpoint is WandbModelCheckpoint
    path = tmp_path / "m-{epoch:02d}.keras"
    fit(model_of(), WandbModelCheckpoint(path, monitor="loss", save_best_only=False))
    found = run.use_artifact("run_r_model:epoch_1")
    assert (found.version, found.aliases) == ("v1", ["epoch_1"])
    assert keras.models.load_model(found.file()).count_params() == 4


def test_without_a_run_a_callback_says_what_is_missing():
    for make in (WandbCallback, WandbMetricsLogger, lambda: WandbModelCheckpoint("m.keras")):
        with pytest.raises(respool.UsageError, match="needs a run"):
            make()
