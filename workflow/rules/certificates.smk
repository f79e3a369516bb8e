# Certificates: bounds of the distance to the nearest adversarial image.

CERTIFICATE = wiring.rule("certificate", "certify_images.py")
CERTIFICATE_PART = wiring.rule("certificate_part", "certify_images_part.py")


rule certify_images:
    input:
        unpack(CERTIFICATE.input),
    output:
        CERTIFICATE.output(),
    log:
        CERTIFICATE.log,
    benchmark:
        CERTIFICATE.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **CERTIFICATE.resources,
    params:
        **CERTIFICATE.params,
    script:
        "../scripts/certify_images.py"


rule certify_images_part:
    input:
        unpack(CERTIFICATE_PART.input),
    output:
        CERTIFICATE_PART.output(),
    log:
        CERTIFICATE_PART.log,
    benchmark:
        CERTIFICATE_PART.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **CERTIFICATE_PART.resources,
    params:
        **CERTIFICATE_PART.params,
    script:
        "../scripts/certify_images_part.py"
