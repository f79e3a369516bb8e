"""Certificates: bounds of the distance to the nearest adversarial image, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of
from advsparse.config.plan import Plan
from advsparse.registry import Plugin
from advsparse.settings import settings
from advsparse.stages._parts import Divided
from advsparse.stages._points import chosen_images
from advsparse.stages._stage import Around, Job, Needs, Section
from advsparse.stages.classifier import classified


@settings
class CertificateEntry:
    """Bounds of the distance to the nearest adversarial image, with proofs."""

    method: Annotated[Any, Plugin("certify")]
    """The certificate: its kind and settings."""
    model: Annotated[Name, Of("models", "classifier")]
    """The classifier: small, of affine layers and ReLU."""
    images: Annotated[Name, Of("images")]
    """The images."""


class CertificateStage(Divided):
    """An artifact for each entry of ``certificates``."""

    name, folder, wildcard = "certificate", "certificates", "certificate"
    section = readable = "certificates"
    understood = ("of_kind",)
    blamed = resumes = True
    gpu = False
    minutes = 240
    divides = "Parts that the images of each certificate are divided into."

    def sections(self) -> Mapping[str, Section]:
        return {"certificates": Section(CertificateEntry, "Certificates by name.")}

    def made_from(self, plan: Plan, job: Job) -> Needs:
        return classified(plan, job.paper, self.entry(plan, job).model)

    def most(self, plan: Plan, job: Job) -> int:
        return plan.paper(job.paper).images[self.entry(plan, job).images].count

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry = self.entry(plan, job)
        dataset = plan.dataset_of(job.paper, entry.model)
        return {
            "method": registry.spec_of(entry.method),
            "images": chosen_images(plan, job.paper, dataset, entry.images),
            "threads": plan.configuration.threads,
            "seed": plan.seed(dataset, entry.model, "certificate"),
        }

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield registry.module_of(self.entry(plan, job).method)

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry = self.entry(plan, job)
        origin = plan.origin(plan.paper(job.paper).models[entry.model].dataset)
        method = registry.spec_of(entry.method)
        return {"method": method, "model": entry.model, "images": entry.images, "origin": origin}

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.certificates.items():
            model = paper.models.get(entry.model)
            if model is not None and model.defense is not None:
                text = f"{entry.model!r} has a defence: certificates are of networks alone"
                yield Mistake(("certificates", name, "model"), text)
