"""What the page of a study says."""

import io
import json
import re
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from appliance.core.model import Job
from appliance.core.states import JobEvent, JobState
from feedback.review import choose
from results_store.indexing import Comparison
from tests.web.versions import BRIGHT, version
from tests.web.world import (
    LEASE,
    MARKER,
    MARKER_COLOR,
    SHAPE,
    SPOT,
    SPOT_COLOR,
    World,
    enter,
    facts_of,
    hidden,
    received_as,
)


def png(client: httpx.Client, path: str) -> np.ndarray:
    answer = client.get(path)
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def addresses(page: str) -> tuple[str, str, list[str]]:
    """Return the beginnings of frame and mask addresses, and the slices in order."""
    (frames,) = re.findall(r'data-frames="([^"]+)"', page)
    masks = re.findall(r'data-masks="([^"]+)"', page)
    (slices,) = re.findall(r'id="slices">(.*?)</script>', page)
    return frames, masks[0] if masks else "", json.loads(slices)


def test_the_banner_comes_from_the_images(reader: httpx.Client, study: str) -> None:
    page = reader.get(f"/studies/{study}").text
    for words in ("Synthetic, Patient", "SYNTHETIC-1", "1970-01-01", "2026-01-02", "A0001"):
        assert words in page


def test_images_that_are_no_longer_kept_are_said_to_be_gone(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    world.forget_images()
    page = reader.get(f"/studies/{study}")
    assert page.status_code == 200
    assert "images no longer kept" in page.text
    assert "Synthetic" not in page.text
    assert "Block" in page.text  # the volumes stay


def test_the_table_has_right_and_left_side_by_side(
    reader: httpx.Client, study: str, job: Job
) -> None:
    page = reader.get(f"/studies/{study}").text
    row = page[page.index('title="Block"') :]
    cells = re.findall(r'data-segment="(\d)"[^>]*>([\d.]+)<', row)
    voxels = [int(np.zeros(SHAPE)[box].size) for box in (SPOT, MARKER)]
    assert cells == [("2", f"{voxels[0] * 1.5e-3:.2f}"), ("1", f"{voxels[1] * 1.5e-3:.2f}")]


def test_what_the_model_was_not_made_for_stands_above_the_numbers(
    reader: httpx.Client, study: str, job: Job
) -> None:
    page = reader.get(f"/studies/{study}").text
    flag = page.index('<ul class="flags"><li>Outside of what the model was made for: contrast')
    assert flag < page.index('title="Block"') < page.index("The head was set upright")


def test_frames_and_masks_lie_on_the_same_voxels(
    reader: httpx.Client, study: str, job: Job
) -> None:
    frames, masks, slices = addresses(reader.get(f"/studies/{study}").text)
    assert len(slices) == SHAPE[0]
    for index, name in enumerate(slices):
        frame = png(reader, f"{frames}{name}.png")
        mask = png(reader, f"{masks}{name}.png")
        for value, box, color in ((900, MARKER, MARKER_COLOR), (600, SPOT, SPOT_COLOR)):
            there = np.zeros(SHAPE, bool)
            there[box] = True
            marked = (mask[..., :3] == color).all(-1) & (mask[..., 3] > 0)
            np.testing.assert_array_equal(marked, there[index])
            assert (np.abs(frame[there[index]].astype(int) - value * 255 / 1000) < 2).all()


def test_one_segment_can_be_seen_alone_and_as_an_outline(
    reader: httpx.Client, study: str, job: Job
) -> None:
    _, masks, slices = addresses(reader.get(f"/studies/{study}").text)
    name = slices[MARKER[0].start]
    assert not png(reader, f"{masks}{name}.png?segment=2")[..., 3].any()
    filled = png(reader, f"{masks}{name}.png?segment=1")[..., 3] > 0
    outline = png(reader, f"{masks}{name}.png?segment=1&style=outline")[..., 3] > 0
    assert 0 < outline.sum() < filled.sum()
    assert not (outline & ~filled).any()


def test_a_segment_s_link_leads_to_its_largest_slice_without_a_script(
    reader: httpx.Client, study: str, job: Job
) -> None:
    page = reader.get(f"/studies/{study}?segment=2").text
    assert f"{SPOT[0].start + 1} / {SHAPE[0]}" in page


@pytest.mark.parametrize(
    "path",
    ["", "?run=999", "?run=abc", "/runs/999/deliveries", "/series/1.2/frames/1.2/0.png", "/x"],
)
def test_what_is_not_there_is_not_found(reader: httpx.Client, study: str, path: str) -> None:
    where = f"/studies/{study}{path}" if path else "/studies/1.2.3.4"
    assert reader.get(where).status_code == 404


@pytest.mark.parametrize("uid", ["..%2F..%2Fetc", "1.2;3", "x" * 70, "1" * 65, "%00"])
def test_what_is_no_uid_is_not_found(reader: httpx.Client, uid: str) -> None:
    assert reader.get(f"/studies/{uid}").status_code == 404


def test_pictures_need_a_session(client: httpx.Client, world: World, base: str, study: str) -> None:
    enter(client, world)
    frames, _, slices = addresses(client.get(f"/studies/{study}").text)
    assert httpx.get(f"{base}{frames}{slices[0]}.png").status_code == 303


def test_a_running_job_shows_its_phase_and_how_far_it_is(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study)
    claim = world.claim().claim()
    world.store.jobs.heartbeat(claim, LEASE, 0.4, "segmenting", world.clock.now())
    page = reader.get(f"/studies/{study}").text
    assert "Still running: segmenting, 40%" in page
    assert 'hx-trigger="every 2s"' in page
    assert "Still running: segmenting, 40%" in reader.get("/").text


def test_a_page_without_a_result_loads_itself_again_when_there_is_one(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study)
    job = world.claim()
    page = reader.get(f"/studies/{study}").text
    state = re.findall(r'hx-get="([^"]+state[^"]+)"', page)[0].replace("&amp;", "&")
    assert "HX-Refresh" not in reader.get(state).headers
    world.finish(job)
    assert reader.get(state).headers["HX-Refresh"] == "true"


def test_a_page_with_a_result_never_loads_itself_again(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    world.queue(study, route="second")
    page = reader.get(f"/studies/{study}").text
    state = re.findall(r'hx-get="([^"]+state[^"]+)"', page)[0].replace("&amp;", "&")
    world.finish()
    answer = reader.get(state)
    assert "HX-Refresh" not in answer.headers
    assert "load the page again" in answer.text


def test_a_refusal_is_told_in_the_pipeline_s_words(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study)
    claim = world.claim().claim()
    world.store.jobs.fail(
        claim, JobEvent.REFUSE, "the head is cut off at the top", None, {}, world.clock.now()
    )
    for path in ("/", f"/studies/{study}"):
        page = reader.get(path).text
        assert "Not run on these images" in page
        assert "the head is cut off at the top" in page
    assert 'id="feedback"' not in reader.get(f"/studies/{study}").text


def test_a_study_that_fits_no_rule_says_why_condition_by_condition(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.store.routes.close_without_jobs(study, world.decide(study, matched=False), "quiet")
    page = reader.get(f"/studies/{study}").text
    assert "Why nothing ran" in page
    assert "Not run: the images do not fit" in page
    assert re.search(r'class="unmet".*?SliceThickness is at most 1.5.*?6.0', page, re.DOTALL)
    assert re.search(r'class="met".*?Modality is MR', page, re.DOTALL)


def test_a_held_route_says_what_it_waits_for(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.store.routes.hold(
        study, "brain volumes", "12 of 170 images came", world.decide(study, matched=False)
    )
    assert "12 of 170 images came" in reader.get(f"/studies/{study}").text
    assert "Held" in reader.get("/").text


def test_the_card_says_research_not_for_diagnosis(
    reader: httpx.Client, study: str, job: Job
) -> None:
    page = reader.get(f"/studies/{study}").text
    assert page.count("Research, not for diagnosis") == 2  # beside the title and on the card


def test_a_shadow_result_is_shown_and_says_that_it_is_sent_nowhere(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study, send=False)
    world.finish()
    page = reader.get(f"/studies/{study}").text
    assert "Shadow: not sent to the PACS" in page
    assert "Nowhere" in page


def test_a_result_that_is_not_released_says_why_it_is_sent_nowhere(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study, send=False, shadow="1.1.0 is not released")
    world.finish()
    page = reader.get(f"/studies/{study}").text
    assert "Shadow: not sent to the PACS: 1.1.0 is not released" in page
    assert "Nowhere: 1.1.0 is not released." in page
    assert "shadow: 1.1.0 is not released" in reader.get(f"/studies/{study}/where").text


CARD = """\
population: Adults with one bright object.
training: [{what: Bright objects, number: 12 volumes of 7 people, where: Here, licence: CC0}]
metrics:
  - {name: Dice, value: 0.875, interval: 95 % CI 0.86 to 0.89, data: 3 volumes, source: make test}
regulatory: {status: research}"""


def test_the_card_is_that_of_the_version_which_made_the_result(
    reader: httpx.Client, world: World, study: str
) -> None:
    text = (BRIGHT / "pipeline.yaml").read_text().replace("regulatory: {status: research}", CARD)
    text = text.replace("version: 1.0.0", "version: 1.1.0").replace("title: ", "title: New ")
    world.store.registry.note(
        version(digest="e" * 64, version="1.1.0", manifest=text), None, world.clock.now()
    )
    world.queue(study, pipeline_digest="e" * 64, pipeline_version="1.1.0")
    world.finish()
    page = reader.get(f"/studies/{study}").text
    for words in (
        "New Volume of the brightest object",
        "Adults with one bright object.",
        "12 volumes of 7 people",
        "<strong>0.875</strong> (95 % CI 0.86 to 0.89)",
        "3 volumes",
        "make test",
        "second-reader",
        f'<a href="/pipelines/{"e" * 64}">',
    ):
        assert words in page
    world.queue(study, route="other", pipeline_digest="f" * 64)
    other = world.finish()
    page = reader.get(f"/studies/{study}?run={other.job_id}").text
    assert "This version was here before cards were kept." in page


def test_a_clearance_that_had_ended_is_shown_as_none(
    reader: httpx.Client, world: World, study: str
) -> None:
    cleared = "{status: cleared, identifier: K1, jurisdiction: US, expires: 2026-11-21}"
    text = (BRIGHT / "pipeline.yaml").read_text().replace("{status: research}", cleared)
    world.store.registry.note(version(digest="e" * 64, manifest=text), None, world.clock.now())
    for route in ("today", "tomorrow"):
        world.queue(study, route=route, pipeline_digest="e" * 64)
        job = world.finish()
        world.clock.advance(days=1)
    enter(reader, world)
    page = reader.get(f"/studies/{study}?run={job.job_id - 1}").text
    assert page.count('class="label cleared">Cleared: K1 (US)<') == 2
    page = reader.get(f"/studies/{study}?run={job.job_id}").text
    assert page.count('class="label research">No longer cleared: K1 (US)<') == 2


def test_deliveries_are_told(reader: httpx.Client, study: str, job: Job) -> None:
    page = reader.get(f"/studies/{study}").text
    assert "Segmentation (SEG) to pacs: waits to be sent" in page
    assert "Shadow" not in page


def test_a_superseded_result_says_so_and_leads_to_the_newer_one(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    newer = world.store.commands.resubmit(job.job_id, world.clock.now())
    world.finish()
    old = reader.get(f"/studies/{study}?run={job.job_id}").text
    assert "This result was replaced by run 2" in old
    assert f"?run={newer.job_id}" in old
    now = reader.get(f"/studies/{study}").text
    assert "run 2" in now
    assert "superseded" in now
    assert "was replaced" not in now


def come_again(world: World, study: str, *, alike: bool, **changes: Any) -> None:
    """Let the first image come again from elsewhere, under another header or as another image."""
    first = world.store.studies.instances(study)[0]
    world.files["e" * 64] = world.files[first.spool_name]
    header = dcmread(world.files[first.spool_name], stop_before_pixels=True)
    new = replace(received_as(first.spool_name, header, world.clock), spool_name="e" * 64)
    found = Comparison(against=first.spool_name, alike=alike, wins=alike)
    facts = replace(facts_of(header), **changes)
    world.store.studies.index_many([(new, facts)], {new.spool_name: found})


def test_a_result_made_under_an_earlier_identity_says_so_and_a_new_run_does_not(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    assert "earlier identity" not in reader.get(f"/studies/{study}").text
    come_again(world, study, alike=True, accession_number="B2")
    page = reader.get(f"/studies/{study}").text
    assert "Made under an earlier identity" in page
    assert "another accession number" in page
    again = world.store.commands.resubmit(job.job_id, world.clock.now())
    assert again.inputs[0].spool_name == "e" * 64
    world.finish()
    assert "earlier identity" not in reader.get(f"/studies/{study}").text


def test_what_a_person_has_to_look_at_stands_on_the_page(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    come_again(world, study, alike=False)
    page = reader.get(f"/studies/{study}?run={job.job_id}").text
    assert "Someone has to look: an image came again" in page


def test_every_look_is_audited(reader: httpx.Client, world: World, study: str, job: Job) -> None:
    frames, _, slices = addresses(reader.get(f"/studies/{study}").text)
    for name in slices[:3]:
        reader.get(f"{frames}{name}.png")
    entries = world.store.audit.list(study_instance_uid=study)
    assert [(e.actor, e.action) for e in entries] == [
        ("reader", "images-viewed"),
        ("reader", "study-viewed"),
    ]
    assert all("SYNTHETIC" not in entry.detail for entry in entries)


@pytest.mark.parametrize(
    ("by", "text", "found"),
    [
        ("accession_number", "A0001", True),
        ("accession_number", "A000", False),
        ("accession_number", "  ", False),
        ("patient_id", "SYNTHETIC-1^^^TEST", True),
        ("patient_id", "SYNTHETIC-1", False),  # another issuer's
        ("patient_id", "", False),
        ("study_instance_uid", "1.2.3", False),
        ("nonsense", "A0001", True),
    ],
)
def test_the_search_finds_exactly_what_is_asked(
    reader: httpx.Client, by: str, text: str, *, found: bool
) -> None:
    asked = {"csrf": hidden(reader.get("/").text, "csrf"), "by": by, "text": text}
    answer = reader.post("/search", data=asked)
    assert ("Synthetic, Patient" in answer.text) is found


def test_a_search_without_the_session_s_token_is_refused(reader: httpx.Client) -> None:
    asked = {"csrf": "0" * 64, "by": "accession_number", "text": "A0001"}
    assert reader.post("/search", data=asked).status_code == 403


def test_a_cohorts_run_stands_behind_those_of_routes(job: Job) -> None:
    of_cohort = replace(job, job_id=job.job_id + 1, route="cohort:pilot")
    done = [replace(one, state=JobState.DONE) for one in (of_cohort, job)]
    assert choose(done, None) == done[1]
    assert choose(done, of_cohort.job_id) == done[0]
    assert choose([done[0]], None) == done[0]
