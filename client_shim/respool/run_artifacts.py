"""Artifacts of a run: logging versions of named sets of files, and using those of this run and of others."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from respool import notices, restoring
from respool.compat import Absent
from respool.errors import CommError, NotFoundError, UsageError
from respool.guard import guarded
from respool.run_instruments import RunInstruments
from respool.wire.frames import NO_STEP

if TYPE_CHECKING:
    from respool.artifacts import Artifact

_numbering = threading.Lock()


class RunArtifacts(RunInstruments):
    """`log_artifact`, `use_artifact` and their kin."""

    @guarded(Absent("artifact"))
    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - W&B's name for it
        aliases: list[str] | str | None = None,
        tags: Any = None,  # noqa: ARG002 - W&B's signature
    ) -> Artifact:
        """Keep an artifact, or what a path means, as the next version of its name: "latest", vN and `aliases`. When
        this returns its files are snapshots in the spool, as save() leaves them, and nothing the script does to
        them matters any more. An artifact that could not be kept whole is warned of and stays a draft.
        """
        from respool.artifacts import Artifact, committing  # noqa: PLC0415 - most runs log none

        made = artifact_or_path
        if not isinstance(made, Artifact):
            made = committing.artifact_of(made, name, type, self.id)
        if self._off or made.state == "COMMITTED":
            return made
        wanted = [aliases] if isinstance(aliases, str) else list(aliases or [])
        index = self._meta.get("artifacts") or {}
        # Not the rows' lock: the daemon is asked for room meanwhile, and other threads log.
        with _numbering:
            logged = committing.log(
                made, wanted, index, lambda path, inside: self._keep_as(path, inside, NO_STEP)
            )
            if logged is not None:
                self._describe(artifacts={**index, made.collection_name: logged.known.plain()})
        self._upkeep(self._started, urgent=True)
        return made if logged is None else made.committed(logged.manifest, self._fetch_of(None))

    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002, ARG002 - W&B's signature
        aliases: Any = None,  # noqa: ARG002 - as above
        use_as: str | None = None,  # noqa: ARG002 - as above
    ) -> Artifact:
        """A version to download: NAME[:ALIAS] of this run, else of the run of this project that logged it last;
        PROJECT/RUN_ID/NAME[:ALIAS] of that run. An Artifact object is logged. Raises FileNotFoundError, or CommError
        when nobody could be asked.
        """
        from respool.artifacts import Artifact, finding  # noqa: PLC0415 - most runs use none
        from respool.artifacts.manifest import reference_of  # noqa: PLC0415 - as above

        if isinstance(artifact_or_name, Artifact):
            made: Artifact = self.log_artifact(artifact_or_name)
            return made
        asked = reference_of(artifact_or_name)
        if not asked.where:
            found = finding.found_in_run(None, asked, self._meta.get("artifacts"), self._fetch_of)
            if found is not None:
                return found
        elif len(asked.where) > 1:
            found = finding.found_in_run("/".join(asked.where), asked, None, self._fetch_of)
            if found is not None:
                return found
        return self._from_project(asked.where, f"{asked.name}:{asked.alias}")

    @guarded(Absent("artifact"))
    def log_model(self, path: Any, name: str | None = None, aliases: list[str] | None = None) -> Artifact:
        """Keep a model's file or folder as an artifact of type "model"."""
        made: Artifact = self.log_artifact(path, name or f"run-{self.id}-model", "model", aliases)
        return made

    def use_model(self, name: str) -> str:
        """Download a model; the path of its file, or of its folder when it has several."""
        artifact = self.use_artifact(name)
        folder = artifact.download()
        files = artifact.files()
        return os.path.join(folder, files[0].path) if len(files) == 1 else folder

    @guarded(Absent("artifact"))
    def link_artifact(self, artifact: Any, target_path: str, aliases: Any = None) -> Any:
        """There is no registry to link to: the artifact gets the target's name as a further alias."""
        notices.warn(
            "link", "link_artifact() and link_model() link to no registry here; an alias is set instead."
        )
        known = (self._meta.get("artifacts") or {}).get(artifact.collection_name)
        if known is not None and artifact.state == "COMMITTED":
            number = int(artifact.version[1:])
            names = dict.fromkeys([str(target_path).rpartition("/")[2], *(aliases or [])], number)
            changed = {**known, "aliases": {**known.get("aliases", {}), **names}}
            self._describe(artifacts={**self._meta["artifacts"], artifact.collection_name: changed})
        return artifact

    def link_model(
        self, path: Any, registered_model_name: str, name: str | None = None, aliases: list[str] | None = None
    ) -> Any:
        """log_model(), then as link_artifact()."""
        artifact = self.log_model(path, name, aliases)
        return self.link_artifact(artifact, registered_model_name, aliases)

    def upsert_artifact(
        self,
        artifact_or_path: Any,
        name: Any = None,
        type: Any = None,  # noqa: A002 - W&B's
        aliases: Any = None,
    ) -> Any:
        """The same as log_artifact(): one process logs an artifact."""
        return self.log_artifact(artifact_or_path, name, type, aliases)

    finish_artifact = upsert_artifact

    def _from_project(self, where: list[str], text: str) -> Artifact:
        from respool.apis import Api  # noqa: PLC0415 - only for another run's artifact

        project = where[-1] if where else self.project
        entity = where[0] if len(where) > 1 else self.entity or None
        try:
            api = Api({"project": project, "entity": entity})
            found: Artifact = api.artifact("/".join(part for part in (entity, project, text) if part))
        except NotFoundError:
            raise
        except (CommError, UsageError) as error:
            raise CommError(
                f"This run has no artifact {text}, and other runs cannot be asked. {error}"
            ) from error
        return found

    def _fetch_of(self, run_path: str | None) -> Any:
        def fetch(name: str, target: str) -> None:
            restoring.fetch(self._keeper, name, run_path, target)

        return fetch
