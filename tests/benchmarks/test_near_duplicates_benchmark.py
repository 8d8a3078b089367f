"""The benchmark of near-duplicates finds edits, and no other photograph."""

from benchmarks.near_duplicates import EDITS, rendered, report


def test_table() -> None:
    lines = report(*rendered(4)).splitlines()
    found = dict(line.strip("| ").split(" | ") for line in lines[2 : 2 + len(EDITS)])
    assert set(found) == set(EDITS)
    assert found["mirrored"] == found["JPEG at quality 40"] == "100.0%"
    assert float(found["cropped by 10 %"].rstrip("%")) < 20  # not everything is the same
    assert lines[-1] == (
        "16 images of 4 people. False alarms: 0 in 96 pairs of different people, "
        "0 in 24 pairs of one person."
    )
