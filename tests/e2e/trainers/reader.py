"""Reads another run's newest checkpoint and a file of it, with its own run beside that.

# checkpoint STEP DIGEST, or # none: nothing was found, or # error TEXT
# file DIGEST, or # missing TEXT
"""

from __future__ import annotations

import hashlib

from notes import begin, parser


def main() -> None:
    made = parser()
    made.add_argument("--of", required=True, help="PROJECT/RUN_ID")
    options = made.parse_args()
    run, notes = begin(options)
    import respool

    try:
        found = run.latest_checkpoint(run_path=options.of)
        if found is None:
            notes.remark("none")
        else:
            with found.open() as file:
                notes.remark(f"checkpoint {found.step} {hashlib.sha256(file.read()).hexdigest()}")
    except respool.CommError as error:
        notes.remark(f"error {str(error)[:300]!r}")
    try:
        with respool.restore("model.bin", run_path=options.of) as file:
            notes.remark(f"file {hashlib.sha256(file.read()).hexdigest()}")
    except FileNotFoundError as error:
        notes.remark(f"missing {str(error)[:300]!r}")
    run.finish()


if __name__ == "__main__":
    main()
