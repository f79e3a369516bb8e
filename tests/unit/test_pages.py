"""The pages of results, from a folder of results made by hand."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from advsparse.artifacts import make_metadata, write_arrays, write_rows, write_slices
from advsparse.artifacts.rows import ROW_COLUMNS
from advsparse.evaluate.claims import read_claims
from advsparse.figures.rendering import save_table
from advsparse.pages.writing import write_pages
from project import ROOT

CLAIM = {"claim": "c", "where": "figure 1", "paper": "a < b", "effect": "+0.5", "n": "8 images"}
CLAIM |= {"margin": "0.05", "judged by": "a against b", "likely reason": "", "data": "photos"}
RECORD = {
    "written": "2026-01-01T00:00:00+00:00",
    "preset": "demo",
    "seed": 3,
    "commit": {"commit": "0123456789abcdef", "clean": True},
    "machine": {"processor": "a <processor>", "cores": 2, "memory_gib": 24.0, "devices": ["cpu"]},
    "cost": [],
    "configuration": {"repetitions": 1},
}
RECORD["machine"]["used_gpus"] = []


def job(stage, name, file, paper="p", **more):
    told = {"name": f"{paper}/{name}", "stage": stage, "paper": paper, "said": name, "file": file}
    told |= {"log": f"logs/{name}.log", "benchmark": f"benchmarks/{name}.tsv", "repetition": 0}
    return told | more


def product(folder, name, title):
    return {"folder": folder, "name": name, "title": title, "caption": f"**{title}**, \\<in words"}


TOLD = {
    "papers": [
        {
            "key": "p",
            "title": "A paper & its title",
            "products": [product("figures", "f", "Figure 1"), product("tables", "t", "Table 1")],
        }
    ],
    "jobs": [
        job("dataset", "d", "datasets/d.safetensors", paper=""),
        job("attack", "fgsm/eps=0.1", "p/attacks/fgsm.npz", dataset="datasets/d.safetensors"),
        job("attack", "gone", "p/attacks/gone.npz", dataset="datasets/d.safetensors"),
        job("experiment", "e", "p/rows/e.csv"),
    ],
    "data": [{"dataset": "d", "role": "mnist", "stand_in": True, "note": "", "preset": "demo"}],
}


class Output:
    """Where a table goes, by suffix."""

    def __init__(self, stem):
        for suffix in ("html", "md", "tex", "csv", "json"):
            setattr(self, suffix, f"{stem}.{suffix}")


@pytest.fixture
def results(tmp_path):
    for folder in ("p/figures", "p/tables", "p/attacks", "p/rows", "datasets", "logs"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def metadata(stage, **params):
    return make_metadata(stage, params=params, code="", seed=0)


def attack_on(results, at=(3, 1)):
    """A dataset of four images, and an attack on two of them that turns one pixel white."""
    pixels = np.arange(4 * 3 * 4 * 4, dtype=np.uint8).reshape(4, 3, 4, 4)
    labels = np.arange(4)
    arrays = {"x_train": pixels, "x_test": pixels, "y_train": labels, "y_test": labels}
    about = make_metadata("dataset", params={}, code="", seed=0, extra={"classes": ["tree"]})
    write_slices(results / "datasets/d.safetensors", arrays, about)
    index = np.array(at)
    x_adv = (pixels[index] / 255).astype(np.float32)
    x_adv[:, :, 0, 0] = 1
    of_images = {"index": index, "label": index, "clean_prediction": index}
    of_images |= {"prediction": np.array([0, at[1]])}
    told = metadata("attack", images={"split": "test"}, method={"kind": "fgsm"})
    write_arrays(results / "p/attacks/fgsm.npz", of_images | {"x_adv": x_adv}, told)
    return pixels[index], x_adv


def pages(results, told=TOLD, shown=None):
    write_pages(results, told, RECORD, {"p": {"c": ("f",)}} if shown is None else shown)
    return {path.name: path.read_text() for path in results.rglob("*.html")}


def test_pages_of_nothing_say_that_it_is_missing(results):
    found = pages(results)
    assert "0 of 4 jobs: pages say what is" in found["index.html"]
    assert "not judged yet" in found["index.html"]
    assert found["p.html"].count("Not built yet.") == 2
    assert "No attack was made yet." in found["images.html"]
    assert "Nothing was measured" in found["p-numbers.html"]
    assert found["jobs.html"].count('<span class="where">not built') == 4


def test_a_claim_stands_beside_what_shows_it(results):
    (results / "p/figures/f.png").touch()
    claims = [CLAIM | {"verdict": "supported"}, CLAIM | {"claim": "other", "verdict": "undecided"}]
    (results / "p/tables/claims.json").write_text(json.dumps(claims))
    text = pages(results)["p.html"]
    figure, elsewhere = text.split('id="elsewhere"')
    assert figure.count('class="badge supported"') == 1 and "undecided</span></p>" not in figure
    assert elsewhere.count('class="badge undecided"') == 1
    assert "Of 2 claims: 1 supported, 1 undecided." in text
    assert "a &lt; b" in text and "a < b" not in text


def test_what_is_linked_is_there(results):
    attack_on(results)
    (results / "p/figures/f.png").touch()
    (results / "logs/fgsm/").mkdir()
    (results / "logs/fgsm/eps=0.1.log").write_text("done")
    (results / "provenance.html").touch()
    frame = pd.DataFrame({"a": [0.25], "b": ["x"]})
    save_table({"frame": frame, "title": "T", "note": "n & m"}, Output(results / "p/tables/t"))
    found = pages(results)
    assert "<td>0.25</td>" in found["p.html"] and "n &amp; m" in found["p.html"]
    for path in results.rglob("*.html"):
        if path.parent.name == "tables":
            continue
        for link in re.findall(r'(?:href|src)="([^"#]+)', path.read_text()):
            if not link.startswith("data:"):
                assert (path.parent / link).resolve().exists(), (path.name, link)


def test_a_picture_holds_the_images_that_were_attacked(results):
    clean, adversarial = attack_on(results)
    text = pages(results)["images.html"]
    assert "class 3: now tree; class 1: unchanged" in text
    (picture,) = (results / "pages/images").iterdir()
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (3 * 4 + 2 * 2, 2 * 4 + 2, 3)
    np.testing.assert_array_equal(pixels[:4, :4].transpose(2, 0, 1), clean[0])
    last = np.round(255 * adversarial[1]).astype(np.uint8)
    np.testing.assert_array_equal(pixels[12:, 6:].transpose(2, 0, 1), last)
    # Around grey; the largest change is the strongest colour.
    middle = pixels[6:10, 6:]
    assert (middle[1:, 1:] == 128).all() and middle[0, 0].max() == 255


def test_what_a_defence_makes_of_adversarial_images_is_shown(results):
    attack_on(results)
    made = np.full((2, 3, 4, 4), 7, np.uint8)
    samples = {"own:fgsm:defended": made, "own:fgsm:accuracy": np.array([True, False])}
    write_arrays(results / "p/rows/e.npz", samples, metadata("rows"))
    told = json.loads(json.dumps(TOLD).replace('"said": "fgsm/eps=0.1"', '"said": "fgsm"'))
    text = pages(results, told)["images.html"]
    assert "behind own: 1 of 2 right" in text
    pixels = np.asarray(Image.open(results / "pages/images/p-fgsm-eps=0.1-behind-own.png"))
    assert pixels.shape == (4, 2 * 4 + 2, 3) and (pixels[:, :4] == 7).all()


def test_numbers_lead_to_the_jobs_behind_them(results):
    attack_on(results)
    row = dict.fromkeys(ROW_COLUMNS, "")
    row |= {"attack": "fgsm", "metric": "accuracy", "value": 0.123456, "n": 8, "ci_low": 0.0}
    row |= {"ci_high": 1.0, "seed": 0, "repetition": 0, "note": "<script>"}
    write_rows(results / "p/rows/e.csv", pd.DataFrame([row]), metadata("rows"))
    found = pages(results)
    text = found["p-numbers.html"]
    assert '<a href="jobs.html#p/fgsm/eps=0.1">fgsm</a>' in text and "0.1235" in text
    assert "&lt;script&gt;" in text
    assert '<details id="p/fgsm/eps=0.1"' in found["jobs.html"]
    assert "&#34;kind&#34;: &#34;fgsm&#34;" in found["jobs.html"]


def test_a_damaged_artifact_is_left_out(results):
    attack_on(results)
    whole = (results / "p/attacks/fgsm.npz").read_bytes()
    (results / "p/attacks/fgsm.npz").write_bytes(whole[: len(whole) // 2])
    found = pages(results)
    assert "No attack was made yet." in found["images.html"]


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("workflow/papers/*/reference/claims.yaml")), ids=lambda f: f.parts[-3]
)
def test_claims_name_figures_and_tables_of_their_paper(file):
    paper = yaml.safe_load((file.parents[1] / "paper.yaml").read_text())
    figures, tables = set(paper["figures"]), set(paper["tables"])
    assert not figures & tables
    for claim in read_claims(file):
        assert set(claim.shown) <= figures | tables, claim.claim
        assert len(set(claim.shown)) == len(claim.shown)
