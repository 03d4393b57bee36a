"""Logs media, an alert and an artifact, says too much; with --use it downloads another run's; may die after it."""

import argparse
import json
import os
import signal

parser = argparse.ArgumentParser()
for name in ("truth", "project", "id", "use", "die"):
    parser.add_argument(f"--{name}")
args = parser.parse_args()

import respool as wandb  # noqa: E402

LADEN = {"notes": "é" * (1 << 20), "tags": ["t" * 2000], "config": {"lr": 0.1, "all": "x" * (5 << 20)}}
run = wandb.init(project=args.project, id=args.id, resume="allow", **({} if args.use else LADEN))
if args.use:
    artifact = run.use_artifact(args.use)
    with open(artifact.file()) as file:
        print(json.dumps({"used": artifact.name, "text": file.read()}), flush=True)
else:
    wandb.define_metric("val/*", summary="first")
    run.log({"val/acc": 0.5}, commit=False)
    table = wandb.Table(columns=["a"], data=[[1]])
    run.log({"loss": 1.0, "val/acc": 0.1, "table": table, "page": wandb.Html("<p>")})
    run.summary["best"] = {"epoch": 1}
    run.summary["best"]["loss"] = 1.0
    wandb.alert("Look", "at this", level="ERROR")
    with open("model.bin", "w") as file:
        file.write(f"weights of {run.id}")
    run.log_artifact("model.bin", name="model", type="model", aliases=["best"])
    os.unlink("model.bin")
if args.die:
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
