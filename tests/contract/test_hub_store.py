"""What every store of the hub must do. Another backend is one more entry in BACKENDS."""

import threading
from concurrent.futures import wait

import pytest

from respool.wire.frames import NO_STEP
from respool_hub.store.packing import pack
from respool_hub.store.rows import AttemptRow, BatchData, FileRow, KeyRow, RunRow, WriterRow
from respool_hub.store.sqlite import SqliteStore

BACKENDS = {"sqlite": lambda folder: SqliteStore(str(folder / "hub.sqlite"))}


@pytest.fixture(params=BACKENDS)
def opened(request, tmp_path):
    """A function that closes the store and opens it again."""
    stores = [BACKENDS[request.param](tmp_path)]

    def again():
        stores.pop().close()
        stores.append(BACKENDS[request.param](tmp_path))
        return stores[0]

    again.store = stores[0]
    yield again
    stores.pop().close()


@pytest.fixture
def store(opened):
    return opened.store


def a_run(run_id="r", **more):
    given = {
        "entity": "e",
        "project": "p",
        "original_id": run_id,
        "owner": "o",
        "meta": {"tags": [1, {"x": b"y"}]},
    }
    return RunRow(
        **{"id": 0, "run_id": run_id, "head": None, "created_at": 1.5, "active_at": 1.5, **given, **more}
    )


def an_attempt(run, number, attempt_id=None, **more):
    flags = {"parent_known": True, "offline": False, "attended": True}
    texts = {"parent": None, "resume": "allow", "launch": "l", "node": "n"}
    counts = {"restart_count": 0, "pid": 1, "started_at": 2.5, "registered_at": 3.5}
    return AttemptRow(attempt_id or f"a{number}", run.id, number, **{**flags, **texts, **counts, **more})


def write(store, work):
    return store.write(work).result()


def read(store, work):
    return store.read(work).result()


def seeded(store):
    def seed(tx):
        run = tx.add_run(a_run())
        tx.add_attempt(an_attempt(run, 1))
        return run

    return write(store, seed)


def test_rows_come_back_as_they_went_in(store):
    run = seeded(store)
    attempt = an_attempt(run, 1)
    assert read(store, lambda r: (r.run("e", "p", "r"), r.run_of(run.id))) == (run, run)
    assert read(store, lambda r: r.attempt("a1")) == attempt
    assert read(store, lambda r: r.attempts(run.id)) == [attempt]
    changed = attempt._replace(
        ended=True, exit_code=-9, ended_at=4.5, superseded=True, parent="zz", branch=True
    )
    write(store, lambda tx: tx.put_attempt(changed))
    assert read(store, lambda r: r.attempt("a1")) == changed
    moved = run._replace(head="a1", meta={}, active_at=9.0)
    write(store, lambda tx: tx.put_run(moved))
    assert read(store, lambda r: r.run_of(run.id)) == moved


def test_what_is_not_there_is_none(store):
    assert read(store, lambda r: r.run("e", "p", "r")) is None
    assert read(store, lambda r: r.attempt("a")) is None
    assert read(store, lambda r: r.writer("a", 0)) is None
    assert read(store, lambda r: r.view("a", 0)) == b""
    assert read(store, lambda r: r.key(b"x")) is None
    assert read(store, lambda r: (r.batches("a"), r.files(1), r.keys("u"))) == ([], [], [])


@pytest.mark.parametrize("steps", [(), (3,), (3, -(1 << 62))])
def test_writers_are_replaced_and_ordered(store, steps):
    run = seeded(store)
    write(store, lambda tx: tx.add_attempt(an_attempt(run, 2, "a0")))
    second = WriterRow("a1", 1, 5, 4, 1, NO_STEP, steps, None, None)
    first = WriterRow("a1", 0, 1 << 61, 4, 1, 7, steps, 9, 1.25)
    other = WriterRow("a0", 0)
    for row in (other, second, first._replace(next_seq=1), first):
        write(store, lambda tx, row=row: tx.put_writer(row, b"view"))
    assert read(store, lambda r: r.writers(run.id)) == [first, second, other]
    assert read(store, lambda r: (r.writer("a1", 0), r.view("a1", 0))) == (first, b"view")


@pytest.mark.parametrize("data", [b"x", b"abc" * 10_000])
def test_batches_come_back_whole_and_in_order(store, data):
    seeded(store)
    codec, packed = pack(data)
    for first in (10, 0, 5):
        batch = BatchData("a1", 0, first, first + 5, 5, -3, 1 << 62, None, 2.0, codec, packed)
        write(store, lambda tx, batch=batch: tx.add_batch(batch))
    found = read(store, lambda r: r.batches("a1"))
    assert [(batch.first_seq, batch.next_seq, batch.min_step, batch.max_step) for batch in found] == [
        (first, first + 5, -3, 1 << 62) for first in (0, 5, 10)
    ]
    assert read(store, lambda r: [r.batch(batch.id) for batch in found]) == [data] * 3


