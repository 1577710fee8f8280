"""Visitors in a real Chromium do anything in any order: a short walk.

`python -m tests.campaign --only walk` takes longer ones.
"""

from tests.campaign.__main__ import SHORT
from tests.campaign.walk import try_walks


def test_what_is_seen_in_a_browser_is_what_the_library_gives(nets, tmp_path, chromium):
    acts, wrong = try_walks(nets, tmp_path, SHORT.walks, chromium=chromium)
    assert wrong == [] and acts == 5 * SHORT.walks
