from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account


def test_everything_logged_is_at_the_hub(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=300)
    assert life.process.wait() == 0, life.process.words()
    run = site.drained()
    assert run["state"] == "finished"
    assert account(site.view, PROJECT, RUN, [life]).noted == 300