@pytest.mark.parametrize(
    "again",
    [
        lambda tx, run: tx.add_run(a_run()),
        lambda tx, run: tx.add_attempt(an_attempt(run, 1, "other")),
        lambda tx, run: tx.add_attempt(an_attempt(run, 2, "a1")),
        lambda tx, run: tx.add_attempt(an_attempt(run._replace(id=99), 1, "b")),
    ],
    ids=["run", "number", "attempt", "orphan"],
)
def test_what_is_unique_is_kept_so_and_orphans_are_refused(store, again):
    run = seeded(store)
    with pytest.raises(Exception, match="constraint"):
        write(store, lambda tx: again(tx, run))
    assert len(read(store, lambda r: r.attempts(run.id))) == 1


def test_files_keep_the_first_of_what_is_the_same(store):
    run = seeded(store)
    first = FileRow("a1", 0, 3, "x", "d1", 1, None, 1.0, {"k": [1]})
    later = first._replace(seq=9, digest="d2", step=7)
    for row in (later, first, first._replace(digest="other")):
        write(store, lambda tx, row=row: tx.add_file(row))
    assert read(store, lambda r: r.files(run.id)) == [first, later]


def test_runs_are_found_by_what_is_named_newest_activity_first(store):
    for number, at in enumerate((5.0, 9.0, 7.0)):
        write(
            store, lambda tx, n=number, at=at: tx.add_run(a_run(f"r{n}", active_at=at, project=f"p{n % 2}"))
        )
    named = lambda *args: [run.run_id for run in read(store, lambda r: r.runs(*args))]
    assert named(None, None, None, 10) == ["r1", "r2", "r0"]
    assert named("e", "p0", None, 10) == ["r2", "r0"]
    assert named(None, None, "r0", 10) == ["r0"]
    assert named(None, None, None, 1) == ["r1"]
    assert named("nobody", None, None, 10) == []


def test_keys_are_found_by_digest_and_revoked_once(store):
    key = KeyRow("k1", b"d" * 32, "anna", "read", None, "laptop", 1.0)
    write(store, lambda tx: tx.add_key(key))
    write(
        store, lambda tx: tx.add_key(key._replace(key_id="k2", digest=b"e" * 32, user="bert", created_at=0.5))
    )
    assert read(store, lambda r: r.key(b"d" * 32)) == key
    assert [row.key_id for row in read(store, lambda r: r.keys(None))] == ["k2", "k1"]
    assert [row.key_id for row in read(store, lambda r: r.keys("anna"))] == ["k1"]
    assert write(store, lambda tx: tx.revoke_key("k1", 2.0))
    assert not write(store, lambda tx: tx.revoke_key("k1", 3.0))
    assert not write(store, lambda tx: tx.revoke_key("nope", 3.0))
    assert read(store, lambda r: r.key(b"d" * 32)).revoked_at == 2.0


def test_work_that_raises_leaves_nothing_and_spares_its_neighbours(store):
    gate = threading.Event()
    held = store.write(lambda tx: gate.wait(10))

    def half(tx):
        tx.add_run(a_run("half"))
        raise KeyError("no")

    jobs = [store.write(lambda tx: tx.add_run(a_run("before"))), store.write(half)]
    jobs.append(store.write(lambda tx: tx.add_run(a_run("after"))))
    gate.set()
    wait([held, *jobs])
    assert [type(job.exception()) for job in jobs] == [type(None), KeyError, type(None)]
    found = read(store, lambda r: {run.run_id for run in r.runs(None, None, None, 10)})
    assert found == {"before", "after"}


def test_a_transaction_sees_its_own_writes_and_what_was_asked_before_it(store):
    def work(tx):
        run = tx.add_run(a_run("mine"))
        return tx.run("e", "p", "mine") == run, len(tx.runs(None, None, None, 10))

    first = store.write(lambda tx: tx.add_run(a_run("other")))
    assert store.write(work).result() == (True, 2)
    assert first.done()


def test_a_read_sees_what_was_acknowledged_before_it(store):
    for number in range(50):
        write(store, lambda tx, n=number: tx.add_run(a_run(f"r{n}")))
        assert len(read(store, lambda r: r.runs(None, None, None, 99))) == number + 1


def test_a_reader_of_ones_own_works_beside_writes(store):
    seeded(store)
    with store.reader() as reader:
        write(store, lambda tx: tx.add_run(a_run("later")))
        assert reader.run("e", "p", "later") is not None
        with pytest.raises(Exception, match=r"readonly|query_only|no attribute"):
            reader._db.execute("DELETE FROM runs")


def test_everything_is_there_after_opening_again(opened):
    run = seeded(opened.store)
    incarnation = read(opened.store, lambda r: r.incarnation())
    store = opened()
    assert read(store, lambda r: r.run_of(run.id)) == run
    assert read(store, lambda r: r.incarnation()) == incarnation


def test_closing_finishes_what_was_asked(opened):
    jobs = [opened.store.write(lambda tx, n=n: tx.add_run(a_run(f"r{n}"))) for n in range(300)]
    store = opened()
    assert all(job.done() and job.exception() is None for job in jobs)
    assert len(read(store, lambda r: r.runs(None, None, None, 999))) == 300


def test_many_threads_writing_at_once_are_all_kept(store):
    def many(name):
        for job in [store.write(lambda tx, n=n: tx.add_run(a_run(f"{name}-{n}"))) for n in range(50)]:
            job.result()

    threads = [threading.Thread(target=many, args=(f"t{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(store, lambda r: r.runs(None, None, None, 999))) == 400
