"""What jobs ask for, from benchmark files."""

import json
import shutil

import pytest

from advsparse import requests
from advsparse.requests import key, main, measured, read

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(folder, place, seconds, mib):
    path = folder / f"{place}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{mib}\t1\t1\t1\t1\t1\t1\t1\n")


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("frecon2021/attacks/scada/lambda1=0.1_lambda2=0.001", "frecon2021/attacks/scada"),
        ("frecon2021/dictionaries/scada-0123456789abcdef", "frecon2021/dictionaries/scada"),
        ("frecon2021/classifiers/lenet", "frecon2021/classifiers/lenet"),
        ("datasets/mnist", "datasets/mnist"),
    ],
)
def test_points_of_a_grid_share_their_attacks_name(job, name):
    assert key(job.split("/")) == name


def test_a_request_is_the_most_that_was_taken_with_a_margin(tmp_path):
    benchmark(tmp_path, "p/attacks/pgd/eps=0.5", 1000, 4000)
    benchmark(tmp_path, "p/attacks/pgd/eps=1", 10, 100)
    benchmark(tmp_path, "p/attacks/fgsm", "NA", "-")
    found = measured(tmp_path)
    # 1.5 x 4000 MiB are 6291 MB, 2 x 1000 s are 33.3 minutes.
    assert found["p/attacks/pgd"] == {"mem_mb": 6500, "runtime": 35}
    assert found["p/attacks/fgsm"] == {"mem_mb": 2000, "runtime": 10}
    assert len(found) == 2


def test_a_run_replaces_what_was_measured_of_its_preset_and_device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requests, "FILE", tmp_path / "requests.yaml")
    monkeypatch.setattr("sys.argv", ["requests", "mini"])
    with pytest.raises(SystemExit, match=r"provenance\.json is missing: run snakemake"):
        main()
    results = tmp_path / "results/mini"
    for device, seconds in (("cpu", 3000), ("cuda", 900), ("cpu", 600)):
        benchmark(results / "benchmarks", "p/classifiers/lenet", seconds, 100)
        (results / "provenance.json").write_text(json.dumps({"machine": {"devices": [device]}}))
        main()
    assert read("mini", "cpu")["p/classifiers/lenet"]["runtime"] == 20
    assert read("mini", "cuda")["p/classifiers/lenet"]["runtime"] == 30
    assert read("paper", "cuda") == {}
    # Of a paper that was built, all is new; of others, and of data, what was known is kept.
    shutil.rmtree(results / "benchmarks")
    benchmark(results / "benchmarks", "q/classifiers/lenet", 60, 100)
    benchmark(results / "benchmarks", "datasets/mnist", 60, 100)
    main()
    shutil.rmtree(results / "benchmarks")
    benchmark(results / "benchmarks", "q/classifiers/mlp", 60, 100)
    main()
    assert {*read("mini", "cpu")} == {"p/classifiers/lenet", "datasets/mnist", "q/classifiers/mlp"}
