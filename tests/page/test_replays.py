"""What a kept scan can be replayed through, by whoever looks at the page."""

from pipelines.chain.installed import installed_pipelines
from pipelines.page.replays import replay_pipelines


def test_only_what_makes_images_of_lines_is_offered():
    """Chains that make planes to train on end without an image; buffers and warm ones begin elsewhere."""
    others = {name for name in installed_pipelines() if name.startswith("prepare")}
    others |= {name for name in installed_pipelines() if name.endswith(("_buffered", "_warm"))}
    assert set(replay_pipelines()) == set(installed_pipelines()) - others
    assert {"prepare", "prepare_radial", "sense_warm", "raki_buffered"} <= others
